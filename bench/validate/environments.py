"""Checks of machine, date, revision and text: complete, possible and printable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from distillbench.bench.machine.environment import EXTRAS, LIBRARIES
from distillbench.bench.machine.processor import NUMBERS
from distillbench.bench.store.records import Record
from distillbench.bench.validate.claimed_suite import ClaimedSuite
from distillbench.bench.validate.submission import Submission
from distillbench.bench.validate.untrusted_text import listed
from distillbench.bench.validate.violations import Problem, Violation

FIRST = datetime(2026, 11, 25, tzinfo=UTC)
"""No record of this schema was made before."""
SKEW = timedelta(days=1)
"""By which a clock may be wrong."""
REVISION = re.compile(r"[0-9a-f]{40}|distillbench \d+(\.\d+)+[A-Za-z0-9.+]{0,40}")
REVISIONS = "a commit without changes (40 hexadecimal digits), or 'distillbench VERSION'"
REQUIRED = ("cpu", "os", "machine", "python")
OPTIONAL = ("governor", "gpu", "cuda")
PROCESSOR = (*NUMBERS.values(), "instructions", "capability")
TABLES = ("libraries", "processor")
COUNTS = ("cores", "quota")
LONGEST_FIELD = 200
LONGEST = 1_000
"""Characters of any text in a record, except a traceback."""
LONGEST_TRACEBACK = 100_000
MOST_CORES = 100_000


def dates(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where a record is older than the schema, or from the future."""
    latest = datetime.now(UTC) + SKEW
    for record in submission.records:
        created = record.created
        if created.tzinfo is None:
            yield Violation("dates", str(record.path), "created", f"{created.isoformat()} has no time zone", "UTC")
        elif not FIRST <= created <= latest:
            between = f"{FIRST.date().isoformat()} to {latest.date().isoformat()}"
            yield Violation("dates", str(record.path), "created", f"{created.isoformat()} is impossible", between)


def environment(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where machine, system or libraries are missing, or others cannot obtain the revision."""
    for record in submission.records:
        place = str(record.path)
        for field, problem, allowed in _environment(record.environment):
            yield Violation("environment", place, f"environment.{field}", problem, allowed)
        if not REVISION.fullmatch(record.revision):
            problem = f"{record.revision!r} is code that nobody else can obtain"
            yield Violation("environment", place, "revision", problem, REVISIONS)


def _environment(values: Mapping[str, Any]) -> Iterator[Problem]:
    libraries, processor = values.get("libraries"), values.get("processor", {})
    if not isinstance(libraries, dict):
        yield "libraries", "is missing", f"a table of {listed(LIBRARIES)}"
    if not isinstance(processor, dict):
        yield "processor", f"{processor!r} is not a table", f"a table of {listed(PROCESSOR)}"
    for field, value in _text_fields(values).items():
        if value is None:
            yield field, "is missing", "a text"
        elif not isinstance(value, str) or not 0 < len(value) <= LONGEST_FIELD:
            yield field, f"{value!r} is not a valid text", f"a text of 1 to {LONGEST_FIELD} characters"
    yield from _counts(values)
    known = {*REQUIRED, *OPTIONAL, *TABLES, *COUNTS}
    for field in (*(field for field in values if field not in known), *_unknown_entries(values)):
        yield field, "is not a known field", listed(sorted(known))


def _text_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that must be text, by place; None where a required one is missing."""
    fields = {field: values.get(field) for field in REQUIRED}
    if isinstance(libraries := values.get("libraries"), dict):
        fields |= {f"libraries.{name}": libraries.get(name) for name in LIBRARIES}
    fields |= {field: values[field] for field in OPTIONAL if field in values}
    if isinstance(processor := values.get("processor"), dict):
        fields |= {f"processor.{name}": value for name, value in processor.items() if name in PROCESSOR}
    return fields


def _unknown_entries(values: Mapping[str, Any]) -> Iterator[str]:
    for table, names in {"libraries": LIBRARIES + EXTRAS, "processor": PROCESSOR}.items():
        if isinstance(entries := values.get(table), dict):
            yield from (f"{table}.{name}" for name in entries if name not in names)


def _counts(values: Mapping[str, Any]) -> Iterator[Problem]:
    cores, quota = values.get("cores"), values.get("quota", 1.0)
    if cores is None:
        yield "cores", "is missing", "1 and more"
    elif not isinstance(cores, int) or isinstance(cores, bool) or not 0 < cores <= MOST_CORES:
        yield "cores", f"{cores!r} is not a number of cores", "1 and more"
    if isinstance(quota, bool) or not isinstance(quota, int | float) or not 0 < quota <= MOST_CORES:
        yield "quota", f"{quota!r} is not a number of cores", "above 0"


def text(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where a text is too long, or has unprintable characters."""
    for record in submission.records:
        for problem in _text_problems(record):
            yield Violation("text", str(record.path), *problem)


def _text_problems(record: Record) -> Iterator[Problem]:
    for field, value in _texts(record.model_dump(mode="python"), ""):
        traceback = field == "failure.traceback"
        longest = LONGEST_TRACEBACK if traceback else LONGEST
        line = value.replace("\n", "") if traceback else value
        if len(value) > longest:
            yield field, f"has {len(value):,} characters", f"at most {longest:,}"
        elif not line.isprintable():
            yield field, f"{value!r} has unprintable characters", ""


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text with its place, names of fields included."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield place, key
            yield from _texts(entry, f"{place}.{key}" if place else key)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry, place)
