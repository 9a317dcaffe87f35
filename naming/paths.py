"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from naming.errors import UserError


def expanded(path: str | Path) -> Path:
    """The path with a home folder in place of ``~`` or ``~NAME``, which a shell expands only where a word begins.

    Raises UserError where there is no such home: no such user, or one whom neither HOME nor the system knows.
    """
    path = Path(path)
    try:
        return path.expanduser()
    except (RuntimeError, KeyError) as error:
        raise UserError(f"{path}: {path.parts[0]} is no home folder here (give the whole path, or ./{path})") from error


def expanded_setting(value: Any) -> Any:
    """Likewise of a validated setting, where it is a path. Raises ValueError, of which pydantic tells the place."""
    try:
        return expanded(value) if isinstance(value, Path) else value
    except UserError as error:
        raise ValueError(str(error)) from error
