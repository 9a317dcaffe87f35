"""A record as a suite that reproduces it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distillbench.bench.store.fingerprint import without_digests
from distillbench.bench.store.records import Record
from distillbench.bench.suite.file import NONE, written
from distillbench.tasks.data.sets import settings_of

FILE = "FILE with {digest}"
"""Stands for a path, which no record has: the user has to fill it in."""


def suite_of(record: Record) -> dict[str, Any]:
    """The suite of one cell, as the table of a suite file.

    A baseline or a teacher is run beside the scratch student. Paths of the user's own folders and files are missing:
    records only have the digests of files.

    Args:
        record: The record that is to be reproduced.
    """
    network_settings = _written(without_digests(record.config.get("settings", {}), FILE))
    hyperparameters = _written(record.config.get("hyperparameters", {}))
    data = {"data": settings} if (settings := settings_of(record.config.get("data"))) else {}
    method = record.label if record.kind == "student" else "scratch"
    tuned = {"hyperparameters": {method: hyperparameters}} if hyperparameters else {}
    return {
        "name": "again",
        "seeds": [record.seed],
        "methods": [method],
        "device": str(record.config.get("device", "cpu")),
        "teachers": record.teachers,
        "tasks": {record.task: {**data, "pairs": [record.pair], "pair": {record.pair: network_settings | tuned}}},
    }


def suite_file(record: Record) -> str:
    """The suite of one cell as a TOML file."""
    return written(suite_of(record))


def _written(values: Any) -> dict[str, Any]:
    """Settings with a word for None, which TOML does not have."""
    if not isinstance(values, Mapping):
        return {}
    return {
        key: _written(value) if isinstance(value, Mapping) else NONE if value is None else value
        for key, value in values.items()
    }
