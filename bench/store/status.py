"""How far a run is: a small file in the results folder while it goes on, for whoever watches from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from distillbench.bench.store import documents
from distillbench.bench.store.documents import Part

NAME = "progress.json"
SCHEMA_VERSION = 1
SILENT = 20
"""Seconds without news after which nothing is said to go on: a run that is killed leaves its file behind."""


class Status(Part):
    """cells, failed: done so far, of ``expected``. seconds, left: since the start, and until the end, about.

    running: {job: (step, steps)}.
    """

    schema_version: Literal[1] = 1
    cells: int = Field(ge=0)
    failed: int = Field(ge=0)
    expected: int = Field(ge=0)
    seconds: float
    left: float | None
    running: Mapping[str, tuple[int, int]]


def read(results: Path) -> Status | None:
    """Of a run that goes on in this folder; None where there is none. Raises UserError for a file that is no status."""
    path = results / NAME
    try:
        if time.time() - path.stat().st_mtime > SILENT:
            return None
    except OSError:
        return None
    return documents.read(path, Status, SCHEMA_VERSION, "status")


def write(results: Path, status: Status) -> None:
    documents.write(results / NAME, status)


def touch(results: Path) -> None:
    """Say that the run still goes on, though nothing has changed."""
    os.utime(results / NAME)


def remove(results: Path) -> None:
    (results / NAME).unlink(missing_ok=True)
