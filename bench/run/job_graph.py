"""The jobs of a plan, and what each needs: feature extractors, then teachers and baselines, then groups of students."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from distillbench.bench.run.jobs import Job, JobKind
from distillbench.bench.run.plan import Plan
from distillbench.bench.store.weights import damage
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.common.errors import one_line

K = TypeVar("K")
OF_SELF, LONG = ", of self teachers", ", as long as teachers"
"""Ends of the names of jobs of some students of a pair and seed."""


@dataclass(frozen=True)
class JobGraph:
    """What remains to be done.

    Attributes:
        jobs: Each after those it needs.
        damaged: Why feature extractors and teachers in the cache cannot be used and are made again, one line each.
    """

    jobs: tuple[Job, ...]
    damaged: tuple[str, ...]


def job_graph(plan: Plan, cached: bool = True) -> JobGraph:
    """Return the jobs that make the records of a plan's cells.

    Students of one task, pair and seed are one job, those of self teachers another, and those that train as long as the
    teacher. Feature extractors and teachers that the cache has are not made again; equal teachers are trained once.

    Args:
        plan: The plan.
        cached: Whether the cache counts; without it, the jobs are those of an empty one.
    """
    builder = _Builder(plan, cached)
    for pair, cells in _grouped(plan.to_do, lambda cell: cell.pair).items():
        builder.add_pair(pair, cells)
    problems = (one_line(builder.damage[path]) for path in sorted(builder.damage))
    return JobGraph(tuple(builder.jobs.values()), tuple(problems))


class _Builder:
    """The graph while it grows.

    Attributes:
        jobs: By id.
        damage: Why files of the cache cannot be used, by path.
    """

    def __init__(self, plan: Plan, cached: bool) -> None:
        self.jobs: dict[str, Job] = {}
        self.damage: dict[Path, str] = {}
        self._plan, self._looks = plan, cached
        self._teacher_jobs: dict[str, str] = {}
        """The first job that makes a teacher, by the teacher's hash."""

    def add_pair(self, pair: Pair, cells: list[Cell]) -> None:
        name = f"{pair.task}/{pair.pair}"
        for cell in cells:
            _ = cell.hash  # kept in the cell and sent with it: code and data are hashed once
        needs = self._extractor(pair)
        if baselines := tuple(cell for cell in cells if cell.kind == "baseline"):
            self._add(f"baselines {name}", "baseline", pair, needs, cells=baselines)
        trained = [cell for cell in cells if cell.kind != "baseline"]
        for seed, of_teacher in sorted(_grouped(trained, lambda cell: cell.teacher_seed).items()):
            before = self._teacher(pair, seed, tuple(cell for cell in of_teacher if cell.kind == "teacher"), needs)
            students = [cell for cell in of_teacher if cell.kind == "student"]
            for (student_seed, apart), group in _grouped(students, lambda cell: (cell.seed, _apart(cell))).items():
                id_ = f"students {name} seed {student_seed}{apart}"
                needs_of_group = (*before, *self._self_teacher(pair, seed, needs)) if apart == OF_SELF else before
                self._add(id_, "group", pair, needs_of_group, cells=tuple(group), teacher_seed=seed)

    def _extractor(self, pair: Pair) -> tuple[str, ...]:
        """What jobs of a pair need to have its feature extractor."""
        if pair.extractor_hash is None or self._cached(pair.extractor_path(self._plan.cache)):
            return ()
        return (self._add(f"feature extractor {pair.extractor_hash[:8]}", "extractor", pair, (), cells=()),)

    def _teacher(self, pair: Pair, seed: int, cells: tuple[Cell, ...], needs: tuple[str, ...]) -> tuple[str, ...]:
        """What students need to have their teacher."""
        path = pair.teacher_path(self._plan.cache, seed)
        if self._cached(path) and not cells:
            return needs
        id_ = f"teacher {pair.task}/{pair.pair} seed {seed}"
        first = self._teacher_jobs.setdefault(path.stem, id_)
        before = needs if first == id_ else (*needs, first)
        return (self._add(id_, "teacher", pair, before, cells=cells, teacher_seed=seed),)

    def _self_teacher(self, pair: Pair, seed: int, needs: tuple[str, ...]) -> tuple[str, ...]:
        """What students need to have a teacher that is equal to them."""
        path = pair.teacher_path(self._plan.cache, seed, "self")
        if self._cached(path):
            return ()
        first = self._teacher_jobs.setdefault(path.stem, f"self teacher {pair.task}/{pair.pair} seed {seed}")
        if first not in self.jobs:
            self._add(first, "self teacher", pair, needs, cells=(), teacher_seed=seed)
        return (first,)

    def _cached(self, path: Path) -> bool:
        """Whether a file named by its hash can be used; why one that exists cannot is noted."""
        if not self._looks:
            return False
        if (problem := damage(path, path.stem)) is not None:
            self.damage[path] = problem
        return problem is None and path.exists()

    def _add(self, id_: str, kind: JobKind, pair: Pair, needs: tuple[str, ...], **fields: Any) -> str:
        plan = self._plan
        self.jobs[id_] = Job(
            id_, kind, pair, teachers=plan.suite.teachers, out=plan.out, cache=plan.cache, needs=needs, **fields
        )
        return id_


def _apart(cell: Cell) -> str:
    """What sets a student's job apart: what only some need must not fail the others, nor a long training delay them.

    Students of another length share no batch with the others, and so no answer of a teacher.
    """
    if cell.method is not None and cell.method.teacher == "self":
        return OF_SELF
    return LONG if cell.method is not None and cell.method.steps_of == "teacher" else ""


def _grouped(cells: Iterable[Cell], key: Callable[[Cell], K]) -> dict[K, list[Cell]]:
    """Cells by a key, in the order in which keys first occur."""
    groups: dict[K, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    return groups
