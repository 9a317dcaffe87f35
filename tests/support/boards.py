"""Results folders of contributors, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distillbench.bench.store.records import Record, Store
from support.records import config_of, record

PLAIN, GOOD, LIKE_PLAIN = [80.0, 82.0, 81.0], [85.0, 87.2, 86.1], [79.6, 82.5, 81.0]


def student(label: str, values: Sequence[float], first: int = 0, **more: Any) -> list[Record]:
    """A method's records, one for each value. more: fields of the configuration."""
    return [
        record("student", label, seed, value, config_of("student", label, seed, **more))
        for seed, value in enumerate(values, first)
    ]


def beside() -> list[Record]:
    """A teacher and a baseline."""
    return [record("teacher", "teacher", 0, 90.0), record("baseline", "nearest centroid", 0, 70.0)]


def folder(path: Path, records: Sequence[Record]) -> Path:
    """A results folder of these records."""
    for entry in records:
        Store(path).write(entry.path, entry)
    return path


def usual() -> list[Record]:
    """A teacher, a baseline, a method that does nothing, and one that helps."""
    return [*beside(), *student("plain", PLAIN), *student("good", GOOD)]
