"""What could have been seen: the least difference that a test with these values would probably find."""

from __future__ import annotations

import math

from distillbench.bench.statistics.intervals import Interval


def detectable_difference(interval: Interval, power: float = 0.8, level: float = 0.95) -> float:
    """The least true |difference| that would exclude zero with this power, in the unit of the interval's mean.

    interval: of a paired difference, at this level, such as that of ``paired_difference`` or ``crossed_interval``. Its
    standard error counts as if it were known; its degrees of freedom decide the rest: by the non-central t distribution
    the interval lies with this power on the difference's own side of zero (Johnson & Welch 1940). NaN where there is no
    interval, 0 where its width is 0. ValueError for a power that is not between ½ and 1, or a level that is not.
    """
    from scipy.optimize import brentq
    from scipy.special import nctdtr, stdtrit

    for name, share in (("power", power), ("level", level)):
        if not 0.5 <= share < 1:
            raise ValueError(f"{name} {share} is not from 0.5 to 1")
    if math.isnan(interval.half_width) or interval.half_width == 0:
        return interval.half_width
    quantile = float(stdtrit(interval.degrees, 0.5 + level / 2))

    def lacking(errors: float) -> float:
        """errors: the difference in standard errors, by which t is shifted."""
        return power - 1 + float(nctdtr(interval.degrees, errors, quantile))

    most = quantile
    while lacking(most) > 0:
        most *= 2
    return float(brentq(lacking, 0.0, most)) * interval.half_width / quantile
