"""Checks of where, when and by what: complete, possible, and nothing but plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from distillbench.bench.machine.environment import EXTRAS, LIBRARIES
from distillbench.bench.machine.processor import NUMBERS
from distillbench.bench.store.records import Record
from distillbench.bench.validate.claim import Claim
from distillbench.bench.validate.findings import Finding, listed
from distillbench.bench.validate.folder import Submission

FIRST = datetime(2026, 11, 25, tzinfo=UTC)
"""No record of this schema was made before."""
SKEW = timedelta(days=1)
"""By so much a clock may be wrong."""
REVISION = re.compile(r"[0-9a-f]{40}|distillbench \d+(\.\d+)+[A-Za-z0-9.+]{0,40}")
WORDS = ("cpu", "os", "machine", "python")
OPTIONAL = ("governor", "gpu", "cuda")
PROCESSOR = (*NUMBERS.values(), "instructions", "capability")
LONGEST = 1_000
"""Characters of any text in a record, but a traceback."""
LONGEST_TRACEBACK = 100_000


def dates(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """Made after the schema was, and not in the future."""
    latest = datetime.now(UTC) + SKEW
    for record in submission.records:
        made = record.created
        if made.tzinfo is None:
            yield Finding("dates", str(record.path), "created", f"{made.isoformat()} has no time zone", "UTC")
        elif not FIRST <= made <= latest:
            between = f"{FIRST.date().isoformat()} to {latest.date().isoformat()}"
            yield Finding("dates", str(record.path), "created", f"{made.isoformat()} cannot be", between)


def environment(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """Machine, system and library versions are there, and the revision is one that can be had again."""
    for record in submission.records:
        place = str(record.path)
        for field, problem, allowed in _environment(record.environment):
            yield Finding("environment", place, f"environment.{field}", problem, allowed)
        if not REVISION.fullmatch(record.revision):
            yield Finding(
                "environment",
                place,
                "revision",
                f"{record.revision!r}: nobody else has this code",
                "a commit without changes (40 hexadecimal digits), or 'distillbench VERSION'",
            )


def _environment(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    libraries = found.get("libraries")
    fields = {field: found.get(field) for field in WORDS}
    if isinstance(libraries, dict):
        fields |= {f"libraries.{name}": libraries.get(name) for name in LIBRARIES}
        strangers = [f"libraries.{name}" for name in libraries if name not in LIBRARIES + EXTRAS]
    else:
        yield "libraries", "is missing", f"a table of {listed(LIBRARIES)}"
        strangers = []
    fields |= {field: found[field] for field in OPTIONAL if field in found}
    processor = found.get("processor", {})
    if isinstance(processor, dict):
        fields |= {f"processor.{name}": value for name, value in processor.items() if name in PROCESSOR}
        strangers += [f"processor.{name}" for name in processor if name not in PROCESSOR]
    else:
        yield "processor", f"{processor!r} is none", f"a table of {listed(PROCESSOR)}"
    for field, value in fields.items():
        if value is None:
            yield field, "is missing", "a text"
        elif not isinstance(value, str) or not 0 < len(value) <= 200:
            yield field, f"{value!r} is none", "a text of 1 to 200 characters"
    cores = found.get("cores")
    if not isinstance(cores, int) or isinstance(cores, bool) or not 0 < cores <= 100_000:
        yield "cores", "is missing" if cores is None else f"{cores!r} is no number of cores", "1 and more"
    quota = found.get("quota", 1.0)
    if isinstance(quota, bool) or not isinstance(quota, int | float) or not 0 < quota <= 100_000:
        yield "quota", f"{quota!r} is no number of cores", "above 0"
    known = {*WORDS, *OPTIONAL, "cores", "libraries", "processor", "quota"}
    for field in (*(field for field in found if field not in known), *strangers):
        yield field, "is no such field", listed(sorted(known))


def text(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """Every text is of a sensible length and of characters that are printed as themselves, in one direction."""
    for record in submission.records:
        for field, problem, allowed in _texts(record):
            yield Finding("text", str(record.path), field, problem, allowed)


def _texts(record: Record) -> Iterator[tuple[str, str, str]]:
    for field, value in _leaves(record.model_dump(mode="python"), ""):
        traceback = field == "failure.traceback"
        longest = LONGEST_TRACEBACK if traceback else LONGEST
        plain = value.replace("\n", "") if traceback else value
        if len(value) > longest:
            yield field, f"has {len(value):,} characters", f"at most {longest:,}"
        elif not plain.isprintable():
            yield field, f"{value!r} has characters that are not printed as themselves", ""


def _leaves(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text, also of names of fields, with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield place, key
            yield from _leaves(entry, f"{place}.{key}" if place else key)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _leaves(entry, place)
