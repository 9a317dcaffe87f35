"""What validation reports: the violations of each check, and one answer for the whole submission."""

from __future__ import annotations

from dataclasses import dataclass

from distillbench.bench.validate.untrusted_text import LONGEST, escaped

REFUSED = 1
"""The exit code of a submission with violations."""
Problem = tuple[str, str, str]
"""A field, what is wrong with it, and what would be allowed ('' where the problem says it)."""


@dataclass(frozen=True)
class Violation:
    """Something in a submission that breaks a rule. Any text may be untrusted.

    Attributes:
        check: The name of the check.
        file: Its path in the submission.
        field: Within the file; '' for all of it.
        problem: What is wrong.
        allowed: What would be right; '' where the problem says it.
    """

    check: str
    file: str
    field: str
    problem: str
    allowed: str = ""

    def __str__(self) -> str:
        """One line for any terminal."""
        place = ": ".join(escaped(part) for part in (self.file, self.field) if part)
        allowed = f" (allowed: {escaped(self.allowed, 2 * LONGEST)})" if self.allowed else ""
        return f"{place}: {escaped(self.problem, 2 * LONGEST)}{allowed}"


@dataclass(frozen=True)
class Check:
    """One check of a submission.

    Attributes:
        name: One word.
        rule: What must hold, in words.
        violations: Where it does not.
        ran: Whether it could be checked.
    """

    name: str
    rule: str
    violations: tuple[Violation, ...] = ()
    ran: bool = True


@dataclass(frozen=True)
class Report:
    """The result of validating one submission.

    Attributes:
        path: The submission, as the user named it.
        suite: The suite that it claims to be of.
        records: How many there are.
        weights: How many files of weights there are.
        checks: All checks.
        notes: What a reader must know besides.
    """

    path: str
    suite: str
    records: int
    weights: int
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The violations of all checks."""
        return tuple(violation for check in self.checks for violation in check.violations)

    @property
    def exit_code(self) -> int:
        """0 without violations, else ``REFUSED``."""
        return REFUSED if self.violations else 0
