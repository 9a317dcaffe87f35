"""What a comparison found: a verdict for each cell and metric, with its reason in words, and one for the family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from distillbench.bench.statistics import Verdict

Outcome = Verdict | Literal["missing", "incomparable"]
OUTCOMES: tuple[Outcome, ...] = ("regressed", "missing", "incomparable", "inconclusive", "improved", "pass")
"""The worst first."""
EXIT_CODES: dict[Outcome, int] = {
    "pass": 0,
    "improved": 0,
    "regressed": 1,
    "missing": 3,
    "incomparable": 3,
    "inconclusive": 4,
}
NOTHING = 3
"""The exit code where there was nothing to compare."""


@dataclass(frozen=True)
class Change:
    """From baseline to candidate, with its interval; the ends are NaN where there is none.

    kind: "ratio" is candidate / baseline, "difference" candidate − baseline in the metric's unit.
    """

    kind: Literal["ratio", "difference"]
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """cell: 'denoising/dncnn/mimic'. metric: 'psnr', 'parameters', 'speedup, onnxruntime, batch 1'.

    reason: of the outcome, in words.
    """

    cell: str
    metric: str
    outcome: Outcome
    reason: str
    baseline: float | None = None
    candidate: float | None = None
    unit: str = ""
    change: Change | None = None


@dataclass(frozen=True)
class Report:
    """baseline, candidate: what was compared, as the user named it. notes: what a reader must know of the whole."""

    baseline: str
    candidate: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The family's: the worst of all; missing where there was nothing to compare."""
        return worst([finding.outcome for finding in self.findings])

    def exit_code(self, allow_inconclusive: bool = False) -> int:
        """0 pass, 1 regression, 3 incomplete or nothing to compare, 4 inconclusive (0 where that is allowed)."""
        if not self.findings:
            return NOTHING
        code = EXIT_CODES[self.outcome]
        return 0 if allow_inconclusive and code == EXIT_CODES["inconclusive"] else code


def exact(cell: str, metric: str, old: int, new: int, more: str = "") -> Finding:
    """A figure without noise, of which fewer are better. more: what came or went."""
    outcome: Outcome = "pass" if new == old else "regressed" if new > old else "improved"
    reason = f"{old:,}, equal" if new == old else f"{old:,} -> {new:,}, {new - old:+,}"
    return Finding(cell, metric, outcome, reason + (f" ({more})" if more else ""), old, new)


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """'pass' where some improved and the others pass: an improvement of one is none of the family."""
    if not outcomes:
        return "missing"
    first = min(outcomes, key=OUTCOMES.index)
    return "pass" if first == "improved" and "pass" in outcomes else first
