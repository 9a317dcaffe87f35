"""What validation found: a line for each claim that does not hold, and one answer for the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 160
"""Characters that are shown of one untrusted text."""
REFUSED = 1
"""The exit code of a submission that does not hold."""


@dataclass(frozen=True)
class Finding:
    """A claim that does not hold. file: in the submission. field: within the file, '' for all of it.

    problem: what is wrong. allowed: what would be right, '' where the problem says it. Any may hold untrusted text.
    """

    check: str
    file: str
    field: str
    problem: str
    allowed: str = ""

    def __str__(self) -> str:
        """One line that any terminal takes."""
        place = ": ".join(shown(part) for part in (self.file, self.field) if part)
        allowed = f" (allowed: {shown(self.allowed, 2 * LONGEST)})" if self.allowed else ""
        return f"{place}: {shown(self.problem, 2 * LONGEST)}{allowed}"


@dataclass(frozen=True)
class Check:
    """One kind of claim. what: in words. ran: whether it could be looked at."""

    name: str
    what: str
    findings: tuple[Finding, ...] = ()
    ran: bool = True


@dataclass(frozen=True)
class Report:
    """path: the submission as the user named it. notes: what a reader must know beside the findings."""

    path: str
    suite: str
    records: int
    weights: int
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for check in self.checks for finding in check.findings)

    @property
    def exit_code(self) -> int:
        """0 where nothing was found."""
        return REFUSED if self.findings else 0


def shown(text: object, most: int = LONGEST) -> str:
    """Untrusted text as a part of one line: what is not printed as itself is spelled out, what is long is cut.

    Line ends, escape sequences of terminals and marks that turn the direction of writing are none of them printable.
    """
    whole = str(text)
    cut = whole if len(whole) <= most else f"{whole[:most]}… ({len(whole):,} characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def counted(count: int, noun: str) -> str:
    """'1 record', '3 records'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[object]) -> str:
    """'1, 2 and 4'; of many the first few."""
    texts = [shown(name, 60) for name in names]
    if len(texts) > 6:
        return f"{', '.join(texts[:5])} and {len(texts) - 5} more"
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))
