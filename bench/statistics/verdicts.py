"""What an interval says of a change, against a margin that would be tolerated.

A margin is a promise, not a guess: a change is a regression only where the whole interval is beyond it, and passes only
where the whole interval is on this side of it (non-inferiority: Schuirmann 1987). All else is inconclusive.
"""

from __future__ import annotations

import math
from typing import Literal

from distillbench.bench.statistics.intervals import Interval, Ratio

Verdict = Literal["pass", "regressed", "improved", "inconclusive"]
Direction = Literal["higher", "lower"]


def ratio_verdict(ratio: Ratio, baseline: float, relative: float, absolute: float = 0.0) -> Verdict:
    """Return the verdict on candidate / baseline in times, or in anything positive where lower is better.

    Args:
        ratio: With the interval that decides.
        baseline: The baseline's time, in any unit.
        relative: The relative margin: 0.01 tolerates times up to 1.01 times those of the baseline.
        absolute: The absolute margin in the baseline's unit; a difference up to it is tolerated as well.

    Raises:
        ValueError: Times are not positive and finite, or a margin is negative.
    """
    margin = ratio_margin(baseline, baseline * ratio.value, relative, absolute)
    low = math.log(ratio.low) if ratio.low > 0 else -math.inf
    return _verdict(low, math.log(ratio.high), margin)


def difference_verdict(difference: Interval, margin: float, better: Direction) -> Verdict:
    """Return the verdict on candidate − baseline.

    Args:
        difference: With the interval that decides.
        margin: In the unit of the difference.
        better: The metric's direction.

    Raises:
        ValueError: The margin is negative.
    """
    if not margin >= 0:
        raise ValueError(f"margin {margin} (expected 0 or more)")
    worse = difference.mean if better == "lower" else -difference.mean
    return _verdict(worse - difference.half_width, worse + difference.half_width, margin)


def ratio_margin(baseline: float, candidate: float, relative: float, absolute: float = 0.0) -> float:
    """Return the logarithm of the least ratio that matters: beyond the relative margin and beyond the absolute one.

    Args:
        baseline: A time.
        candidate: A time in the same unit.
        relative: The relative margin.
        absolute: The absolute margin in the unit of the times. It is taken relative to the faster of the two, so that
            it is as far from baseline to candidate as back.

    Raises:
        ValueError: Times are not positive and finite, or a margin is negative.
    """
    if not (0 < baseline < math.inf and 0 < candidate < math.inf):
        raise ValueError(f"times {baseline} and {candidate} (expected positive and finite ones)")
    if not (relative >= 0 and absolute >= 0):
        raise ValueError(f"margins {relative} (relative) and {absolute} (absolute) (expected 0 or more)")
    return math.log1p(max(relative, absolute / min(baseline, candidate)))


def _verdict(low: float, high: float, margin: float) -> Verdict:
    """The verdict on an interval of how much worse the candidate is; NaN is inconclusive."""
    if low > margin:
        return "regressed"
    if high < -margin:
        return "improved"
    return "pass" if high <= margin else "inconclusive"
