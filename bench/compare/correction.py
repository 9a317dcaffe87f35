"""The correction for multiple comparisons: a change is claimed only where it is significant in its whole family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from distillbench.bench.compare.findings import Finding
from distillbench.bench.statistics import Interval, holm

LEVEL = 0.05
"""The family-wise error rate of claimed changes, of metrics and of stored times."""


@dataclass(frozen=True)
class Comparison:
    """One member of a family of comparisons, not corrected yet.

    Attributes:
        finding: The verdict of its own interval.
        p: Of the hypothesis "the change is within the margin"; NaN where nothing was tested.
    """

    finding: Finding
    p: float = math.nan


def p_beyond(difference: Interval, margin: float) -> float:
    """The two-sided p-value of "the difference is no larger than the margin".

    Args:
        difference: A 95% interval of candidate − baseline.
        margin: In the same unit.

    Returns:
        p, below 5% exactly where the interval lies wholly beyond the margin.
    """
    from scipy.special import stdtr, stdtrit

    excess = abs(difference.mean) - margin
    if excess <= 0:
        return 1.0
    if difference.half_width == 0:
        return 0.0
    error = difference.half_width / float(stdtrit(difference.degrees, 0.975))
    return 2 * float(stdtr(difference.degrees, -excess / error))


def corrected(family: Sequence[Comparison]) -> list[Finding]:
    """The findings after Holm's correction (1979): an insignificant change becomes inconclusive.

    Args:
        family: All comparisons that one report claims changes by.

    Returns:
        Their findings, in the same order.
    """
    adjusted = holm([comparison.p for comparison in family])
    size = sum(not math.isnan(comparison.p) for comparison in family)
    return [_corrected(comparison.finding, p, size) for comparison, p in zip(family, adjusted, strict=True)]


def _corrected(finding: Finding, p: float, size: int) -> Finding:
    if finding.outcome not in ("regressed", "improved") or p < LEVEL:
        return finding
    reason = f"{finding.reason}, but not significant among {size} comparisons (Holm-corrected p = {p:.2g})"
    return replace(finding, outcome="inconclusive", reason=reason)
