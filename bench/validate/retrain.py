"""One cell of a submission trained again: the only check of what a record says about its training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from distillbench.bench.run import runner
from distillbench.bench.run.execution import LOCAL, Execution
from distillbench.bench.run.plan import plan
from distillbench.bench.store.configurations import ABSENT, flat, plain
from distillbench.bench.store.fingerprint import code_digest
from distillbench.bench.store.records import Record, Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.registry import METHODS
from distillbench.bench.suite.validation import place_in, validate
from distillbench.bench.validate.claimed_suite import ClaimedSuite, record_contents
from distillbench.bench.validate.rerun import metric_tolerances
from distillbench.bench.validate.submission import Submission
from distillbench.bench.validate.tolerance import Tally, compare_metrics, training_tolerance
from distillbench.bench.validate.untrusted_text import escaped
from distillbench.bench.validate.violations import Check, Problem, Violation
from distillbench.common.errors import UserError, suggestion

NAME, RULE = "retrain", "one cell, trained again here"
MOST_VIOLATIONS = 20
"""Differences of a record that are reported."""
Values = dict[str, dict[str, float]]
"""By the record's field and the metric's name."""


def find_record(submission: Submission, name: str) -> Record:
    """The record of a cell to train again.

    Args:
        submission: The submission.
        name: The cell's, 'vae/mlp_256_16/mimic/seed 3'.

    Raises:
        UserError: There is no such record, or it is a baseline's.
    """
    records = {record.name: record for record in submission.records}
    if name not in records:
        guess = suggestion(name, records)
        problem = f"no record of {name!r}" + (f"; {escaped(guess)}" if guess else "")
        raise UserError(problem, "--retrain", allowed=f"one of the submission's {len(records)} cells")
    if records[name].kind == "baseline":
        problem = f"{name!r} is a baseline, which is not trained (--rerun computes it again)"
        raise UserError(problem, "--retrain")
    return records[name]


def cell_to_train(suite: ClaimedSuite, record: Record) -> Cell:
    """The suite's cell, or a method that is installed here with the record's hyperparameters.

    Args:
        suite: The suite that the submission claims to be of.
        record: The record to reproduce.

    Raises:
        UserError: The method is not installed, its code differs, or the record is of another configuration.
    """
    cell = suite.cell(record) if suite.is_official(record) else _contributed_cell(suite, record)
    if cell is None or cell.hash != record.config_hash:
        problem = f"{escaped(record.name)} does not have the suite's configuration (see the violations)"
        raise UserError(problem, "--retrain")
    return cell


def _contributed_cell(suite: ClaimedSuite, record: Record) -> Cell | None:
    if (like := suite.cell_like(record)) is None:
        return None
    cls = METHODS.get(record.label)
    settings = record.config.get("hyperparameters")
    method = validate(cls, settings if isinstance(settings, dict) else {}, place_in("config.hyperparameters"))
    if code_digest(cls) != record.config.get("method_code"):
        problem = f"the installed method {record.label!r} has different code from the record's"
        raise UserError(problem, "--retrain")
    return Cell("student", like.pair, record.label, record.seed, like.teacher_seed, method)


def retrain(
    submission: Submission, record: Record, cell: Cell, suite: ClaimedSuite, cache: Path, execution: Execution = LOCAL
) -> tuple[Check, tuple[str, ...]]:
    """Train a cell and compare everything that is reproducible.

    Args:
        submission: The submission.
        record: The record to reproduce.
        cell: What to train.
        suite: The suite that the submission claims to be of.
        cache: Of feature extractors and teachers; missing ones are trained into it.
        execution: By which executor.

    Returns:
        The check (bit-identical in the same environment, which names processor and instructions, else within a
        tolerance), and a note on how it was compared.
    """
    start = time.monotonic()
    retrained = _train(cell, suite, cache, execution)
    duration = f"{record.name}: trained again in {time.monotonic() - start:.0f} s"
    if retrained.environment == record.environment:
        problems = list(_differences(record, retrained))
        how = "same environment, compared bit by bit"
    else:
        tally = Tally()
        problems = list(_distant_values(submission, record, retrained, cell, tally))
        how = f"another environment, {tally}"
    result = "" if problems else ": as recorded"
    violations = tuple(Violation(NAME, str(record.path), *problem) for problem in problems[:MOST_VIOLATIONS])
    return Check(NAME, RULE, violations), (f"{duration}; {how}{result}",)


def _train(cell: Cell, suite: ClaimedSuite, cache: Path, execution: Execution) -> Record:
    with TemporaryDirectory(prefix="distillbench-retrain-") as folder:
        out = Path(folder)
        runner.run(plan(suite.suite, out, cache, [cell]), execution)
        record = Store(out).find(cell.path)
    assert record is not None
    return record


def _differences(record: Record, retrained: Record) -> Iterator[Problem]:
    """Fields that are not bit-identical."""
    recorded, measured = flat(record.reproducible()), flat(retrained.reproducible())
    for field in sorted(recorded.keys() | measured.keys()):
        old, new = recorded.get(field, ABSENT), measured.get(field, ABSENT)
        if old != new:
            yield field, f"{_text(old)} is recorded, but training again gave {_text(new)}", ""


def _text(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else plain(value)


def _distant_values(
    submission: Submission, record: Record, retrained: Record, cell: Cell, tally: Tally
) -> Iterator[Problem]:
    """Metrics that are further away than another machine, or another seed, explains."""
    if retrained.failure is not None or record.failure is not None:
        if record.status != retrained.status:
            yield "status", f"{record.status} is recorded, but training again gave {retrained.status}", ""
        return
    # Without the record itself, which would widen its own tolerance.
    row = [r for r in submission.finished if r.path.parent == record.path.parent and r.path != record.path]
    evaluated = metric_tolerances(record, record_contents(cell.pair), cell.pair)
    recorded, others = _values(record), [_values(r) for r in row]
    for table, measured in _values(retrained).items():
        tolerances = {
            name: training_tolerance(
                [values[table][name] for values in others if name in values[table]], evaluated[name]
            )
            for name in recorded[table]
            if name in evaluated
        }
        yield from compare_metrics(table, recorded[table], measured, tolerances, tally)


def _values(record: Record) -> Values:
    metrics = {name: metric.value for name, metric in record.metrics.items()}
    return {"metrics": metrics, "validation": record.validation}
