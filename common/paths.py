"""Paths as users write them; what cannot have been meant is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from distillbench.common.errors import UserError


def expanded(path: str | Path) -> Path:
    """A path with the home folder in place of ``~`` or ``~NAME``, which a shell expands only where a word begins.

    Raises:
        UserError: there is no such user, or neither HOME nor the system knows the user's home folder.
    """
    path = Path(path)
    try:
        return path.expanduser()
    except (RuntimeError, KeyError) as error:
        problem = f"{path.parts[0]} is not a home folder here (give the whole path, or ./{path})"
        raise UserError(problem, path) from error


def expanded_setting(value: Any) -> Any:
    """A validator of pydantic: a setting that is a path, with the home folder in place of ``~``; others as they are."""
    try:
        return expanded(value) if isinstance(value, Path) else value
    except UserError as error:
        raise ValueError(str(error)) from error


def folder_option(option: str, must_exist: bool = False) -> Callable[[str], Path]:
    """The parser of an option that names a folder.

    An empty text, such as a variable of the shell that is not set, is refused: a Path would take it for the current
    folder.

    Args:
        option: as it is written, for messages.
        must_exist: whether the folder must be there.
    """

    def parse(text: str) -> Path:
        if not text:
            raise UserError("is empty (give a folder, or leave it out)", option)
        folder = expanded(text)
        if must_exist and not folder.is_dir():
            raise UserError(f"{text} is not a folder", option)
        return folder

    return parse


results_folder = folder_option("--out")


def regular_file(path: Path, option: str) -> Path:
    """The file to write, links followed. Raises UserError for a device and the like, which must not be replaced."""
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            raise UserError(f"{path} is not a regular file", option)
    except (OSError, RuntimeError) as error:  # a loop of links; a folder that may not be read
        raise UserError(f"{path} cannot be written ({error})", option) from error
    return target
