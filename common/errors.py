"""Mistakes of the user: what is wrong, where, and what to do, in one line; no traceback, exit code 2."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

RENAMED = {"held_out": "validation"}
"""Keys of suites that have another name now: {old: new}."""


class UserError(Exception):
    """A mistake in what was asked for; its text is one line: 'WHERE: FIELD: PROBLEM; did you mean X? (allowed: X, Y)'.

    Args:
        problem: what is wrong, and what to do where that is not plain; without place and allowed values.
        where: the file, the folder or the option; '' where a caller knows it (``within``).
        field: the setting or field in it, dotted: 'tasks.gan.steps'.
        allowed: the names to choose from, or a phrase such as '1 and more'.
        name: what was written in place of one of the allowed names: the nearest of them is suggested.
    """

    def __init__(
        self,
        problem: str,
        where: str | Path = "",
        field: str = "",
        *,
        allowed: str | Iterable[str] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem, self.where, self.field = problem, str(where), field
        self.allowed = (allowed,) if isinstance(allowed, str) else tuple(allowed)
        self.suggestion = "" if name is None else suggestion(name, self.allowed)

    def __str__(self) -> str:
        text = ": ".join(filter(None, (self.where, self.field, self.problem)))
        return one_line(text + _choice(self.suggestion, self.allowed))

    def within(self, where: str | Path = "", field: str = "") -> Self:
        """The same mistake, seen from further out.

        Args:
            where: the file, folder or option that holds what this error is about; goes before its ``where``.
            field: the table that holds its field; goes before its ``field``, with a dot between them.

        Returns:
            A new error of the same class; raise it ``from`` this one.
        """
        error = copy.copy(self)
        error.where = ": ".join(filter(None, (str(where), self.where)))
        error.field = ".".join(filter(None, (field, self.field)))
        return error


class DataError(UserError):
    """A folder, an image or a data set that cannot be used; where it is a setting's, ``field`` names the setting."""


class DataWarning(UserWarning):
    """What was left out of a folder, made again, or is out of date; one line that names it."""


class FailedCellsError(Exception):
    """Some cells failed; the others are finished and kept in the results folder.

    Args:
        failures: why, by the name of the cell.
        cells: how many cells there were.
    """

    def __init__(self, failures: Mapping[str, str], cells: int) -> None:
        cell, reason = next(iter(failures.items()))
        super().__init__(f"{len(failures)} of {cells} cells failed, first {cell}: {reason}")
        self.failures = dict(failures)


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """'did you mean 'gan'?', or of a renamed key 'it is called 'validation' now'; '' where no allowed name is near."""
    names = sorted(allowed)
    if RENAMED.get(name) in names:
        return f"it is called {RENAMED[name]!r} now"
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def check_name(kind: str, name: str, allowed: Iterable[str], where: str = "", field: str = "") -> None:
    """Raise UserError 'unknown KIND NAME', with the nearest and all allowed names, where the name is none of them."""
    names = sorted(allowed)
    if name not in names:
        raise UserError(f"unknown {kind} {name!r}", where, field, allowed=names, name=name)


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """The end of a message about an unknown name: '; did you mean 'A'? (allowed: A, B, C)'."""
    names = sorted(allowed)
    return _choice(suggestion(name, names), names)


def _choice(hint: str, allowed: Sequence[str]) -> str:
    return (f"; {hint}" if hint else "") + (f" (allowed: {', '.join(allowed)})" if allowed else "")


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
def warn_once(message: str) -> None:
    """Warn, once a process: folders are looked at again and again."""
    warnings.warn(message, DataWarning, stacklevel=2)
