"""What a submission claims to be of: the suite's cells on this installation, and what their records hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from distillbench.bench.run.jobs import deployed_size
from distillbench.bench.run.runner import check_data
from distillbench.bench.store.configurations import OF_A_METHOD
from distillbench.bench.store.records import Record, Size
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.bench.suite.resolve import Suite
from distillbench.bench.training.determinism import one_thread
from distillbench.bench.training.loop import initial
from distillbench.tasks.base import Metric, Role, Task, read_only


@dataclass(frozen=True)
class Shape:
    """What the records of one pair hold, whatever the weights: found by evaluating untrained networks.

    metrics: all that the task has. students, teachers: the names of theirs; what a student has more is its agreement
    with its teacher. per_example: those that are means of examples. examples: their names, in order. sizes: by role.
    """

    metrics: Mapping[str, Metric]
    primary_metric: str
    students: frozenset[str]
    teachers: frozenset[str]
    per_example: frozenset[str]
    examples: tuple[str, ...]
    sizes: Mapping[Role, Size | None]


@dataclass(frozen=True)
class Claim:
    """A suite as this installation resolves it."""

    suite: Suite

    @cached_property
    def cells(self) -> dict[tuple[str, str, str, str, int], Cell]:
        """By task, pair, kind, label and seed."""
        return {(c.pair.task, c.pair.pair, c.kind, c.label, c.seed): c for c in self.suite.cells}

    @cached_property
    def pairs(self) -> dict[tuple[str, str], Pair]:
        return {(entry.pair.task, entry.pair.pair): entry.pair for entry in self.suite.entries}

    def pair(self, record: Record) -> Pair | None:
        """The suite's pair of this name."""
        return self.pairs.get((record.task, record.pair))

    def cell(self, record: Record) -> Cell | None:
        """The suite's cell in the place of a record; None where it has none."""
        return self.cells.get((record.task, record.pair, record.kind, record.label, record.seed))

    def official(self, record: Record) -> bool:
        """Whether its row is one that the suite itself makes."""
        return record.kind != "student" or record.label in self.suite.methods

    def beside(self, record: Record) -> Cell | None:
        """A student's cell of the suite with the same seed: all but the method is to be as there."""
        first = next(iter(self.suite.methods))
        return self.cells.get((record.task, record.pair, "student", first, record.seed))

    def shape(self, record: Record) -> Shape | None:
        """What the records of its pair hold; None where the suite has no such pair."""
        pair = self.pair(record)
        return None if pair is None else shape(pair)


def surroundings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A student's configuration without what belongs to its method."""
    return {key: value for key, value in config.items() if key not in OF_A_METHOD}


@lru_cache(maxsize=256)
def untrained(pair: Pair) -> tuple[Task, nn.Module]:
    """A task on the CPU, with untrained feature extractor and student: enough to see which figures there are."""
    task = pair.build(extractor="untrained", device="cpu")
    return task, read_only(initial(task, "student", 0))


@lru_cache(maxsize=256)
def shape(pair: Pair) -> Shape:
    """What untrained networks of a pair have; whatever their figures are, the names are those of trained ones."""
    with one_thread():
        task, student = untrained(pair)
        teacher = read_only(initial(task, "teacher", 0))
        of_student, of_teacher = task.evaluate(student, teacher), task.evaluate(teacher, teacher)
        networks: dict[Role, nn.Module] = {"student": student, "teacher": teacher}
        return Shape(
            metrics=task.metrics,
            primary_metric=task.primary_metric,
            students=frozenset(of_student.metrics),
            teachers=frozenset(of_teacher.metrics),
            per_example=frozenset(of_student.examples),
            examples=tuple(next(iter(of_student.examples.values()), ())),
            sizes={role: deployed_size(task, network) for role, network in networks.items()},
        )


def claim(suite: Suite, cache: Path) -> Claim:
    """The suite's cells. cache: where decoded images are kept. Raises UserError where its data cannot be used."""
    for entry in suite.entries:
        check_data(entry.pair, cache)
    return Claim(suite)
