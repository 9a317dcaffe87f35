"""Results folders of records written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distillbench.bench.store import timings
from distillbench.bench.store.records import Record, Store
from support.records import record, records, timing

BEFORE = [85.0, 87.2, 86.1]


def folder(root: Path, contents: Sequence[Record], **more: Any) -> Path:
    """A results folder of these records and a timing of their networks. more: fields of the timing."""
    for entry in contents:
        Store(root).write(entry.path, entry)
    timings.write(root, timing(list(contents), **more))
    return root


def good(values: Sequence[float], first: int = 0, **more: Any) -> list[Record]:
    """The usual records, but of the method 'good' with these values, from seed ``first`` on."""
    others = [r for r in records() if r.label not in ("good", "broken")]
    return others + [record("student", "good", first + i, value, **more) for i, value in enumerate(values)]
