"""Which pictures a results folder lacks: of the first seed, a task and pair each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from distillbench.bench.run.runner import Plan
from distillbench.bench.store.figures import path_of, read
from distillbench.bench.store.weights import damage
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.common.errors import UserError


@dataclass(frozen=True)
class Undrawn:
    """What to draw, and of whom. cells: the finished students."""

    pair: Pair
    cells: tuple[Cell, ...]

    @property
    def seed(self) -> int:
        return self.cells[0].seed

    @property
    def path(self) -> Path:
        return path_of(self.pair.task, self.pair.pair)

    @property
    def students(self) -> dict[str, str]:
        return {cell.label: cell.hash for cell in self.cells}


def undrawn(plan: Plan) -> list[Undrawn]:
    """Of each task and pair the first seed, where it is not drawn, or drawn of other records."""
    groups: dict[Pair, list[Cell]] = {}
    for cell in plan.finished:
        if cell.kind == "student" and cell.seed == plan.suite.seeds[0]:
            groups.setdefault(cell.pair, []).append(cell)
    wanted = [Undrawn(pair, tuple(cells)) for pair, cells in groups.items()]
    return [drawing for drawing in wanted if not _current(drawing, plan.out)]


def _current(wanted: Undrawn, out: Path) -> bool:
    try:
        figures = read(out / wanted.path)
    except UserError:
        return False
    return dict(figures.students) == wanted.students and figures.damage(out) is None


def obstacle(wanted: Undrawn, out: Path, cache: Path) -> str | None:
    """Why it cannot be drawn: the first file of weights that is not there, or damaged. None where it can be."""
    pair, first = wanted.pair, wanted.cells[0]
    teacher = pair.teacher_path(cache, first.teacher_seed)
    needed = {teacher: teacher.stem} | {out / cell.weights_path: cell.hash for cell in wanted.cells}
    if pair.extractor_hash is not None:
        needed[pair.extractor_path(cache)] = pair.extractor_hash
    for file, of in needed.items():
        if not file.exists():
            return f"{file}: is not there"
        if (problem := damage(file, of)) is not None:
            return problem
    return None
