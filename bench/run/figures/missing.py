"""Which figures a results folder lacks: those of the first seed of each task and pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from distillbench.bench.run.plan import Plan
from distillbench.bench.store.figures import FOLDER, read
from distillbench.bench.store.weights import damage
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.common.errors import UserError


@dataclass(frozen=True)
class MissingFigures:
    """The figures of one task and pair that are to be drawn.

    Attributes:
        pair: Of networks.
        cells: The finished students.
    """

    pair: Pair
    cells: tuple[Cell, ...]

    @property
    def seed(self) -> int:
        """The seed of the students."""
        return self.cells[0].seed

    @property
    def path(self) -> Path:
        """The place of their document in the results folder."""
        return Path(FOLDER, f"{self.pair.task}--{self.pair.pair}.json")

    @property
    def students(self) -> dict[str, str]:
        """The configuration hashes of the students, by label."""
        return {cell.label: cell.hash for cell in self.cells}


def missing_figures(plan: Plan) -> list[MissingFigures]:
    """Return the figures that do not exist, or were drawn of other records: one entry for each task and pair."""
    students: dict[Pair, list[Cell]] = {}
    first = {entry.pair: entry.seeds[0] for entry in plan.suite.entries}
    for cell in plan.finished:
        if cell.kind == "student" and cell.seed == first[cell.pair]:
            students.setdefault(cell.pair, []).append(cell)
    figures = [MissingFigures(pair, tuple(cells)) for pair, cells in students.items()]
    return [each for each in figures if not _exist(each, plan.out)]


def _exist(figures: MissingFigures, out: Path) -> bool:
    try:
        stored = read(out / figures.path)
    except UserError:
        return False
    return dict(stored.students) == figures.students and stored.damage(out) is None


def obstacle(figures: MissingFigures, out: Path, cache: Path) -> str | None:
    """Return why figures cannot be drawn: the first file of weights that is missing or damaged.

    Args:
        figures: To draw.
        out: The results folder.
        cache: Folder of feature extractors and teachers.

    Returns:
        One line; None where they can be drawn.
    """
    pair, first = figures.pair, figures.cells[0]
    teacher = pair.teacher_path(cache, first.teacher_seed)
    hashes = {teacher: teacher.stem} | {out / cell.weights_path: cell.hash for cell in figures.cells}
    if pair.extractor_hash is not None:
        hashes[pair.extractor_path(cache)] = pair.extractor_hash
    for path, hash_ in hashes.items():
        if not path.exists():
            return f"{path}: is missing"
        if (problem := damage(path, hash_)) is not None:
            return problem
    return None
