"""The suite that a submission claims to be of: its cells on this installation, and what their records must hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from distillbench.bench.measure.size import deployed_size
from distillbench.bench.run.preconditions import check_data
from distillbench.bench.store.configurations import OF_A_METHOD
from distillbench.bench.store.records import Record, Size
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.bench.suite.resolve import Suite
from distillbench.bench.training.determinism import one_thread
from distillbench.bench.training.loop import initial
from distillbench.tasks.base import Metric, Role, Task, read_only


@dataclass(frozen=True)
class RecordContents:
    """What the records of one pair hold whatever the weights, determined by evaluating untrained networks.

    Attributes:
        metrics: All metrics of the task, by name.
        primary_metric: The task's.
        students: Names of a student's metrics; what it has beyond a teacher's is its agreement with its teacher.
        teachers: Names of a teacher's metrics.
        per_example: Names of the metrics that are means over examples.
        examples: Names of the test examples, in order.
        sizes: Of the deployed networks, by role.
    """

    metrics: Mapping[str, Metric]
    primary_metric: str
    students: frozenset[str]
    teachers: frozenset[str]
    per_example: frozenset[str]
    examples: tuple[str, ...]
    sizes: Mapping[Role, Size | None]


@dataclass(frozen=True)
class ClaimedSuite:
    """A suite as this installation resolves it.

    Attributes:
        suite: The resolved suite.
    """

    suite: Suite

    @cached_property
    def cells(self) -> dict[tuple[str, str, str, str, int], Cell]:
        """The suite's cells by task, pair, kind, label and seed."""
        return {(c.pair.task, c.pair.pair, c.kind, c.label, c.seed): c for c in self.suite.cells}

    @cached_property
    def pairs(self) -> dict[tuple[str, str], Pair]:
        """The suite's pairs by task and name."""
        return {(entry.pair.task, entry.pair.pair): entry.pair for entry in self.suite.entries}

    def pair(self, record: Record) -> Pair | None:
        """The suite's pair with a record's names; None where it has none."""
        return self.pairs.get((record.task, record.pair))

    def cell(self, record: Record) -> Cell | None:
        """The suite's cell in a record's place; None where it has none."""
        return self.cells.get((record.task, record.pair, record.kind, record.label, record.seed))

    def is_official(self, record: Record) -> bool:
        """Whether the suite itself has the record's row."""
        return record.kind != "student" or record.label in self.suite.methods

    def cell_like(self, record: Record) -> Cell | None:
        """A cell of the suite that must equal a contributed method's in everything but the method.

        Args:
            record: Of a student.

        Returns:
            A student's cell of the same pair and seed; None where the suite has none.
        """
        entries = (entry for entry in self.suite.entries if entry.pair == self.pair(record))
        first = next((name for entry in entries for name in entry.methods), "")
        return self.cells.get((record.task, record.pair, "student", first, record.seed))

    def contents(self, record: Record) -> RecordContents | None:
        """What the records of a record's pair hold; None where the suite has no such pair."""
        pair = self.pair(record)
        return None if pair is None else record_contents(pair)


def without_method(config: Mapping[str, Any]) -> dict[str, Any]:
    """A student's configuration without what belongs to its method."""
    return {key: value for key, value in config.items() if key not in OF_A_METHOD}


@lru_cache(maxsize=256)
def untrained(pair: Pair) -> tuple[Task, nn.Module]:
    """Untrained networks of a pair, which suffice to see what its records hold.

    Args:
        pair: The pair.

    Returns:
        The task on the CPU, with an untrained feature extractor, and an untrained student.
    """
    task = pair.build(extractor="untrained", device="cpu")
    return task, read_only(initial(task, "student", 0))


@lru_cache(maxsize=256)
def record_contents(pair: Pair) -> RecordContents:
    """What records of a pair hold: untrained networks have the same metrics as trained ones, whatever their values."""
    with one_thread():
        task, student = untrained(pair)
        teacher = read_only(initial(task, "teacher", 0))
        of_student, of_teacher = task.evaluate(student, teacher), task.evaluate(teacher, teacher)
        networks: dict[Role, nn.Module] = {"student": student, "teacher": teacher}
        return RecordContents(
            metrics=task.metrics,
            primary_metric=task.primary_metric,
            students=frozenset(of_student.metrics),
            teachers=frozenset(of_teacher.metrics),
            per_example=frozenset(of_student.examples),
            examples=tuple(next(iter(of_student.examples.values()), ())),
            sizes={role: deployed_size(task, network) for role, network in networks.items()},
        )


def claimed_suite(suite: Suite, cache: Path) -> ClaimedSuite:
    """A suite that a submission claims to be of.

    Args:
        suite: The resolved suite.
        cache: Where decoded images are kept.

    Raises:
        UserError: The suite's data cannot be used.
    """
    for entry in suite.entries:
        check_data(entry.pair, cache)
    return ClaimedSuite(suite)
