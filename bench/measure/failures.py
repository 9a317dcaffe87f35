"""Failures of foreign code (exporters, compilers, quantisers) as results: one line that says why."""

from __future__ import annotations

from dataclasses import dataclass

from distillbench.common.errors import UserError, one_line

LONGEST = 200
"""Characters of a reason."""


@dataclass(frozen=True)
class NotAvailable:
    """Why a network cannot be timed on a backend here, in one line."""

    reason: str


def failure_line(error: BaseException) -> str:
    """Return an exception's class and the first line of its message; of a UserError the message alone."""
    kind = type(error).__name__
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = first if isinstance(error, UserError) and first else ": ".join(filter(None, (kind, first)))
    return one_line(text)[:LONGEST]
