"""What would fail only after a teacher is trained, found before: sizes that no machine holds, data that do not fit."""

from __future__ import annotations

from pathlib import Path

from bench.errors import UserError
from bench.estimate import probe_task
from bench.suite import Pair
from tasks.data.files import DataError


def check_data(pair: Pair, cache: Path) -> None:
    """Raise UserError where the data cannot be read, or do not fit the settings. Decodes them all."""
    try:
        probe_task(pair, cache).check()
    except DataError as error:
        raise UserError(f"tasks.{pair.task}.{error}") from error
