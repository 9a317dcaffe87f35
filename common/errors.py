"""What is wrong, for the user, in one line: no traceback, exit code 2."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

RENAMED = {"held_out": "validation"}
"""Keys of suites that have another name now: {old: new}."""


class UserError(Exception):
    """A mistake in what was asked for. The message names the file, the field and what is allowed."""


class DataError(ValueError):
    """A folder, an image or a set that cannot be used; one line that names it."""


class DataWarning(UserWarning):
    """What was left out of a folder, or made again; one line that names it."""


class FailedCellsError(Exception):
    """Some cells came to nothing. failures: why, by cell. The others are finished, and in the results folder."""

    def __init__(self, failures: Mapping[str, str], cells: int) -> None:
        cell, reason = next(iter(failures.items()))
        super().__init__(f"{len(failures)} of {cells} cells failed, first {cell}: {reason}")
        self.failures = dict(failures)


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """'; did you mean X? (allowed: A, B, C)', or without the guess; of an old name the new one."""
    names = sorted(allowed)
    if RENAMED.get(name) in names:
        return f"; it is called {RENAMED[name]!r} now"
    close = get_close_matches(name, names, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{guess} (allowed: {', '.join(names)})"


def one_line(text: str) -> str:
    """The text as one line that any output takes: names of files may hold line ends, and bytes that are no text."""
    return " ".join(text.splitlines()).encode(errors="backslashreplace").decode()


def at_most(count: int, lines: Sequence[str]) -> list[str]:
    """The first few lines, and how many more there are."""
    more = len(lines) - count
    return [*lines[:count], f"and {more} more"] if more > 0 else list(lines)


def warn_in_one_line() -> None:
    """Warnings about the user's data are lines of the command, like its errors; others stay as they are."""
    usual = warnings.showwarning

    def show(message: Any, category: type[Warning], *more: Any, **options: Any) -> None:
        if issubclass(category, DataWarning):
            print(f"distillbench: {one_line(str(message))}", file=sys.stderr)
        else:
            usual(message, category, *more, **options)

    warnings.showwarning = show


@lru_cache
def tell(message: str) -> None:
    """Warn, once a process: folders are looked at again and again."""
    warnings.warn(message, DataWarning, stacklevel=2)
