"""Figures of small diagrams, one for each model: reliability, confusion."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distillbench.common.text import matplotlib_text
from distillbench.tasks.figures.kinds import Counts, Lines

ACROSS = 4
"""Diagrams in a row, at most."""
SIDE = 2.1
"""Of a diagram, in inches."""
SMALL, TITLE = 7, 12
LETTERS = 12
"""Longest name of a class beside a diagram."""


def diagram_figure(data: Lines | Counts, title: str) -> Figure:
    """Draw a diagram for each model.

    Args:
        data: Of the models.
        title: Above the figure.
    """
    columns = min(ACROSS, len(data.of))
    rows = math.ceil(len(data.of) / columns)
    figure = Figure((columns * SIDE + 0.4, rows * (SIDE + 0.25) + 0.7), facecolor="white", layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(data.of) :]:
        axes.set_axis_off()
    for axes, name in zip(grid.flat, data.of, strict=False):
        axes.set_box_aspect(1)
        axes.tick_params(labelsize=SMALL, length=2)
        axes.set_title(_titled(name, data.captions), fontsize=SMALL + 1)
        if isinstance(data, Lines):
            _lines(axes, *data.of[name])
        else:
            _counts(axes, data, name)
    figure.suptitle(title, fontsize=TITLE, weight="bold")
    figure.supxlabel(data.x if isinstance(data, Lines) else data.columns, fontsize=SMALL + 2)
    figure.supylabel(data.y if isinstance(data, Lines) else data.rows, fontsize=SMALL + 2)
    if data.note:
        figure.text(1, 0, data.note, fontsize=SMALL, color="0.3", ha="right", va="bottom")
    return figure


def _titled(name: str, captions: Mapping[str, str]) -> str:
    return matplotlib_text(f"{name}: {captions[name]}" if name in captions else name)


def _lines(axes: Axes, x: object, y: object, weight: object) -> None:
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
    axes.plot(x, y, color="#0072B2", linewidth=1.2)  # type: ignore[arg-type]
    axes.scatter(x, y, s=[4 + 120 * w for w in weight], color="#0072B2", zorder=3)  # type: ignore[arg-type,attr-defined]
    axes.set_xlim(0, 1.03)
    axes.set_ylim(0, 1.03)
    axes.grid(alpha=0.25, linewidth=0.6)


def _counts(axes: Axes, data: Counts, name: str) -> None:
    """Colours show each row's shares; counts are written where there is room."""
    counts = data.of[name].double()
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1)
    axes.imshow(shares.sqrt().numpy(), cmap="Purples", vmin=0, vmax=1)  # square root: small shares are visible as well
    size = len(data.names)
    if size <= 12:
        for i, j in ((i, j) for i in range(size) for j in range(size)):
            if (count := int(counts[i, j])) > 0:
                colour = "white" if shares[i, j] > 0.4 else "black"
                axes.text(j, i, str(count), ha="center", va="center", fontsize=5, color=colour)
        names = [
            matplotlib_text(name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…")
            for name in map(str, data.names)
        ]
        axes.set_xticks(range(size), names)
        axes.set_yticks(range(size), names)
