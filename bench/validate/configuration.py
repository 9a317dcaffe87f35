"""Checks of what was run: the suite's own configuration, all its seeds, each figure once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distillbench.bench.store.configurations import ABSENT, flat, plain
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.fingerprint import code_digest
from distillbench.bench.store.manifest import NAME as EXPECTED
from distillbench.bench.store.records import Record
from distillbench.bench.suite.registry import METHODS
from distillbench.bench.validate.claim import Claim, surroundings
from distillbench.bench.validate.findings import Finding, listed
from distillbench.bench.validate.folder import Submission
from distillbench.common.errors import suggestion

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What a method may be called: a folder's name, and a row's (as in a suite file)."""
DIGEST = re.compile(r"[0-9a-f]{64}")
MOST_HYPERPARAMETERS = 50


def configuration(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """No changed steps, data, split, networks or code: field by field as the suite has it."""
    for record in submission.records:
        for field, problem, allowed in _differences(record, claim):
            yield Finding("configuration", str(record.path), field, problem, allowed)
    yield from _one_method_a_name(submission, claim)


def _one_method_a_name(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """A method of one's own has the same code everywhere, and the same hyperparameters for all seeds of a pair."""
    first: dict[tuple[str, ...], Record] = {}
    for record in submission.students:
        if claim.official(record):
            continue
        for field, place in {"method_code": (), "hyperparameters": (record.task, record.pair)}.items():
            other = first.setdefault((field, record.label, *place), record)
            if canonical_hash(record.config.get(field)) != canonical_hash(other.config.get(field)):
                problem = f"is not that of {other.path}: one method, one row"
                yield Finding("configuration", str(record.path), f"config.{field}", problem)


def _differences(record: Record, claim: Claim) -> Iterator[tuple[str, str, str]]:
    tasks = {task for task, _ in claim.pairs}
    if record.task not in tasks:
        yield "task", f"{record.task!r} is not in the suite", _names(record.task, tasks)
        return
    pairs = {pair for task, pair in claim.pairs if task == record.task}
    if record.pair not in pairs:
        yield "pair", f"{record.pair!r} is not in the suite", _names(record.pair, pairs)
        return
    if record.trial is not None:
        yield "trial", f"{record.trial}: tuning looks at the validation split", "none"
        return
    cell = claim.cell(record) if claim.official(record) else claim.beside(record)
    if cell is None:
        rows = [c for c in claim.cells.values() if (c.pair.task, c.pair.pair, c.kind) == _row(record)[:3]]
        if record.label in {c.label for c in rows} or not claim.official(record):
            yield "seed", f"{record.seed} is not one of the suite", listed(sorted({c.seed for c in rows}))
        else:
            yield "label", f"{record.label!r} is not in the suite", _names(record.label, {c.label for c in rows})
        return
    mine: Mapping[str, Any] = record.config
    its: Mapping[str, Any] = cell.config
    if not claim.official(record):
        mine, its = surroundings(mine), surroundings(its)
        yield from _of_a_method(record)
    if canonical_hash(mine) != canonical_hash(its):
        yield from _fields(mine, its)
    for field, wanted in {
        "teacher_seed": cell.teacher_seed,
        "teachers": claim.suite.teachers,
    }.items():
        if (found := getattr(record, field)) != wanted:
            yield field, f"{found!r}, and {wanted!r} in the suite", ""


def _row(record: Record) -> tuple[str, str, str, str]:
    return record.task, record.pair, record.kind, record.label


def _names(name: str, allowed: set[str]) -> str:
    """'classification, gan; did you mean 'gan'?' as an allowed value."""
    return "; ".join(filter(None, (", ".join(sorted(allowed)), suggestion(name[:100], allowed))))


def _fields(mine: Mapping[str, Any], its: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    found, wanted = flat(mine), flat(its)
    differing = [
        field
        for field in sorted(found.keys() | wanted.keys())
        if repr(found.get(field, ABSENT)) != repr(wanted.get(field, ABSENT))
    ]
    for field in differing:
        made, asked = found.get(field, ABSENT), wanted.get(field, ABSENT)
        yield f"config.{field}", f"{plain(made)}, and {plain(asked)} in the suite", ""
    if not differing:
        yield "config", "is written in another way than the suite's", ""


def _of_a_method(record: Record) -> Iterator[tuple[str, str, str]]:
    """What a method that the suite does not have says of itself."""
    config = record.config
    if record.label in METHODS.built_in and config.get("method_code") != code_digest(METHODS.get(record.label)):
        yield "config.method_code", f"is not that of {record.label!r}, which ships", "its code, or another name"
    if not DIGEST.fullmatch(str(config.get("method_code"))):
        yield "config.method_code", f"{plain(config.get('method_code', ABSENT))} is no digest", "64 hexadecimal digits"
    settings = config.get("hyperparameters")
    if not isinstance(settings, dict) or len(settings) > MOST_HYPERPARAMETERS:
        yield "config.hyperparameters", "is no table", f"a table of at most {MOST_HYPERPARAMETERS}"
        return
    for field, value in flat(settings).items():
        plain_value = value is None or isinstance(value, bool | int | float | str | list) or value == {}
        if field and (not NAME.fullmatch(field) or not plain_value):
            yield f"config.hyperparameters.{field}", "is no name of a setting", "letters, digits, _ . -"


def labels(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """A method of one's own has a name of its own, which cannot be taken for another's."""
    seen = {_bare(name): name for name in (*claim.suite.methods, *METHODS.built_in, "teacher", "baseline")}
    for record in submission.students:
        label = record.label
        if claim.official(record) or label in METHODS.built_in:
            continue
        problem, allowed = "", "another name"
        if not NAME.fullmatch(label):
            problem, allowed = "is no name", "letters, digits, _ . -, at most 64"
        elif label in ("teacher", "baseline") or seen.setdefault(_bare(label), label) != label:
            problem = f"can be taken for {seen[_bare(label)]!r}"
        elif _bare(label).startswith("baseline"):
            problem = "can be taken for a reference"
        if problem:
            yield Finding("labels", str(record.path), "label", f"{label!r} {problem}", allowed)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def seeds(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """Every seed of the suite for each pair and method; none is left out, whatever came of it."""
    rows: dict[tuple[str, str, str, str], dict[int, Record]] = {}
    for record in submission.records:
        if record.trial is None and claim.pair(record) is not None:
            rows.setdefault(_row(record), {})[record.seed] = record
    for (task, pair, kind, label), found in rows.items():
        known = label if (task, pair, kind, label, next(iter(found))) in claim.cells else None
        like = known or next(iter(claim.suite.methods))
        wanted = {seed for t, p, k, name, seed in claim.cells if (t, p, k, name) == (task, pair, kind, like)}
        if missing := sorted(wanted - found.keys()):
            folder = str(next(iter(found.values())).path.parent)
            yield Finding("seeds", folder, "seed", f"{listed(missing)} missing", f"all of {listed(sorted(wanted))}")


def expected(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """What the run was to make is there: nothing was taken out afterwards."""
    there = {(*_row(record), record.seed) for record in submission.records}
    missing = [
        (cell.task, cell.pair, cell.label, cell.seed)
        for cell in submission.expected or ()
        if (cell.task, cell.pair, cell.kind, cell.label, cell.seed) not in there
    ]
    for task, pair, label, seed in missing:
        cell = f"{task}/{pair}/{label}/seed {seed}"
        yield Finding("expected", EXPECTED, "", f"the run was to make {cell}, whose record is not there")


def duplicates(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """No record is another one's copy: two seeds, or two methods, never agree in every digit."""
    seen: dict[tuple[str, str, str, str], Path] = {}
    for record in submission.students:
        if record.status != "finished":
            continue
        told: set[Path] = set()
        for field, content in _signatures(record).items():
            key = (record.task, record.pair, field, content)
            first = seen.setdefault(key, record.path)
            if first != record.path and first not in told:
                told.add(first)
                yield Finding("duplicates", str(record.path), field, f"equal to those of {first}, in every digit")


def _signatures(record: Record) -> dict[str, str]:
    found = {"metrics": canonical_hash({name: metric.value for name, metric in record.metrics.items()})}
    if record.examples:
        found["examples"] = canonical_hash({name: list(values) for name, values in record.examples.items()})
    if record.weights_sha256:
        found["weights_sha256"] = record.weights_sha256
    return found


def coverage(submission: Submission, claim: Claim) -> Iterator[str]:
    """Which pairs each method of its own leaves out: allowed, and said."""
    rows: dict[str, set[tuple[str, str]]] = {}
    for record in submission.students:
        rows.setdefault(record.label, set()).add((record.task, record.pair))
    for label, found in sorted(rows.items()):
        if missing := [f"{task}/{pair}" for task, pair in claim.pairs if (task, pair) not in found]:
            yield f"{label}: no records of {listed(missing)}"
