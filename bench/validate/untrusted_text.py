"""Untrusted text in messages: escaped, cut, and in lists of reasonable length."""

from __future__ import annotations

from collections.abc import Sequence

from distillbench.common import text

LONGEST = 160
"""Characters that are shown of one untrusted text."""
LONGEST_NAME = 60
LONGEST_LIST = 6


def escaped(value: object, most: int = LONGEST) -> str:
    """Untrusted text as a part of one line.

    Line ends, escape sequences of terminals and marks that turn the direction of writing are all unprintable.

    Args:
        value: Anything.
        most: Characters to show.

    Returns:
        The text with unprintable characters escaped, cut where it is long.
    """
    full = str(value)
    cut = full if len(full) <= most else f"{full[:most]}… ({len(full):,} characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def counted(count: int, noun: str) -> str:
    """A count with its noun, '1 record' or '3 records'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[object]) -> str:
    """Names in a sentence, '1, 2 and 4'; of many the first few."""
    texts = [escaped(name, LONGEST_NAME) for name in names]
    return text.listed(texts, LONGEST_LIST if len(texts) <= LONGEST_LIST else LONGEST_LIST - 1)
