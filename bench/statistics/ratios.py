"""Ratios of times: of interleaved pairs, of launches, of two machines, and of a family. All means are of logarithms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distillbench.bench.statistics.intervals import Interval, Ratio, mean_interval, unpaired_difference

LEAST_LAUNCHES = 3  # of each of two independent sets


def least_pairs(level: float = 0.95) -> int:
    """The fewest values that can have an interval of their median at this level, whatever their distribution.

    Even the span of all n values contains the median only with 1 − 2^(1 − n) (Thompson 1936): 6 for 95 %, 8 for 99 %.
    """
    _check(level)
    return math.ceil(1 - math.log2(1 - level) - 1e-9)


def paired_ratio(numerator: ArrayLike, denominator: ArrayLike, level: float = 0.95) -> Ratio:
    """exp of the median of log(numerator / denominator), two series (pairs,) of times in one unit, timed in turns.

    The interval is that between two order statistics, interpolated to the level (Hettmansperger & Sheather 1986): no
    distribution is assumed, and nothing is drawn. It has no ends (NaN) for fewer than ``least_pairs`` pairs, and takes
    them as independent: it is too narrow where what disturbs one of a pair lasts longer than the pair. ValueError for
    lengths that differ, none, times that are not positive and finite, or a level below ½.
    """
    least = least_pairs(level)
    above, below = _positive(numerator, "numerator"), _positive(denominator, "denominator")
    if len(above) != len(below):
        raise ValueError(f"not pairs: {len(above)} and {len(below)} times")
    logs = np.sort(np.log(above / below))
    low, high = _median_ends(logs, level) if len(logs) >= least else (math.nan, math.nan)
    return Ratio(*(float(end) for end in np.exp([np.median(logs), low, high])))


def family_ratio(ratios: Sequence[Ratio]) -> Ratio:
    """The geometric mean (Fleming & Wallace 1986) of independent ratios whose intervals have one level, which it keeps.

    The interval is for other measurements of these members, not for other members: on the logarithms the distances to
    the ends are added in quadrature, each side for itself (Howe 1974; Zou & Donner 2008). It is wider than need be
    where members have few values each. No ends (NaN) where one has none. ValueError for none, or ends not positive.
    """
    if not ratios:
        raise ValueError("no ratios")
    ends = np.array([(r.value, r.low, r.high) for r in ratios])
    if (ends <= 0).any() or not np.isfinite(ends[:, 0]).all():
        raise ValueError("ratios: not positive and finite")
    value, low, high = np.log(ends).T
    mean, n = value.mean(), len(ratios)
    down, up = (math.sqrt(float(np.square(value - end).sum())) / n for end in (low, high))
    return Ratio(*(float(end) for end in np.exp([mean, mean - down, mean + up])))


def geometric_mean(ratios: ArrayLike, level: float = 0.95) -> Ratio:
    """The geometric mean of ratios (launches,), or (launches, members): of a family, measured in each launch.

    The interval is for other launches with the same members: Student's (1908) on the logarithms, averaged over members.
    It holds from 2 launches on where these are normal; a single launch has no ends (NaN). ValueError for another shape,
    none, or ratios that are not positive and finite.
    """
    _check(level)
    logs = np.log(_positive(ratios, "ratios", dimensions=(1, 2)))
    return _exp(mean_interval(logs.reshape(len(logs), -1).mean(axis=1).tolist(), level))


def unpaired_ratio(numerator: ArrayLike, denominator: ArrayLike, level: float = 0.95) -> Ratio:
    """geometric mean(numerator) / geometric mean(denominator) of two independent sets of launches or machines.

    numerator (n,), denominator (m,): one time a launch, in one unit. The interval is Welch's (1947) on the logarithms:
    the sets need not vary equally. No ends (NaN) where one has fewer than ``LEAST_LAUNCHES``: with 2 against 10 a
    nominal 95 % covers 90 %. ValueError for none, or for times that are not positive and finite.
    """
    _check(level)
    above, below = (
        np.log(_positive(x, name)).tolist() for x, name in ((numerator, "numerator"), (denominator, "denominator"))
    )
    difference = unpaired_difference(above, below, level)
    if difference.n < LEAST_LAUNCHES:
        return Ratio(math.exp(difference.mean), math.nan, math.nan)
    return _exp(difference)


def _median_ends(x: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Of sorted values. x_k … x_(n+1−k) contains the median with 1 − 2 P(X < k), X binomial (n, ½)."""
    from scipy.special import bdtr

    n = len(x)
    contains = 1 - 2 * bdtr(np.arange(n // 2 + 1), n, 0.5)
    k = int((contains >= level - 1e-12).sum())  # the innermost pair that suffices, and the next one
    surplus = (contains[k - 1] - level) / (contains[k - 1] - contains[k])
    inward = max(0.0, float((n - k) * surplus / (k + (n - 2 * k) * surplus)))
    return float(x[k - 1] + inward * (x[k] - x[k - 1])), float(x[n - k] - inward * (x[n - k] - x[n - k - 1]))


def _positive(values: ArrayLike, name: str, dimensions: tuple[int, ...] = (1,)) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim not in dimensions:
        raise ValueError(f"{name}: of shape {x.shape}")
    if x.size == 0:
        raise ValueError(f"{name}: no values")
    if not (np.isfinite(x).all() and (x > 0).all()):
        raise ValueError(f"{name}: not positive and finite")
    return x


def _exp(interval: Interval) -> Ratio:
    mean, half_width = interval.mean, interval.half_width
    return Ratio(*(float(end) for end in np.exp([mean, mean - half_width, mean + half_width])))


def _check(level: float) -> None:
    if not 0.5 <= level < 1:
        raise ValueError(f"level {level} is not from 0.5 to 1")
