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
    """Of candidate / baseline in times, or anything positive where lower is better.

    baseline: its time, in any unit. relative: 0.01 tolerates times up to 1.01 times those of the other. absolute: in
    the baseline's unit; a difference up to it is tolerated as well. ValueError as in ``ratio_margin``.
    """
    margin = ratio_margin(baseline, baseline * ratio.value, relative, absolute)
    low = math.log(ratio.low) if ratio.low > 0 else -math.inf
    return _verdict(low, math.log(ratio.high), margin)


def difference_verdict(difference: Interval, margin: float, better: Direction) -> Verdict:
    """Of candidate − baseline, in the unit of the metric, as is the margin. better: the metric's direction."""
    if not margin >= 0:
        raise ValueError(f"margin {margin} is negative")
    worse = difference.mean if better == "lower" else -difference.mean
    return _verdict(worse - difference.half_width, worse + difference.half_width, margin)


def ratio_margin(baseline: float, candidate: float, relative: float, absolute: float = 0.0) -> float:
    """The logarithm of the least ratio that matters: beyond the relative margin and beyond the absolute one.

    The absolute one is relative to the faster of the two, so that it is as far from baseline to candidate as back.
    ValueError for times that are not positive and finite, or a margin that is negative.
    """
    if not (0 < baseline < math.inf and 0 < candidate < math.inf):
        raise ValueError(f"not positive and finite: {baseline}, {candidate}")
    if not (relative >= 0 and absolute >= 0):
        raise ValueError(f"a margin is negative: {relative}, {absolute}")
    return math.log1p(max(relative, absolute / min(baseline, candidate)))


def _verdict(low: float, high: float, margin: float) -> Verdict:
    """low, high: of how much worse it has become. NaN is inconclusive."""
    if low > margin:
        return "regressed"
    if high < -margin:
        return "improved"
    return "pass" if high <= margin else "inconclusive"
