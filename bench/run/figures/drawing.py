"""Draw the figures that a results folder lacks, each a PNG of limited size."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from distillbench.bench.run.figures.diagrams import diagram_figure
from distillbench.bench.run.figures.image_grid import DPI, grid_figure
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
from distillbench.tasks.base import Task, read_only
from distillbench.tasks.figures.kinds import Counts, FigureData, ImageGrid, Lines

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


def _png(figure: Figure, dpi: int, colours: int) -> bytes:
    """A PNG with a palette, which is a third as large."""
    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, dpi=dpi)
    with Image.open(raw) as image:
        image.convert("RGB").quantize(colours, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(
            small, "PNG", optimize=True
        )
    return small.getvalue()
