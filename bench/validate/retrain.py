"""One cell of a submission, trained again here: the one check of what a record says of its training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from distillbench.bench.run import runner
from distillbench.bench.run.plan import plan
from distillbench.bench.store.configurations import ABSENT, flat, plain
from distillbench.bench.store.fingerprint import code_digest
from distillbench.bench.store.records import Record, Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.registry import METHODS
from distillbench.bench.suite.validation import place_in, validate
from distillbench.bench.validate.claim import Claim, shape
from distillbench.bench.validate.findings import Check, Finding, shown
from distillbench.bench.validate.folder import Submission
from distillbench.bench.validate.rerun import limits_of
from distillbench.bench.validate.tolerance import Tally, compare, retrained
from distillbench.common.errors import UserError, did_you_mean

NAME, WHAT = "retrain", "one cell, trained again here"
LISTED = 20
"""Differences of a record that are told."""


def chosen(submission: Submission, name: str) -> Record:
    """The record of a cell by its name, 'vae/mlp_256_16/mimic/seed 3'. Raises UserError, with a suggestion."""
    found = {record.name: record for record in submission.records}
    if name not in found:
        guess = shown(did_you_mean(name, found).partition(" (allowed: ")[0])
        raise UserError(
            f"--retrain: no record of {name!r}{guess} (allowed: one of the {len(found)} cells that are there)"
        )
    if found[name].kind == "baseline":
        raise UserError(f"--retrain: {name!r} is a reference: nothing was trained (--rerun computes it again)")
    return found[name]


def cell_of(claim: Claim, record: Record) -> Cell:
    """What to train: the suite's cell, or a method that is installed here, with the record's hyperparameters.

    Raises UserError where the method is not here, or its code is another.
    """
    if claim.official(record):
        cell = claim.cell(record)
    elif (beside := claim.beside(record)) is None:
        cell = None
    else:
        cls = METHODS.get(record.label)
        settings = record.config.get("hyperparameters")
        method = validate(cls, settings if isinstance(settings, dict) else {}, place_in("config.hyperparameters"))
        if code_digest(cls) != record.config.get("method_code"):
            raise UserError(
                f"--retrain: {record.label!r} was made with another code of the method than is installed here"
            )
        cell = Cell("student", beside.pair, record.label, record.seed, beside.teacher_seed, method)
    if cell is None or cell.hash != record.config_hash:
        raise UserError(f"--retrain: {shown(record.name)} is not of the suite's configuration, see the findings")
    return cell


def retrain(
    submission: Submission, record: Record, cell: Cell, claim: Claim, cache: Path, workers: int | None
) -> tuple[Check, tuple[str, ...]]:
    """Train it and compare all that is reproducible: equal to the bit where the environment is equal, else near.

    An environment names the processor and its instructions.

    cache: of feature extractors and teachers; those that are not there are trained into it.
    """
    start = time.monotonic()
    with TemporaryDirectory(prefix="distillbench-retrain-") as folder:
        out = Path(folder)
        runner.run(plan(claim.suite, out, cache, [cell]), workers)
        again = Store(out).find(cell.path)
    assert again is not None
    took = f"{record.name}: trained again in {time.monotonic() - start:.0f} s"
    if again.environment == record.environment:
        found = list(_bits(record, again))
        how = "equal environment: to the bit"
    else:
        tally = Tally()
        found = list(_near(submission, record, again, cell, tally))
        how = f"another environment: {tally}"
    if not found:
        how += ", as recorded"
    findings = [Finding(NAME, str(record.path), *problem) for problem in found[:LISTED]]
    return Check(NAME, WHAT, tuple(findings)), (f"{took}; {how}",)


def _bits(record: Record, again: Record) -> list[tuple[str, str, str]]:
    its, found = flat(record.reproducible()), flat(again.reproducible())
    return [
        (field, f"{_said(its.get(field, ABSENT))} is recorded, and {_said(found.get(field, ABSENT))} found again", "")
        for field in sorted(its.keys() | found.keys())
        if its.get(field, ABSENT) != found.get(field, ABSENT)
    ]


def _said(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else plain(value)


def _near(
    submission: Submission, record: Record, again: Record, cell: Cell, tally: Tally
) -> Iterator[tuple[str, str, str]]:
    """What is further away than another machine, or another seed, would bring it."""
    if again.failure is not None or record.failure is not None:
        if record.status != again.status:
            yield "status", f"{record.status} is recorded, and {again.status} found again", ""
        return
    # Not its own figure, which would widen what it is held to.
    row = [r for r in submission.finished if r.path.parent == record.path.parent and r.path != record.path]
    evaluated = limits_of(record, shape(cell.pair), cell.pair)
    its, others = _values(record), [_values(r) for r in row]
    for table, found in _values(again).items():
        seeds = {name: [values[table][name] for values in others if name in values[table]] for name in its[table]}
        limits = {name: retrained(values, evaluated[name]) for name, values in seeds.items() if name in evaluated}
        yield from compare(table, its[table], found, limits, tally)


def _values(record: Record) -> dict[str, dict[str, float]]:
    metrics = {name: metric.value for name, metric in record.metrics.items()}
    return {"metrics": metrics, "validation": record.validation}
