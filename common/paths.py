"""Paths as users write them; those that cannot be what was meant are refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from distillbench.common.errors import UserError


def expanded(path: str | Path) -> Path:
    """The path with a home folder in place of ``~`` or ``~NAME``, which a shell expands only where a word begins.

    Raises UserError where there is no such home: no such user, or one whom neither HOME nor the system knows.
    """
    path = Path(path)
    try:
        return path.expanduser()
    except (RuntimeError, KeyError) as error:
        problem = f"{path.parts[0]} is no home folder here (give the whole path, or ./{path})"
        raise UserError(problem, path) from error


def expanded_setting(value: Any) -> Any:
    """Likewise of a validated setting, where it is a path. Raises ValueError, of which pydantic tells the place."""
    try:
        return expanded(value) if isinstance(value, Path) else value
    except UserError as error:
        raise ValueError(str(error)) from error


def some_folder(option: str, there: bool = False) -> Callable[[str], Path]:
    """The parser of an option. As a Path an empty text, of a variable that is not set, would be the current folder.

    there: the folder must be.
    """

    def parse(text: str) -> Path:
        if not text:
            raise UserError("is empty (give a folder, or leave it out)", option)
        folder = expanded(text)
        if there and not folder.is_dir():
            raise UserError(f"{text} is not a folder", option)
        return folder

    return parse


results_folder = some_folder("--out")


def regular_file(path: Path, option: str) -> Path:
    """Where to write: what a link names. Replacing what is no regular file would take a device away, for root."""
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            raise UserError(f"{path} is not a regular file", option)
    except (OSError, RuntimeError) as error:  # a loop of links; a folder that may not be read
        raise UserError(f"{path} cannot be written ({error})", option) from error
    return target
