"""Draw figures: grids of images and diagrams, each a PNG of limited size."""

from __future__ import annotations

import io
import math
from bisect import bisect
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from PIL import Image
from torch import nn

from distillbench.bench.run.figures.diagrams import diagram_figure
from distillbench.bench.run.figures.missing import missing_figures, obstacle
from distillbench.bench.run.jobs import load_teacher, prepared_task
from distillbench.bench.run.plan import Plan
from distillbench.bench.store.figures import FOLDER, FigureFile, FigureSet, write
from distillbench.bench.store.weights import load_weights
from distillbench.bench.suite.cells import Cell
from distillbench.bench.training.determinism import settled
from distillbench.bench.training.loop import initial
from distillbench.common.atomic import write_atomically
from distillbench.common.errors import one_line
from distillbench.common.text import matplotlib_text
from distillbench.tasks.base import Task, read_only
from distillbench.tasks.figures.kinds import Counts, FigureData, ImageGrid, Lines

IMAGE_PIXELS = ((4, 144), (12, 128), (10**9, 56))
"""Width of an image, by the largest number of columns for which it holds."""
GAP = 0.07
"""Inches between two images."""
TITLE, TEXT, SMALL = 12, 10, 9
"""Sizes of fonts in points."""
DPI = 100
MOST_BYTES = 300_000
QUALITIES = ((256, 1.0), (256, 0.9), (128, 0.9), (128, 0.8), (64, 0.8), (64, 0.7), (32, 0.6))
"""Numbers of colours and relative sizes, best first."""


@settled()
def draw_figures(plan: Plan) -> list[str]:
    """Draw the figures that a plan's folder lacks.

    Args:
        plan: Against the results folder as it is.

    Returns:
        Why some cannot be drawn, one line each.
    """
    problems = []
    for missing in missing_figures(plan):
        if (problem := obstacle(missing, plan.out, plan.cache)) is not None:
            problems.append(one_line(f"{plan.out / missing.path}: not drawn: {problem}"))
            continue
        pair, cells = missing.pair, missing.cells
        task = prepared_task(pair, plan.cache)
        models = {"teacher": load_teacher(task, pair.teacher_path(plan.cache, cells[0].teacher_seed))[0]}
        models |= {cell.label: _student(task, plan.out, cell) for cell in cells}
        title = f"{pair.task}, {pair.pair}, seed {missing.seed}"
        figures = tuple(
            _drawn(plan.out, missing.path.stem, name, data, title) for name, data in task.figures(models).items()
        )
        write(
            plan.out,
            FigureSet(task=pair.task, pair=pair.pair, seed=missing.seed, students=missing.students, figures=figures),
        )
    return problems


def _drawn(out: Path, stem: str, name: str, data: FigureData, title: str) -> FigureFile:
    file = f"{stem}--{name}.png"
    content = png(data, f"{title}: {name}")
    write_atomically(out / FOLDER / file, content)
    return FigureFile(name=name, file=file, sha256=sha256(content).hexdigest(), alt=alternative_text(data))


def alternative_text(data: FigureData) -> str:
    """Describe a figure for readers who cannot see it."""
    match data:
        case ImageGrid():
            heads = f"; columns: {', '.join(dict.fromkeys(data.heads))}" if data.heads else ""
            return f"Images in rows: {', '.join(data.rows)}{heads}"
        case Lines():
            return f"{data.y} against {data.x} of {', '.join(data.of)}"
        case Counts():
            return f"How often '{data.rows}' meets '{data.columns}', of {', '.join(data.of)}"


def _student(task: Task, out: Path, cell: Cell) -> nn.Module:
    student = initial(task, "student", 0)
    load_weights(out / cell.weights_path, task.deployed(student), cell.hash)
    return read_only(student)


def png(data: FigureData, title: str) -> bytes:
    """Draw a PNG of at most ``MOST_BYTES``, if need be with fewer colours or pixels.

    Args:
        data: What the figure shows.
        title: Above the figure.
    """
    figure = grid_figure(data, title) if isinstance(data, ImageGrid) else diagram_figure(data, title)
    contents = (_png(figure, round(scale * DPI), colours) for colours, scale in QUALITIES)
    for content in contents:
        if len(content) <= MOST_BYTES:
            break
    return content


def grid_figure(grid: ImageGrid, title: str) -> Figure:
    """Draw images in a grid, names of rows on the left, heads above, captions beneath; all places are in inches.

    Args:
        grid: The images and their texts.
        title: Above the figure.
    """
    first = next(iter(grid.rows.values()))
    pixels = next(size for most, size in IMAGE_PIXELS if grid.columns <= most)
    enlarged = max(1, pixels // first.shape[3])  # by whole numbers: every pixel is a square
    wide = min(pixels, enlarged * first.shape[3]) / DPI
    high = wide * first.shape[2] / first.shape[3]
    left = _whole(max(_width(name, TEXT) for name in grid.rows) + 3 * GAP)
    top = _whole((TITLE + (TEXT if grid.heads else 0)) / 72 + (6 if grid.heads else 3) * GAP)
    captions = {name: _whole(SMALL / 72 + GAP) if name in grid.captions else 0.0 for name in grid.rows}
    note = _whole(SMALL / 72 + 2 * GAP) if grid.note else 0.0
    width = left + grid.columns * (wide + GAP)
    width = _whole(max(width, *(_width(text, size) + 2 * GAP for text, size in ((title, TITLE), (grid.note, SMALL)))))
    height = top + sum(high + captions[name] + GAP for name in grid.rows) + note
    figure = Figure(figsize=(width, height), facecolor="white")

    def write(x: float, down: float, text: str, size: float, **options: Any) -> None:
        figure.text(x / width, 1 - down / height, text, size=size, parse_math=False, **options)

    write(GAP, GAP, title, TITLE, va="top", weight="bold")
    at = 0
    for head, group in groupby(grid.heads):
        count = len(list(group))
        start, end = (left + column * (wide + GAP) for column in (at, at + count))
        at += count
        write((start + end - GAP) / 2, top - 2 * GAP, _fitted(head, end - start - GAP, TEXT), TEXT, ha="center")
        line = 1 - (top - GAP) / height
        figure.add_artist(Line2D([start / width, (end - GAP) / width], [line, line], color="0.6", linewidth=0.6))
    down = top
    for name, images in grid.rows.items():
        write(left - GAP, down + high / 2, name, TEXT, ha="right", va="center")
        for column, image in enumerate(images):
            x = left + column * (wide + GAP)
            axes = figure.add_axes((x / width, 1 - (down + high) / height, wide / width, high / height))
            axes.set_axis_off()
            grey = image.shape[0] == 1
            shown = image.permute(1, 2, 0).squeeze(-1 if grey else ()).clamp(0, 1)
            axes.imshow(shown.numpy(), cmap="gray", vmin=0, vmax=1, aspect="auto")
        for column, caption in enumerate(grid.captions.get(name, ())):
            x = left + column * (wide + GAP) + wide / 2
            write(x, down + high + GAP / 2, _fitted(caption, wide, SMALL), SMALL, ha="center", va="top")
        down += high + captions[name] + GAP
    write(GAP, height - GAP, grid.note, SMALL, color="0.3")
    return figure


def _whole(inches: float) -> float:
    """Round up to whole pixels: an image between two would be blurred."""
    return math.ceil(inches * DPI) / DPI


def _width(text: str, size: float) -> float:
    """The width of a text in inches, in the default font."""
    if not text.strip():
        return 0.0
    return TextPath((0, 0), matplotlib_text(text), size=size).get_extents().width / 72


def _fitted(text: str, inches: float, size: float) -> str:
    """A text, shortened to its place."""
    if len(text) < 2 or _width(text, size) <= inches:
        return text
    lengths = range(1, len(text))
    return text[: bisect(lengths, inches, key=lambda length: _width(text[:length] + "…", size))] + "…"


def _png(figure: Figure, dpi: int, colours: int) -> bytes:
    """A PNG with a palette, which is a third as large."""
    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, dpi=dpi)
    with Image.open(raw) as image:
        image.convert("RGB").quantize(colours, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(
            small, "PNG", optimize=True
        )
    return small.getvalue()
