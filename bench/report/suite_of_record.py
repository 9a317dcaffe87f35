"""A record as a suite that makes it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distillbench.bench.store.fingerprint import without_digests
from distillbench.bench.store.records import Record
from distillbench.bench.suite.file import NONE, written
from distillbench.tasks.data.sets import settings_of

FILE = "FILE with {digest}"
"""In the place of a path: whoever makes it again has to say where the file lies."""


def suite_of(record: Record) -> dict[str, Any]:
    """A table as a suite file has it, of this cell alone; a reference and a teacher come with the scratch student.

    The user's own folders are not in it, and of her files the digests alone: no record says where they lie.
    """
    settings = _written(without_digests(record.config.get("settings", {}), FILE))
    hyperparameters = _written(record.config.get("hyperparameters", {}))
    data = {"data": its} if (its := settings_of(record.config.get("data"))) else {}
    method = record.label if record.kind == "student" else "scratch"
    own = {"hyperparameters": {method: hyperparameters}} if hyperparameters else {}
    return {
        "name": "again",
        "seeds": [record.seed],
        "methods": [method],
        "device": str(record.config.get("device", "cpu")),
        "teachers": record.teachers,
        "tasks": {record.task: {**data, "pairs": [record.pair], "pair": {record.pair: settings | own}}},
    }


def suite_file(record: Record) -> str:
    """That table as TOML."""
    return written(suite_of(record))


def _written(values: Any) -> dict[str, Any]:
    """What is none, said to be: TOML has no word for it."""
    if not isinstance(values, Mapping):
        return {}
    return {
        key: _written(value) if isinstance(value, Mapping) else NONE if value is None else value
        for key, value in values.items()
    }
