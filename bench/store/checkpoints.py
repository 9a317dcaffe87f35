"""Checkpoints: the state of a job that trains, kept every few minutes as long as it runs."""

from __future__ import annotations

import io
import os
import pickle
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError

FOLDER = "checkpoints"
SECONDS, DEFAULT_SECONDS = "DISTILLBENCH_CHECKPOINT_SECONDS", "180"
"""The variable that says how many seconds are between two states that are kept; an interruption costs no more."""


def interval() -> float:
    """The seconds between two states that are kept.

    Raises:
        UserError: the variable holds something else.
    """
    text = os.environ.get(SECONDS, DEFAULT_SECONDS)
    with suppress(ValueError):
        if (seconds := float(text)) >= 0:
            return seconds
    raise UserError(f"{text!r} is no number of seconds", SECONDS, allowed="0 and more")


def path_of(folder: Path, name: str) -> Path:
    """Where the checkpoint of something lies, beside what is made.

    Args:
        folder: of results, or of teachers.
        name: of what is made, as a file's.
    """
    return folder / FOLDER / f"{name}.pt"


class FileCheckpoint:
    """A checkpoint in a file, which is written whole; see ``bench.training.checkpoint.Checkpoint``."""

    def __init__(self, path: Path, of: str, every: float | None = None) -> None:
        """Keep nothing yet.

        Args:
            path: the file.
            of: identifies the training, the code and the processor; a state of another one is not taken up.
            every: seconds between two states that are kept; default: what the environment says.
        """
        self._path, self._of, self._every = path, of, interval() if every is None else every
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state that was kept; None where there is none that can be used."""
        try:
            kept = torch.load(self._path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            return None
        return kept["state"] if isinstance(kept, dict) and kept.get("of") == self._of else None

    def due(self) -> bool:
        """Whether so many seconds have passed since the last time."""
        return time.monotonic() - self._last >= self._every

    def keep(self, state: dict[str, Any]) -> None:
        """Keep a state in place of the one before, which stays where the new one cannot be written."""
        stream = io.BytesIO()
        torch.save({"of": self._of, "state": state}, stream)
        with suppress(OSError):  # a full disk: the training need not end before its results cannot be written
            write_atomically(self._path, stream.getvalue())
        self._last = time.monotonic()


def all_in(folder: Path) -> list[Path]:
    """All checkpoints beside what is made in a folder."""
    return sorted((folder / FOLDER).glob("*.pt"))


def remove(path: Path) -> None:
    """Remove a checkpoint, with its folder where it was the last."""
    path.unlink(missing_ok=True)
    remove_empty(path.parent)


def remove_empty(folder: Path) -> None:
    """Remove a folder of checkpoints that holds none."""
    with suppress(OSError):
        folder.rmdir()
