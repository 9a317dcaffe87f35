"""The minimum detectable effect: the least difference that a test with these values would probably find."""

from __future__ import annotations

import math

from distillbench.bench.statistics.intervals import Interval, t_quantile


def minimum_detectable_effect(
    interval: Interval, power: float = 0.8, level: float = 0.95, alpha: float | None = None
) -> float:
    """Return the least true |difference| that a test like that of this interval would find, with this power.

    The standard error counts as if it were known; its degrees of freedom decide the rest: by the non-central t
    distribution p lies with this power below α, and the mean on the difference's own side of zero (Johnson & Welch
    1940).

    Args:
        interval: Of a paired difference, at ``level``, such as that of ``mean_interval`` or ``crossed_interval``.
        power: From ½ to 1, exclusive.
        level: The confidence level of the interval, from ½ to 1, exclusive.
        alpha: The p-value below which the difference counts as found, two-sided, such as that of ``holm_levels``;
            above 0, at most ½. None: 1 − ``level``, where the interval excludes zero.

    Returns:
        The effect in the unit of the interval's mean; NaN where there is no interval, 0 where its width is 0.

    Raises:
        ValueError: ``power``, ``level`` or ``alpha`` is out of range.
    """
    from scipy.optimize import brentq
    from scipy.special import nctdtr

    for name, share in (("power", power), ("level", level)):
        if not 0.5 <= share < 1:
            raise ValueError(f"{name} {share} (expected from 0.5 to below 1)")
    alpha = 1 - level if alpha is None else alpha
    if not 0 < alpha <= 0.5:
        raise ValueError(f"alpha {alpha} (expected above 0, at most 0.5)")
    if math.isnan(interval.half_width) or interval.half_width == 0:
        return interval.half_width
    error = interval.half_width / t_quantile(interval.degrees, level)
    quantile = t_quantile(interval.degrees, 1 - alpha)

    def missing_power(errors: float) -> float:
        """How much power lacks where the true difference is so many standard errors, by which t is shifted."""
        return power - 1 + float(nctdtr(interval.degrees, errors, quantile))

    upper = quantile
    while missing_power(upper) > 0:
        upper *= 2
    return float(brentq(missing_power, 0.0, upper)) * error
