"""Ratios of times: of interleaved pairs, of launches, and of two machines. All means are of logarithms."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distillbench.bench.statistics.intervals import Interval, Ratio, mean_interval, unpaired_difference

LEAST_LAUNCHES = 3
"""Of each of two independent sets."""
Array = NDArray[np.float64]


def least_pairs(level: float = 0.95) -> int:
    """Return the fewest values that can have an interval of their median at this level, whatever their distribution.

    Even the span of all n values contains the median only with 1 − 2^(1 − n) (Thompson 1936): 6 for 95 %, 8 for 99 %.

    Args:
        level: The confidence level.

    Raises:
        ValueError: The level is not from ½ to below 1.
    """
    check_level(level)
    return math.ceil(1 - math.log2(1 - level) - 1e-9)


def paired_ratio(numerator: ArrayLike, denominator: ArrayLike, level: float = 0.95) -> Ratio:
    """Return the median ratio of interleaved pairs of times, with an interval that assumes no distribution.

    The interval is that between two order statistics of the logarithms, interpolated to the level (Hettmansperger &
    Sheather 1986); nothing is drawn. It takes the pairs as independent: it is too narrow where what disturbs one of a
    pair lasts longer than the pair.

    Args:
        numerator: Times (pairs,).
        denominator: Times (pairs,) in the same unit, interleaved with those of the numerator.
        level: The confidence level.

    Returns:
        The ratio; without ends (NaN) for fewer than ``least_pairs`` pairs.

    Raises:
        ValueError: The lengths differ, there are no times, times are not positive and finite, or the level is not from
            ½ to below 1.
    """
    least = least_pairs(level)
    above, below = positive_array(numerator, "numerator"), positive_array(denominator, "denominator")
    if len(above) != len(below):
        raise ValueError(f"{len(above)} and {len(below)} times (expected pairs: as many of both)")
    logs = np.sort(np.log(above / below))
    low, high = _median_ends(logs, level) if len(logs) >= least else (math.nan, math.nan)
    return exponential_ratio(np.median(logs), low, high)


def geometric_mean(ratios: ArrayLike, level: float = 0.95) -> Ratio:
    """Return the geometric mean of what was measured in several launches, with an interval for other launches.

    Student's (1908) on the logarithms, averaged over the members of a family: it holds from 2 launches on where these
    are normal, and says nothing of other members.

    Args:
        ratios: Ratios or times: (launches,), or (launches, members) of a family that is measured in each launch.
        level: The confidence level.

    Returns:
        The mean; without ends (NaN) for a single launch.

    Raises:
        ValueError: The shape is another one, there are no values, values are not positive and finite, or the level is
            not from ½ to below 1.
    """
    check_level(level)
    logs = np.log(positive_array(ratios, "ratios", dimensions=(1, 2)))
    return _exponential(mean_interval(logs.reshape(len(logs), -1).mean(axis=1).tolist(), level))


def unpaired_ratio(numerator: ArrayLike, denominator: ArrayLike, level: float = 0.95) -> Ratio:
    """Return the ratio of the geometric means of two independent sets of launches or machines.

    The interval is Welch's (1947) on the logarithms: the sets need not vary equally.

    Args:
        numerator: One time a launch, (n,).
        denominator: One time a launch, (m,), in the same unit.
        level: The confidence level.

    Returns:
        The ratio; without ends (NaN) where a set has fewer than ``LEAST_LAUNCHES``: with 2 against 10 a nominal 95 %
        covers 90 %.

    Raises:
        ValueError: A set has no times, times are not positive and finite, or the level is not from ½ to below 1.
    """
    check_level(level)
    above, below = (
        np.log(positive_array(x, name)).tolist() for x, name in ((numerator, "numerator"), (denominator, "denominator"))
    )
    difference = unpaired_difference(above, below, level)
    if difference.n < LEAST_LAUNCHES:
        return Ratio(math.exp(difference.mean), math.nan, math.nan)
    return _exponential(difference)


def exponential_ratio(value: float, low: float, high: float) -> Ratio:
    """Return the ratio whose logarithm, and the logarithms of whose ends, these are; infinite beyond all numbers."""
    with np.errstate(over="ignore"):
        return Ratio(*(float(end) for end in np.exp([value, low, high])))


def check_level(level: float) -> None:
    """Refuse a confidence level that is not from ½ to below 1, by a ValueError."""
    if not 0.5 <= level < 1:
        raise ValueError(f"level {level} (expected from 0.5 to below 1)")


def positive_array(values: ArrayLike, name: str, dimensions: tuple[int, ...] = (1,)) -> Array:
    """Return values as an array that is not empty, of positive and finite numbers.

    Args:
        values: Anything that numpy makes an array of.
        name: What a message calls them.
        dimensions: How many axes the array may have.

    Raises:
        ValueError: The values are not as described.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim not in dimensions:
        axes = " or ".join(map(str, dimensions))
        raise ValueError(f"{name}: an array of shape {x.shape} (expected {axes} dimensions)")
    if x.size == 0:
        raise ValueError(f"{name}: no values")
    if not (np.isfinite(x).all() and (x > 0).all()):
        raise ValueError(f"{name}: a value is not positive and finite")
    return x


def _median_ends(x: Array, level: float) -> tuple[float, float]:
    """The interval of the median of sorted values; x_k … x_(n+1−k) has it with 1 − 2 P(X < k), X binomial (n, ½)."""
    from scipy.special import bdtr

    n = len(x)
    contains = 1 - 2 * bdtr(np.arange(n // 2 + 1), n, 0.5)
    k = int((contains >= level - 1e-12).sum())  # the innermost pair that suffices, and the next one
    surplus = (contains[k - 1] - level) / (contains[k - 1] - contains[k])
    inward = max(0.0, float((n - k) * surplus / (k + (n - 2 * k) * surplus)))
    return float(x[k - 1] + inward * (x[k] - x[k - 1])), float(x[n - k] - inward * (x[n - k] - x[n - k - 1]))


def _exponential(interval: Interval) -> Ratio:
    mean, half_width = interval.mean, interval.half_width
    return exponential_ratio(mean, mean - half_width, mean + half_width)
