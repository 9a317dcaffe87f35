"""One cell of a submission, trained again here: the one check of what a record says of its training."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import runner
from bench.cells import Cell
from bench.code import code_digest
from bench.errors import UserError, did_you_mean
from bench.records import Record, Store
from bench.registry import METHODS
from bench.report.configurations import ABSENT, flat, plain
from bench.submission.claim import Claim
from bench.submission.findings import Check, Finding, shown
from bench.submission.folder import Submission
from bench.submission.tolerance import TRAINED_ANEW, Tally, compare
from bench.validation import place_in, validate

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
    if found[name].kind == "reference":
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
    record: Record, cell: Cell, claim: Claim, cache: Path, workers: int | None
) -> tuple[Check, tuple[str, ...]]:
    """Train it and compare all that is reproducible: equal to the bit where the environment is equal, else near.

    cache: of judges and teachers; those that are not there are trained into it.
    """
    start = time.monotonic()
    with TemporaryDirectory(prefix="distillbench-retrain-") as folder:
        out = Path(folder)
        runner.run(claim.suite, out, cache, workers, wanted=[cell])
        again = Store(out).find(cell.path)
    assert again is not None
    took = f"{record.name}: trained again in {time.monotonic() - start:.0f} s"
    if again.environment == record.environment:
        found = list(_bits(record, again))
        how = "equal environment: to the bit"
    else:
        tally = Tally()
        found = list(_near(record, again, tally))
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


def _near(record: Record, again: Record, tally: Tally) -> list[tuple[str, str, str]]:
    if again.failure is not None or record.failure is not None:
        return [] if record.status == again.status else [("status", f"{record.status}, and {again.status} again", "")]
    one, other = ({name: metric.value for name, metric in its.metrics.items()} for its in (record, again))
    limits = dict.fromkeys((*one, *record.held_out), TRAINED_ANEW)
    found = list(compare("metrics", one, other, limits, tally))
    return [*found, *compare("held_out", record.held_out, again.held_out, limits, tally)]
