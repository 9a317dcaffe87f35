"""Charts for paper: SVG and PNG by matplotlib, the same bytes for the same data."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from PIL import Image

from distillbench.bench.report.chart import Axis, Chart, HeatMap, Series
from distillbench.bench.report.formatting import count_text
from distillbench.bench.report.page.colours import DIVERGING, colours
from distillbench.common.text import matplotlib_text, visible

DPI = 200
COLOURS = 128
MARGIN = 0.1
"""Inches around a chart."""
MAP = LinearSegmentedColormap.from_list("recovered", [((place + 1) / 2, colour) for colour, place in DIVERGING])
STYLE: Any = {"svg.hashsalt": "distillbench", "svg.fonttype": "none", "font.size": 9, "axes.titlesize": 10}


FORMS = ("svg", "png")


def files(chart: Chart | HeatMap, forms: Collection[str] = FORMS) -> dict[str, bytes]:
    """A chart as files.

    It is laid out once for all forms, since that takes longer than drawing it.

    Args:
        chart: What is drawn.
        forms: Which files: 'svg', 'png'.

    Returns:
        {form: content}, the same bytes for the same chart.
    """
    with matplotlib.rc_context(STYLE):
        figure = _laid_out(draw(chart))
        return {form: _svg(figure, chart) if form == "svg" else _png(figure) for form in forms}


def _laid_out(figure: Figure) -> Figure:
    """The figure with the final place of everything, and the size that it needs.

    ``savefig`` would lay it out again for each form, and draw the whole figure twice besides.
    """
    engine, (axes,) = figure.get_layout_engine(), figure.axes
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")
    box = figure.get_tightbbox().padded(MARGIN)
    inner = axes.get_position(original=True).transformed(figure.transFigure - figure.dpi_scale_trans)
    axes.set_position(
        (
            (inner.x0 - box.x0) / box.width,
            (inner.y0 - box.y0) / box.height,
            inner.width / box.width,
            inner.height / box.height,
        )
    )
    figure.set_size_inches(box.width, box.height)
    return figure


def _svg(figure: Figure, chart: Chart | HeatMap) -> bytes:
    content = io.BytesIO()
    metadata = {"Date": None, "Creator": None, "Description": chart.alt, "Title": chart.title}
    FigureCanvasSVG(figure).print_svg(content, metadata=metadata)
    return content.getvalue()


def _png(figure: Figure) -> bytes:
    """A PNG with a palette, which takes a third of the space."""
    figure.set_dpi(DPI)  # an SVG has 72
    canvas, small = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    image = image.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(small, "PNG", optimize=True, dpi=(DPI, DPI))
    return small.getvalue()


def draw(chart: Chart | HeatMap) -> Figure:
    """A chart as a figure of matplotlib, not laid out yet."""
    return _heat_map(chart) if isinstance(chart, HeatMap) else _chart(chart)


def _plain(text: str) -> str:
    """Text that matplotlib does not read as a formula."""
    return matplotlib_text(visible(text, 60))


def _chart(chart: Chart) -> Figure:
    rows = len(chart.y.categories)
    height = 0.6 + 0.32 * rows if rows else max(3.4, 0.5 + 0.15 * len(chart.series))  # room for the legend
    figure = Figure(figsize=(5.2, height), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    palette = colours(series.name for series in chart.series)
    for series in chart.series:
        _series(axes, series, *palette[series.name])
    axes.set_title(_plain(chart.title))
    _axis(axes, "x", chart.x)
    _axis(axes, "y", chart.y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if len(chart.series) > 1:
        axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    if chart.y.categories:
        equal = 1 if chart.x.log else 0
        if any(p.x < equal for s in chart.series for p in s.points):
            axes.axvline(equal, color="0.4", linewidth=0.8)
        if 0 < chart.y.rule < rows:
            axes.axhline(chart.y.rule - 0.5, color="0.4", linewidth=0.8)
        axes.invert_yaxis()
    return figure


def _series(axes: Axes, series: Series, colour: str, symbol: str) -> None:
    points = sorted(series.points, key=lambda p: p.x) if series.style in ("line", "band") else list(series.points)
    x, y = [p.x for p in points], [p.y for p in points]
    name = _plain(series.name)
    if series.style == "faint":
        axes.plot(x, y, "o", color="0.5", markersize=3.5, alpha=0.6, label=name, linestyle="none")
        return
    if series.style == "dots":
        fill = "none" if series.control else "full"
        axes.plot(x, y, symbol, color=colour, fillstyle=fill, markersize=5, label=name, linestyle="none", zorder=3)
        for point in points:
            if point.y_ends is not None:
                axes.plot([point.x, point.x], point.y_ends, color=colour, linewidth=1, zorder=2)
            if point.x_ends is not None:
                axes.plot(point.x_ends, [point.y, point.y], color=colour, linewidth=1, zorder=2)
        return
    if series.style == "line":
        axes.plot(x, y, color="0.5", linewidth=1, label=name, zorder=1)
        return
    axes.plot(x, y, "--" if series.control else "-", color=colour, linewidth=1.2, label=name)
    ends = [p.y_ends or (p.y, p.y) for p in points]
    axes.fill_between(x, [low for low, _ in ends], [high for _, high in ends], color=colour, alpha=0.15, linewidth=0)


class Counts(LogFormatter):
    """'2k' in the place of '2 × 10³', at the ticks that matplotlib would label."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of one tick."""
        return count_text(x) if super().__call__(x, pos) else ""


def _axis(axes: Axes, which: str, axis: Axis) -> None:
    getattr(axes, f"set_{which}label")(_plain(axis.title))
    if axis.log:
        getattr(axes, f"set_{which}scale")("log")
        getattr(axes, f"{which}axis").set_major_formatter(Counts())
        getattr(axes, f"{which}axis").set_minor_formatter(Counts())
    if axis.categories:
        getattr(axes, f"set_{which}ticks")(range(len(axis.categories)), [_plain(name) for name in axis.categories])


def _heat_map(chart: HeatMap) -> Figure:
    figure = Figure(
        figsize=(1.6 + 1.15 * len(chart.columns), 0.9 + 0.42 * len(chart.rows)), dpi=DPI, layout="constrained"
    )
    axes = figure.add_subplot()
    values = [[_shade(chart, row, column) for column in chart.columns] for row in chart.rows]
    axes.imshow(values, cmap=MAP, vmin=-1, vmax=1, aspect="auto")
    for i, row in enumerate(chart.rows):
        for j, column in enumerate(chart.columns):
            cell = chart.cells[row, column]
            dark = abs(values[i][j]) > 0.6
            text = "\n".join(filter(None, (_plain(cell.text), cell.interval)))
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set_xticks(range(len(chart.columns)), [_plain(c).replace(", ", "\n") for c in chart.columns], fontsize=8)
    axes.set_yticks(range(len(chart.rows)), [_plain(r) for r in chart.rows], fontsize=8)
    if chart.controls and chart.methods:
        axes.axhline(len(chart.methods) - 0.5, color="black", linewidth=1.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(_plain(chart.title))
    return figure


def _shade(chart: HeatMap, row: str, column: str) -> float:
    """The value that decides the colour; what is not significant is pale."""
    cell = chart.cells[row, column]
    value = 0.0 if cell.value is None else max(-1.0, min(1.0, cell.value))
    return value if cell.significant else 0.1 * value
