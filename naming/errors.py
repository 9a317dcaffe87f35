"""What the user asked for and cannot have: one line, no traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in what was asked for. The message names the file, the field and what is allowed."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """'; did you mean X? (allowed: A, B, C)', or without the guess."""
    names = sorted(allowed)
    close = get_close_matches(name, names, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{guess} (allowed: {', '.join(names)})"
