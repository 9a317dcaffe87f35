"""Intervals over seeds, as pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean and the half-width of its interval; ``half_width`` is NaN where there are too few values for one."""

    mean: float
    half_width: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        return self.half_width < abs(self.mean)


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's t interval for the mean of a few independent values (Student 1908); exact where they are normal.

    Values that are all equal have an interval of width 0; a single value has none.
    """
    from scipy.stats import t

    n = len(values)
    if n == 0:
        raise ValueError("no values")
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, math.nan, 1)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    return Interval(mean, float(t.ppf(0.5 + level / 2, n - 1)) * spread / math.sqrt(n), n)


def paired_difference(values: Sequence[float], baseline: Sequence[float], level: float = 0.95) -> Interval:
    """t interval of the mean of value − baseline; the two are paired, so what they share cancels."""
    return mean_interval([v - b for v, b in zip(values, baseline, strict=True)], level)
