"""Checks of what was run: the suite's own configuration, under a valid name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from distillbench.bench.store.configurations import ABSENT, flat, plain
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.fingerprint import code_digest
from distillbench.bench.store.records import Record
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.registry import METHODS
from distillbench.bench.validate.claimed_suite import ClaimedSuite, without_method
from distillbench.bench.validate.submission import Submission
from distillbench.bench.validate.untrusted_text import listed
from distillbench.bench.validate.violations import Problem, Violation
from distillbench.common.errors import suggestion
from distillbench.methods.base import usual

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""A valid name of a method, which is the name of a folder and of a row (as in a suite file)."""
DIGEST = re.compile(r"[0-9a-f]{64}")
MOST_HYPERPARAMETERS = 50
LONGEST_NAME = 100
RESERVED = ("teacher", "baseline")


def configuration(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where steps, data, split, networks or code differ from the suite's, field by field."""
    for record in submission.records:
        for problem in _problems(record, suite):
            yield Violation("configuration", str(record.path), *problem)
    yield from _inconsistent_methods(submission, suite)


def _inconsistent_methods(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """A contributed method has one code, and one set of hyperparameters for all seeds of a pair."""
    first: dict[tuple[str, ...], Record] = {}
    for record in submission.students:
        if suite.is_official(record):
            continue
        for field, place in {"method_code": (), "hyperparameters": (record.task, record.pair)}.items():
            other = first.setdefault((field, record.label, *place), record)
            if canonical_hash(record.config.get(field)) != canonical_hash(other.config.get(field)):
                problem = f"differs from that of {other.path}, although the method has one name"
                yield Violation("configuration", str(record.path), f"config.{field}", problem)


def _problems(record: Record, suite: ClaimedSuite) -> Iterator[Problem]:
    if (problem := _problem_of_place(record, suite)) is not None:
        yield problem
        return
    official = suite.is_official(record)
    cell = suite.cell(record) if official else suite.cell_like(record)
    if cell is None:
        yield _unknown_cell(record, suite)
        return
    if not official:
        yield from _problems_of_method(record)
    yield from _differences(record, cell, official)
    fields: dict[str, object] = {"teacher_seed": cell.teacher_seed, "teachers": suite.suite.teachers}
    for field, expected in (fields | _fields_of_method(record, cell, official)).items():
        if (value := getattr(record, field)) != expected:
            yield field, f"{value!r}, but the suite has {expected!r}", ""


def _fields_of_method(record: Record, cell: Cell, official: bool) -> dict[str, object]:
    """What a record says of its method, as far as this installation knows it."""
    if official:
        return {"control": cell.control, "defaults": usual(cell.method) if cell.method is not None else ()}
    return {"control": METHODS.get(record.label).control} if record.label in METHODS.built_in else {}


def _problem_of_place(record: Record, suite: ClaimedSuite) -> Problem | None:
    """Why the suite has no such task or pair, or the record is no result."""
    tasks = {task for task, _ in suite.pairs}
    if record.task not in tasks:
        return "task", f"{record.task!r} is not in the suite", _suggestion(record.task, tasks)
    pairs = {pair for task, pair in suite.pairs if task == record.task}
    if record.pair not in pairs:
        return "pair", f"{record.pair!r} is not in the suite", _suggestion(record.pair, pairs)
    if record.trial is not None:
        return "trial", f"{record.trial}, but a trial of tuning is measured on the validation split", "none"
    return None


def _unknown_cell(record: Record, suite: ClaimedSuite) -> Problem:
    place = record.task, record.pair, record.kind
    cells = [cell for cell in suite.cells.values() if (cell.pair.task, cell.pair.pair, cell.kind) == place]
    labels = {cell.label for cell in cells}
    if record.label in labels or not suite.is_official(record):
        return "seed", f"{record.seed} is not a seed of the suite", listed(sorted({cell.seed for cell in cells}))
    return "label", f"{record.label!r} is not in the suite", _suggestion(record.label, labels)


def _suggestion(name: str, allowed: Collection[str]) -> str:
    """The allowed values with a guess, "classification, gan; did you mean 'gan'?"."""
    return "; ".join(filter(None, (", ".join(sorted(allowed)), suggestion(name[:LONGEST_NAME], allowed))))


def _differences(record: Record, cell: Cell, official: bool) -> Iterator[Problem]:
    """The fields of a configuration that differ from the suite's, without a contributed method's own."""
    config: Mapping[str, Any] = record.config if official else without_method(record.config)
    expected: Mapping[str, Any] = cell.config if official else without_method(cell.config)
    if canonical_hash(config) == canonical_hash(expected):
        return
    values, expected_values = flat(config), flat(expected)
    pairs = {
        field: (values.get(field, ABSENT), expected_values.get(field, ABSENT))
        for field in sorted(values.keys() | expected_values.keys())
    }
    differing = {field: pair for field, pair in pairs.items() if repr(pair[0]) != repr(pair[1])}
    for field, (value, expected_value) in differing.items():
        yield f"config.{field}", f"{plain(value)}, but the suite has {plain(expected_value)}", ""
    if not differing:
        yield "config", "is written in a different form from the suite's", ""


def _problems_of_method(record: Record) -> Iterator[Problem]:
    """Problems of the fields that describe a contributed method."""
    code = record.config.get("method_code")
    if record.label in METHODS.built_in and code != code_digest(METHODS.get(record.label)):
        problem = f"is not that of the built-in method {record.label!r}"
        yield "config.method_code", problem, "its code, or another name"
    if not DIGEST.fullmatch(str(code)):
        digest = plain(record.config.get("method_code", ABSENT))
        yield "config.method_code", f"{digest} is not a digest", "64 hexadecimal digits"
    settings = record.config.get("hyperparameters")
    if not isinstance(settings, dict) or len(settings) > MOST_HYPERPARAMETERS:
        yield "config.hyperparameters", "is not a table", f"a table of at most {MOST_HYPERPARAMETERS} values"
        return
    for field, value in flat(settings).items():
        if field and not (NAME.fullmatch(field) and _is_plain(value)):
            yield f"config.hyperparameters.{field}", "is not a valid setting", "a name of letters, digits, _ . -"


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str | list) or value == {}


def labels(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where the name of a contributed method is invalid, or can be mistaken for another's."""
    names = {_bare(name): name for name in (*suite.suite.methods, *METHODS.built_in, *RESERVED)}
    for record in submission.students:
        if suite.is_official(record) or record.label in METHODS.built_in:
            continue
        if (problem := _problem_of_label(record.label, names)) is not None:
            yield Violation("labels", str(record.path), "label", *problem)


def _problem_of_label(label: str, names: dict[str, str]) -> tuple[str, str] | None:
    """What is wrong with a name, and what is allowed. names: by their letters and digits; a valid one is added."""
    if not NAME.fullmatch(label):
        return f"{label!r} is not a valid name", "letters, digits, _ . -, at most 64"
    if label in RESERVED or names.setdefault(_bare(label), label) != label:
        return f"{label!r} can be mistaken for {names[_bare(label)]!r}", "another name"
    if _bare(label).startswith("baseline"):
        return f"{label!r} can be mistaken for a baseline", "another name"
    return None


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
