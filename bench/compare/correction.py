"""What every comparison under noise shares: its margins, its own verdict, and the correction for how many there are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from distillbench.bench.compare.findings import Finding
from distillbench.bench.statistics import Interval, holm

STORED, IN_TURNS = 0.05, 0.01
"""Relative margins of times that were stored on two days, and of two revisions timed in turns (docs/ci.md)."""
LEVEL = 0.05
"""The family-wise error of the regressions and improvements that are claimed: of qualities, and of stored times."""


@dataclass(frozen=True)
class Margins:
    """quality: relative to the baseline's mean. of: {metric: in its unit}. speed: relative. seconds: absolute."""

    quality: float = 0.01
    of: Mapping[str, float] = field(default_factory=dict)
    speed: float = STORED
    seconds: float = 2e-6

    def of_quality(self, metric: str, baseline: float) -> float:
        return self.of.get(metric, self.quality * abs(baseline))


@dataclass(frozen=True)
class Single:
    """A comparison before it is known among how many: the verdict of its own interval, and p of "within the margin"."""

    finding: Finding
    p: float = math.nan


def p_beyond(difference: Interval, margin: float) -> float:
    """Two-sided, of "the difference is no larger than the margin": below 5 % where the interval is beyond it."""
    from scipy.special import stdtr, stdtrit

    excess = abs(difference.mean) - margin
    if excess <= 0:
        return 1.0
    if difference.half_width == 0:
        return 0.0
    error = difference.half_width / float(stdtrit(difference.degrees, 0.975))
    return 2 * float(stdtr(difference.degrees, -excess / error))


def corrected(family: Sequence[Single]) -> list[Finding]:
    """What is claimed of the whole family (Holm 1979): what is not beyond chance among so many is inconclusive."""
    found, size = [], sum(not math.isnan(single.p) for single in family)
    for single, p in zip(family, holm([single.p for single in family]), strict=True):
        one = single.finding
        if one.outcome in ("regressed", "improved") and not p < LEVEL:
            reason = f"{one.reason}, but not beyond chance among {size} comparisons (p = {p:.2g})"
            one = replace(one, outcome="inconclusive", reason=reason)
        found.append(one)
    return found
