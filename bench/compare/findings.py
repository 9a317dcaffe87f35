"""Verdicts of a comparison: one for each cell and metric, with its reason in words, and one for the whole report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from distillbench.bench.statistics import Verdict

Outcome = Verdict | Literal["missing", "incomparable"]
OUTCOMES: tuple[Outcome, ...] = ("regressed", "missing", "incomparable", "inconclusive", "improved", "pass")
"""From worst to best."""
EXIT_CODES: dict[Outcome, int] = {
    "pass": 0,
    "improved": 0,
    "regressed": 1,
    "missing": 3,
    "incomparable": 3,
    "inconclusive": 4,
}
NOTHING_COMPARED = 3
"""The exit code of a report without findings."""
POSITION: dict[Outcome, str] = {
    "pass": "within",
    "inconclusive": "interval crosses",
    "regressed": "beyond",
    "improved": "beyond",
}
"""Where an interval lies relative to the margin, by the outcome that this means."""


@dataclass(frozen=True)
class Change:
    """The change from baseline to candidate with its interval.

    Attributes:
        kind: "ratio" (candidate / baseline) or "difference" (candidate − baseline, in the metric's unit).
        value: The estimate.
        low: The interval's lower end; NaN without an interval.
        high: The interval's upper end; NaN without an interval.
    """

    kind: Literal["ratio", "difference"]
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """The verdict on one metric of one cell.

    Attributes:
        cell: For example 'denoising/dncnn/mimic'.
        metric: For example 'psnr', 'parameters' or 'speedup, onnxruntime, batch 1'.
        outcome: The verdict.
        reason: Why, in words.
        baseline: The baseline's value, in ``unit``.
        candidate: The candidate's value, in ``unit``.
        unit: The unit of both values.
        change: From baseline to candidate, for what is measured under noise.
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
    """All findings of one comparison.

    Attributes:
        baseline: As the user named it.
        candidate: As the user named it.
        findings: One for each cell and metric.
        notes: What a reader must know besides.
    """

    baseline: str
    candidate: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of all findings; "missing" without any."""
        return worst([finding.outcome for finding in self.findings])

    def exit_code(self, allow_inconclusive: bool = False) -> int:
        """The command's exit code.

        Args:
            allow_inconclusive: Whether an inconclusive report counts as a pass.

        Returns:
            0 pass, 1 regression, 3 incomplete or nothing compared, 4 inconclusive.
        """
        if not self.findings:
            return NOTHING_COMPARED
        code = EXIT_CODES[self.outcome]
        return 0 if allow_inconclusive and code == EXIT_CODES["inconclusive"] else code


def compare_counts(cell: str, metric: str, baseline: int, candidate: int, details: str = "") -> Finding:
    """The verdict on a count that has no noise and of which fewer is better.

    Args:
        cell: The finding's cell.
        metric: The finding's metric.
        baseline: The baseline's count.
        candidate: The candidate's count.
        details: What was added and removed, for the reason.

    Returns:
        A finding: "pass" where the counts are equal, else "regressed" or "improved".
    """
    equal = candidate == baseline
    outcome: Outcome = "pass" if equal else "regressed" if candidate > baseline else "improved"
    reason = f"{baseline:,}, equal" if equal else f"{baseline:,} -> {candidate:,}, {candidate - baseline:+,}"
    return Finding(cell, metric, outcome, reason + (f" ({details})" if details else ""), baseline, candidate)


def differing_field(name: str, baseline: object, candidate: object) -> str:
    """A field that differs in words, "config.data: 'digits' in the baseline, 'letters' in the candidate"."""
    return f"{name}: {baseline!r} in the baseline, {candidate!r} in the candidate"


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of a whole: its worst one.

    Args:
        outcomes: Of the parts.

    Returns:
        "missing" without any; "pass" where some improved and the others pass, since not all improved.
    """
    if not outcomes:
        return "missing"
    outcome = min(outcomes, key=OUTCOMES.index)
    return "pass" if outcome == "improved" and "pass" in outcomes else outcome
