"""What is wrong with the user's data, in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class DataError(ValueError):
    """A folder, an image or a set that cannot be used; one line that names it."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """'; did you mean X? (allowed: A, B, C)', or without the guess."""
    names = sorted(allowed)
    close = get_close_matches(name, names, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{guess} (allowed: {', '.join(names)})"
