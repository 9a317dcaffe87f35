"""Intervals over seeds and test items: means, differences, and ratios of means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A sum of squares less than this part of the whole is rounding.
ROUNDING = 1e-24
# Mean squares that differ by less than this part are equal: rounding must not choose between two formulas.
TIE = 1e-9


@dataclass(frozen=True)
class Interval:
    """A mean and the half-width of its interval; ``half_width`` is NaN where there are too few values for one.

    n: how many seeds. degrees: of freedom, NaN where there is no interval. p: two-sided, of "the mean is zero"; NaN
    where there is no interval; where nothing varies it is 0 or, for a mean of 0, 1.
    """

    mean: float
    half_width: float
    n: int
    degrees: float
    p: float

    @property
    def excludes_zero(self) -> bool:
        return self.half_width < abs(self.mean)


@dataclass(frozen=True)
class Ratio:
    """A ratio and the ends of its interval, which need not be equally far from it; NaN where there is none."""

    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's t interval for the mean of a few independent values (Student 1908); exact where they are normal.

    Values that are all equal have an interval of width 0; a single value has none, nor have values that are not finite.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values")
    if n == 1 or not all(map(math.isfinite, values)):
        return _none(sum(values) / n, n)
    shifted = [v - values[0] for v in values]
    mean = math.fsum(shifted) / n
    square = math.fsum((v - mean) ** 2 for v in shifted) / (n - 1)
    return student(values[0] + mean, square / n, n - 1, n, level)


def paired_difference(values: Sequence[float], baseline: Sequence[float], level: float = 0.95) -> Interval:
    """t interval of the mean of value − baseline; the two are paired, so what they share cancels."""
    return mean_interval([v - b for v, b in zip(values, baseline, strict=True)], level)


def unpaired_difference(values: Sequence[float], baseline: Sequence[float], level: float = 0.95) -> Interval:
    """mean(values) − mean(baseline) of two independent sets, which need not vary equally (Welch 1947).

    n: of the smaller set. No interval where one has a single value, or values that are not finite.
    """
    n = min(len(values), len(baseline))
    if n == 0:
        raise ValueError("no values")
    mean = math.fsum(values) / len(values) - math.fsum(baseline) / len(baseline)
    if n == 1 or not all(map(math.isfinite, (*values, *baseline))):
        return _none(mean, n)
    squares = [float(np.var(side, ddof=1)) / len(side) for side in (values, baseline)]
    if (variance := sum(squares)) == 0:
        return student(mean, 0.0, n - 1, n, level)
    parts = zip(squares, (values, baseline), strict=True)
    # By shares of the variance: the square of a tiny one is zero.
    degrees = 1 / sum((square / variance) ** 2 / (len(side) - 1) for square, side in parts)
    return student(mean, variance, degrees, n, level)


def crossed_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The grand mean of a matrix seeds × items, with an interval for other seeds and other items.

    The model is y_si = μ + a_s + b_i + e_si with all three random, so that with the mean squares A (seeds), B (items)
    and E (rest) of the two-way analysis of variance, (A + B − E) / (seeds · items) estimates the variance of the mean.
    As in Hillis 2007 an item component B − E below 0 counts as 0. The degrees of freedom are those of Satterthwaite
    1946, not less than those of the smaller of A and B. The interval is never narrower, nor p smaller, than those of
    the seeds alone: with 3 seeds the approximation is otherwise too narrow. Where all seeds have the same mean, A says
    nothing; the larger of B and E takes its place, which for equal seeds makes the interval that over items alone.

    One seed has a t interval over items, one item a t interval over seeds, one value has none.
    """
    y = _matrix(values)
    seeds, items = y.shape
    if seeds == 1 or items == 1:
        return replace(mean_interval(y.ravel().tolist(), level), n=seeds)
    if not np.isfinite(y).all():
        return _none(float(y.mean()), seeds)
    mean, a, b, e = _mean_squares(y)
    n = seeds * items
    if a == 0:
        square, degrees = max((b, items - 1), (e, (seeds - 1) * (items - 1)))
        return student(mean, square / n, degrees, seeds, level)
    alone = student(mean, a / n, seeds - 1, seeds, level)
    if b <= e * (1 + TIE):
        return alone
    total = a + b - e
    satterthwaite = total**2 / (a**2 / (seeds - 1) + b**2 / (items - 1) + e**2 / ((seeds - 1) * (items - 1)))
    both = student(mean, total / n, max(satterthwaite, min(seeds, items) - 1), seeds, level)
    wider = max(both, alone, key=lambda interval: interval.half_width)
    return replace(wider, p=max(both.p, alone.p))


def ratio_interval(numerator: ArrayLike, denominator: ArrayLike, level: float = 0.95) -> Ratio | None:
    """mean(numerator) / mean(denominator) of two paired matrices seeds × items, or of two values a seed.

    The interval is Fieller's (1954): every θ for which ``crossed_interval(numerator − θ · denominator)`` does not
    exclude zero. None where the interval of the denominator includes zero, which leaves the ratio unbounded.
    """
    from scipy.optimize import brentq

    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if above.shape != below.shape:
        raise ValueError(f"the numerator is {above.shape}, the denominator {below.shape}")
    if above.ndim == 1:
        above, below = above[:, None], below[:, None]
    bottom = crossed_interval(below, level)
    if not bottom.excludes_zero or not np.isfinite(above).all():
        return None
    value = crossed_interval(above, level).mean / bottom.mean

    def outside(theta: float) -> float:
        interval = crossed_interval(above - theta * below, level)
        return abs(interval.mean) - interval.half_width

    if outside(value) >= 0:  # the two are proportional
        return Ratio(value, value, value)
    first = crossed_interval(above - value * below, level).half_width / abs(bottom.mean)
    first = max(first, float(np.spacing(abs(value))))
    ends = []
    for sign in (-1, 1):
        # outside() tends to a positive number times |θ|, so that this ends
        inner, step = value, first
        while outside(outer := value + sign * step) < 0:
            inner, step = outer, 2 * step
            if not math.isfinite(step):
                return None
        ends.append(float(brentq(outside, inner, outer, xtol=1e-7 * first)))
    return Ratio(value, ends[0], ends[1])


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979): those below α have a family-wise error of at most α.

    NaN stays NaN and does not count.
    """
    adjusted = [math.nan] * len(p_values)
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[place] = highest
    return adjusted


def _matrix(values: ArrayLike) -> NDArray[np.float64]:
    y = np.asarray(values, dtype=np.float64)
    if y.ndim != 2:
        raise ValueError(f"not a matrix seeds × items: {y.shape}")
    if y.size == 0:
        raise ValueError("no values")
    return y


def _mean_squares(y: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """The mean, and the mean squares of seeds, items and the rest; what is only rounding is 0."""
    seeds, items = y.shape
    origin = float(y[0, 0])
    y = y - origin
    of_seed, of_item = y.sum(axis=1) / items, y.sum(axis=0) / seeds
    mean = float(of_seed.sum()) / seeds
    of_item -= mean
    rest = y - of_seed[:, None] - of_item
    of_seed -= mean
    a, b, e = items * np.vdot(of_seed, of_seed), seeds * np.vdot(of_item, of_item), np.vdot(rest, rest)
    least = ROUNDING * np.vdot(y, y)
    a, b, e = (float(square) if square > least else 0.0 for square in (a, b, e))
    return origin + mean, a / (seeds - 1), b / (items - 1), e / ((seeds - 1) * (items - 1))


def student(mean: float, variance: float, degrees: float, n: int, level: float) -> Interval:
    """The t interval of a mean whose variance was estimated with these degrees of freedom."""
    from scipy.special import stdtr, stdtrit

    error = math.sqrt(variance)
    if error == 0:
        return Interval(mean, 0.0, n, float(degrees), float(mean == 0))
    half_width = float(stdtrit(degrees, 0.5 + level / 2)) * error
    return Interval(mean, half_width, n, float(degrees), 2 * float(stdtr(degrees, -abs(mean) / error)))


def _none(mean: float, n: int) -> Interval:
    return Interval(mean, math.nan, n, math.nan, math.nan)
