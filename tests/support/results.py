"""Results folders of records written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distillbench.bench.store import timings
from distillbench.bench.store.records import Record, Store
from support.records import record, records, timing

BEFORE = [85.0, 87.2, 86.1]


def folder(root: Path, made: Sequence[Record], **more: Any) -> Path:
    for one in made:
        Store(root).write(one.path, one)
    timings.write(root, timing(list(made), **more))
    return root


def good(values: Sequence[float], first: int = 0, **more: Any) -> list[Record]:
    """The usual records, those of the method 'good' with these values, from this seed on."""
    others = [r for r in records() if r.label not in ("good", "broken")]
    return others + [record("student", "good", first + i, value, **more) for i, value in enumerate(values)]
