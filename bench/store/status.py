"""The progress of a run: a small file in its results folder while it runs, which another process can watch."""

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
"""Seconds without a change after which a run counts as ended: one that is killed leaves its file behind."""


class Status(Part):
    """How far a run is.

    Attributes:
        cells: finished or failed so far.
        failed: those of them that failed.
        expected: cells in all.
        seconds: since the start.
        left: seconds until the end, about; None where nobody can say yet.
        running: the step and the number of steps of each job that runs, by its name.
    """

    schema_version: Literal[1] = 1
    cells: int = Field(ge=0)
    failed: int = Field(ge=0)
    expected: int = Field(ge=0)
    seconds: float
    left: float | None
    running: Mapping[str, tuple[int, int]]


def read(results: Path) -> Status | None:
    """The status of the run in this folder; None where none runs. Raises UserError for a file that is not a status."""
    path = results / NAME
    try:
        if time.time() - path.stat().st_mtime > SILENT:
            return None
    except OSError:
        return None
    return documents.read(path, Status, SCHEMA_VERSION, "status")


def write(results: Path, status: Status) -> None:
    """Write the status of a run, whole or not at all."""
    documents.write(results / NAME, status)


def touch(results: Path) -> None:
    """Show that the run still goes on, though nothing has changed."""
    os.utime(results / NAME)


def remove(results: Path) -> None:
    """Remove the status when the run has ended."""
    (results / NAME).unlink(missing_ok=True)
