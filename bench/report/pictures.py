"""Picture grids: what the models make of the same test inputs, a row each."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from bench.cells import Cell
from bench.errors import one_line
from bench.jobs import load_teacher, prepared_task, settle_process, teacher_path, weights_path
from bench.report.drawings import obstacle, undrawn
from bench.runner import Plan
from bench.training import initial
from bench.weights import load_weights
from tasks.base import Task, read_only
from tasks.data.atomic import write_atomically

CELL_INCHES = 0.9
DPI = 110
MOST_BYTES = 300_000


def draw_pictures(plan: Plan, cache: Path) -> list[str]:
    """A PNG a task and pair that lacks one. Returns why some cannot be drawn, one line each."""
    settle_process()
    problems = []
    for drawing in undrawn(plan):
        if (problem := obstacle(drawing, plan.out, cache)) is not None:
            problems.append(one_line(f"{drawing.path}: not drawn: {problem}"))
            continue
        pair, cells = drawing.pair, drawing.cells
        task = prepared_task(pair, cache)
        models = {"teacher": load_teacher(task, teacher_path(cache, pair, cells[0].teacher_seed))[0]}
        models |= {cell.label: _student(task, plan.out, cell) for cell in cells}
        draw(drawing.path, task.pictures(models), f"{pair.task}, {pair.pair}, seed {drawing.seed}")
    return problems


def _student(task: Task, out: Path, cell: Cell) -> nn.Module:
    student = initial(task, "student", 0)
    load_weights(weights_path(out, cell), task.deployed(student), cell.hash)
    return read_only(student)


def draw(path: Path, rows: dict[str, Tensor], title: str) -> None:
    """rows: {name: (columns, channels, height, width) in [0, 1]}."""
    columns = max(len(images) for images in rows.values())
    inches = CELL_INCHES * (1 if columns > 8 else 2)
    figure = Figure(figsize=(inches * columns + 1.6, inches * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=False):
            grey = image.shape[0] == 1
            axis.imshow(image.permute(1, 2, 0).squeeze(-1 if grey else ()).clamp(0, 1), cmap="gray", vmin=0, vmax=1)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_frame_on(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.suptitle(title)
    content, dpi = b"", DPI
    while not content or (len(content) > MOST_BYTES and dpi > DPI // 2):
        content, dpi = _png(figure, dpi), round(0.9 * dpi)
    write_atomically(path, content)


def _png(figure: Figure, dpi: int) -> bytes:
    """With a palette of 256 colours: exact for what is grey, and a third of the size for what is not."""
    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, dpi=dpi)
    with Image.open(raw) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()
