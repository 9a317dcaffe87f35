"""Which picture grids a results folder lacks: of the first seed, a task and pair each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.cells import Cell, Pair
from bench.jobs import judge_path, teacher_path, weights_path
from bench.runner import Plan
from bench.weights import damage


@dataclass(frozen=True)
class Drawing:
    """A grid to draw: where, and of whom. cells: the finished students."""

    path: Path
    pair: Pair
    cells: tuple[Cell, ...]

    @property
    def seed(self) -> int:
        return self.cells[0].seed


def undrawn(plan: Plan) -> list[Drawing]:
    """The grids that are not there, or are older than the weights of their students."""
    groups: dict[Pair, list[Cell]] = {}
    for cell in plan.finished:
        if cell.kind == "student" and cell.seed == plan.suite.seeds[0]:
            groups.setdefault(cell.pair, []).append(cell)
    drawings = [
        Drawing(plan.out / "pictures" / f"{pair.task}--{pair.pair}.png", pair, tuple(cells))
        for pair, cells in groups.items()
    ]
    return [drawing for drawing in drawings if not _current(drawing, plan.out)]


def _current(drawing: Drawing, out: Path) -> bool:
    weights = [weights_path(out, cell) for cell in drawing.cells]
    made = [file.stat().st_mtime for file in weights if file.exists()]
    return drawing.path.exists() and drawing.path.stat().st_mtime >= max(made, default=0)


def obstacle(drawing: Drawing, out: Path, cache: Path) -> str | None:
    """Why a grid cannot be drawn: the first file of weights that is not there, or damaged. None where it can be."""
    pair, first = drawing.pair, drawing.cells[0]
    teacher = teacher_path(cache, pair, first.teacher_seed)
    needed = {teacher: teacher.stem} | {weights_path(out, cell): cell.hash for cell in drawing.cells}
    if pair.judge_hash is not None:
        needed[judge_path(cache, pair)] = pair.judge_hash
    for file, of in needed.items():
        if not file.exists():
            return f"{file}: is not there"
        if (problem := damage(file, of)) is not None:
            return problem
    return None
