"""Checks of which records there are: all seeds, all expected cells, and none twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.manifest import NAME as EXPECTED
from distillbench.bench.store.records import Record
from distillbench.bench.validate.claimed_suite import ClaimedSuite
from distillbench.bench.validate.submission import Submission
from distillbench.bench.validate.untrusted_text import listed
from distillbench.bench.validate.violations import Violation

Row = tuple[str, str, str, str]
"""Task, pair, kind and label."""


def seeds(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where a pair and method lack a seed of the suite, whatever the reason."""
    rows: dict[Row, dict[int, Record]] = {}
    for record in submission.records:
        if record.trial is None and suite.pair(record) is not None:
            rows.setdefault(_row(record), {})[record.seed] = record
    for row, records in rows.items():
        expected = _expected_seeds(row, next(iter(records)), suite)
        if missing := sorted(expected - records.keys()):
            folder = str(next(iter(records.values())).path.parent)
            yield Violation("seeds", folder, "seed", f"{listed(missing)} missing", f"all of {listed(sorted(expected))}")


def _row(record: Record) -> Row:
    return record.task, record.pair, record.kind, record.label


def _expected_seeds(row: Row, seed: int, suite: ClaimedSuite) -> set[int]:
    """The suite's seeds of a row; a contributed method has those of the suite's first."""
    label = row[3] if (*row, seed) in suite.cells else next(iter(suite.suite.methods), "")
    return {seed for *place, seed in suite.cells if place == [*row[:3], label]}


def expected(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where a cell that the run was to produce is missing: nothing may be removed afterwards."""
    present = {(*_row(record), record.seed) for record in submission.records}
    for cell in submission.expected or ():
        if not cell.undefined and (cell.task, cell.pair, cell.kind, cell.label, cell.seed) not in present:
            name = f"{cell.task}/{cell.pair}/{cell.label}/seed {cell.seed}"
            yield Violation("expected", EXPECTED, "", f"lists {name}, whose record is missing")


def duplicates(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where a record is a copy: two seeds, or two methods, never agree in every digit."""
    first_of: dict[tuple[str, str, str, str], Path] = {}
    for record in submission.students:
        if record.status != "finished":
            continue
        originals: set[Path] = set()
        for field, content in _signatures(record).items():
            first = first_of.setdefault((record.task, record.pair, field, content), record.path)
            if first != record.path and first not in originals:
                originals.add(first)
                yield Violation("duplicates", str(record.path), field, f"identical to that of {first}, in every digit")


def _signatures(record: Record) -> dict[str, str]:
    signatures = {"metrics": canonical_hash({name: metric.value for name, metric in record.metrics.items()})}
    if record.examples:
        signatures["examples"] = canonical_hash({name: list(values) for name, values in record.examples.items()})
    if record.weights_sha256:
        signatures["weights_sha256"] = record.weights_sha256
    return signatures


def coverage(submission: Submission, suite: ClaimedSuite) -> Iterator[str]:
    """Notes on the pairs that a method leaves out, which is allowed."""
    pairs: dict[str, set[tuple[str, str]]] = {}
    for record in submission.students:
        pairs.setdefault(record.label, set()).add((record.task, record.pair))
    for label, present in sorted(pairs.items()):
        if missing := [f"{task}/{pair}" for task, pair in suite.pairs if (task, pair) not in present]:
            yield f"{label}: no records of {listed(missing)}"
