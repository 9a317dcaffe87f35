"""Confidence intervals over seeds and test examples: of means, of differences, and of ratios of means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDING = 1e-24
"""A sum of squares below this share of the total sum of squares is rounding error."""
TIE = 1e-9
"""Mean squares closer than this relative difference are equal: rounding must not choose between two formulas."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    half_width: float
    """In the unit of the mean; NaN where there are too few values for an interval."""
    n: int
    """The number of seeds."""
    degrees: float
    """Degrees of freedom; NaN where there is no interval."""
    p: float
    """Two-sided p-value of "the mean is zero": NaN without an interval, 1 or 0 where nothing varies."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.half_width < abs(self.mean)


@dataclass(frozen=True)
class Ratio:
    """A ratio with the ends of its confidence interval, which need not be equally far from it."""

    value: float
    low: float
    """The lower end; NaN where there is no interval."""
    high: float
    """The upper end; NaN where there is no interval."""


def t_interval(mean: float, variance: float, degrees: float, n: int, level: float) -> Interval:
    """Return Student's t interval of a mean whose variance was estimated.

    Args:
        mean: The estimate.
        variance: The estimated variance of that mean, in its squared unit.
        degrees: The degrees of freedom of the variance.
        n: The number of seeds, passed on.
        level: The confidence level.
    """
    from scipy.special import stdtr

    error = math.sqrt(variance)
    if error == 0:
        return Interval(mean, 0.0, n, float(degrees), float(mean == 0))
    half_width = t_quantile(degrees, level) * error
    return Interval(mean, half_width, n, float(degrees), 2 * float(stdtr(degrees, -abs(mean) / error)))


def t_quantile(degrees: float, level: float) -> float:
    """Return how many standard errors the half-width of a two-sided t interval has."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + level / 2))


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return Student's t interval of the mean of independent values (Student 1908); exact where they are normal.

    Args:
        values: One value a seed.
        level: The confidence level.

    Returns:
        The interval; of width 0 where all values are equal, without a width for a single value or values that are not
        finite.

    Raises:
        ValueError: There are no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values")
    if n == 1 or not all(map(math.isfinite, values)):
        return _without_width(sum(values) / n, n)
    shifted = [v - values[0] for v in values]
    mean = math.fsum(shifted) / n
    square = math.fsum((v - mean) ** 2 for v in shifted) / (n - 1)
    return t_interval(values[0] + mean, square / n, n - 1, n, level)


def unpaired_difference(values: Sequence[float], baseline: Sequence[float], level: float = 0.95) -> Interval:
    """Return the interval of mean(values) − mean(baseline) of two independent sets with unequal variances (Welch 1947).

    Args:
        values: One value a seed.
        baseline: One value a seed; as many or more or fewer.
        level: The confidence level.

    Returns:
        The interval, whose ``n`` is that of the smaller set; without a width where a set has a single value, or values
        that are not finite.

    Raises:
        ValueError: A set has no values.
    """
    sides = (values, baseline)
    n = min(map(len, sides))
    if n == 0:
        raise ValueError("no values")
    mean = math.fsum(values) / len(values) - math.fsum(baseline) / len(baseline)
    if n == 1 or not all(map(math.isfinite, (*values, *baseline))):
        return _without_width(mean, n)
    variances = [float(np.var(side, ddof=1)) / len(side) for side in sides]
    if (variance := sum(variances)) == 0:
        return t_interval(mean, 0.0, n - 1, n, level)
    return t_interval(mean, variance, _satterthwaite(variances, [len(side) - 1 for side in sides]), n, level)


def crossed_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the interval of the grand mean of seeds × examples, for other seeds and other test examples.

    The model is y_si = μ + a_s + b_i + e_si with all three random, so that with the mean squares A (seeds), B
    (examples) and E (rest) of the two-way analysis of variance, (A + B − E) / (seeds · examples) estimates the variance
    of the mean. As in Hillis 2007 an example component B − E below 0 counts as 0. The degrees of freedom are those of
    Satterthwaite 1946, not less than those of the smaller of A and B. The interval is never narrower, nor p smaller,
    than those of the seeds alone: with 3 seeds the approximation is otherwise too narrow. Where all seeds have the same
    mean, A says nothing; the larger of B and E takes its place, which for equal seeds makes the interval that over
    examples alone.

    Args:
        values: A matrix (seeds, examples).
        level: The confidence level.

    Returns:
        The interval; over examples where there is one seed, over seeds where there is one example, without a width for
        a single value or values that are not finite.

    Raises:
        ValueError: ``values`` is no matrix, or empty.
    """
    y = _matrix(values)
    seeds = len(y)
    if 1 in y.shape:
        return replace(mean_interval(y.ravel().tolist(), level), n=seeds)
    if not np.isfinite(y).all():
        return _without_width(float(y.mean()), seeds)
    parts = _parts(y)
    return _mean_squares(parts.mean, y.shape, parts.products(parts)).interval(level)


def crossed_unpaired(values: ArrayLike, baseline: ArrayLike, same_examples: bool, level: float = 0.95) -> Interval:
    """Return the interval of mean(values) − mean(baseline) of two matrices whose seeds are independent.

    For other seeds and other test examples: Welch's (1947) variance over the seeds, plus that over the examples, of
    their differences where the examples are the same, else Welch's again; degrees of freedom after Satterthwaite
    (1946). What is neither of a seed nor of an example counts in both, so that the interval is rather too wide. It is
    never narrower, nor p smaller, than over seeds alone.

    Args:
        values: A matrix (seeds, examples).
        baseline: A matrix (seeds, examples) of its own size.
        same_examples: Whether the columns of the two are the same test examples.
        level: The confidence level.

    Returns:
        The interval; over seeds alone where there is one example, without a width where a side has one seed.
    """
    y, z = (np.asarray(side, dtype=np.float64) for side in (values, baseline))
    over_seeds = unpaired_difference(y.mean(1).tolist(), z.mean(1).tolist(), level)
    if math.isnan(over_seeds.half_width) or min(y.shape[1], z.shape[1]) == 1:
        return over_seeds
    by_example = y.mean(0), z.mean(0)
    over_examples = (
        mean_interval((by_example[0] - by_example[1]).tolist(), level)
        if same_examples
        else unpaired_difference(by_example[0].tolist(), by_example[1].tolist(), level)
    )
    parts = over_seeds, over_examples
    variances = [(part.half_width / t_quantile(part.degrees, level)) ** 2 for part in parts]
    if (variance := sum(variances)) == 0:
        return over_seeds
    degrees = _satterthwaite(variances, [part.degrees for part in parts])
    return wider(t_interval(over_seeds.mean, variance, degrees, over_seeds.n, level), over_seeds)


def wider(first: Interval, second: Interval) -> Interval:
    """Return the wider of two intervals of one mean, with the larger of their p-values."""
    return replace(max(first, second, key=lambda interval: interval.half_width), p=max(first.p, second.p))


def ratio_interval(numerator: ArrayLike, denominator: ArrayLike, level: float = 0.95) -> Ratio | None:
    """Return mean(numerator) / mean(denominator) of paired values with its interval.

    The interval is Fieller's (1954): every θ for which ``crossed_interval(numerator − θ · denominator)`` does not
    exclude zero.

    Args:
        numerator: A matrix (seeds, examples), or (seeds,).
        denominator: Of the same shape, paired with the numerator.
        level: The confidence level.

    Returns:
        The ratio; None where the interval of the denominator includes zero, which leaves the ratio unbounded.

    Raises:
        ValueError: The shapes differ.
    """
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if above.shape != below.shape:
        raise ValueError(f"the numerator has shape {above.shape}, the denominator {below.shape} (expected the same)")
    if above.ndim == 1:
        above, below = above[:, None], below[:, None]
    bottom = crossed_interval(below, level)
    if not bottom.excludes_zero or not np.isfinite(above).all():
        return None
    value = crossed_interval(above, level).mean / bottom.mean
    remainder = _line(above - value * below, below, level)

    def excess(delta: float) -> float:
        interval = remainder(delta)
        return abs(interval.mean) - interval.half_width

    if excess(0.0) >= 0:  # the two are proportional
        return Ratio(value, value, value)
    step = max(remainder(0.0).half_width / abs(bottom.mean), float(np.spacing(abs(value))))
    low, high = (_root(excess, sign * step) for sign in (-1, 1))
    return None if low is None or high is None else Ratio(value, value + low, value + high)


@dataclass(frozen=True)
class _MeanSquares:
    """The two-way analysis of variance, without replication, of a matrix of this shape (seeds, examples)."""

    mean: float
    shape: tuple[int, int]
    seeds: float
    examples: float
    rest: float

    @property
    def degrees(self) -> tuple[int, int, int]:
        """The degrees of freedom of the mean squares of seeds, examples and the rest."""
        seeds, examples = self.shape
        return seeds - 1, examples - 1, (seeds - 1) * (examples - 1)

    def interval(self, level: float) -> Interval:
        """The interval of the mean."""
        if self.seeds == 0:
            return self._over_examples(level)
        if self.examples <= self.rest * (1 + TIE):
            return self._over_seeds(level)
        return wider(self._over_both(level), self._over_seeds(level))

    def _over_seeds(self, level: float) -> Interval:
        return self._t_interval(self.seeds, self.degrees[0], level)

    def _over_examples(self, level: float) -> Interval:
        """The interval where all seeds have the same mean."""
        _, of_examples, of_rest = self.degrees
        square, degrees = max((self.examples, of_examples), (self.rest, of_rest))
        return self._t_interval(square, degrees, level)

    def _over_both(self, level: float) -> Interval:
        a, b, e = self.seeds, self.examples, self.rest
        of_seeds, of_examples, of_rest = self.degrees
        total = a + b - e
        satterthwaite = total**2 / (a**2 / of_seeds + b**2 / of_examples + e**2 / of_rest)
        return self._t_interval(total, max(satterthwaite, min(self.shape) - 1), level)

    def _t_interval(self, square: float, degrees: float, level: float) -> Interval:
        seeds, examples = self.shape
        return t_interval(self.mean, square / (seeds * examples), degrees, seeds, level)


@dataclass(frozen=True)
class _Parts:
    """A matrix as its mean, and the deviations of seeds, of examples and of the rest from it."""

    mean: float
    seeds: Array
    examples: Array
    rest: Array
    about_origin: Array
    """The matrix without its first value."""

    def products(self, other: _Parts) -> Array:
        """Sums of products of two matrices' deviations, over the whole matrix: of seeds, examples, rest, and in all."""
        n_seeds, n_examples = self.rest.shape
        return np.array(
            [
                n_examples * _product(self.seeds, other.seeds),
                n_seeds * _product(self.examples, other.examples),
                _product(self.rest, other.rest),
                _product(self.about_origin, other.about_origin),
            ]
        )


def _product(a: Array, b: Array) -> float:
    """The sum of products of two arrays, on one thread: BLAS would wait for others, and round as their number is."""
    return float(np.einsum("i,i->", a.ravel(), b.ravel()))


def _parts(y: Array) -> _Parts:
    n_seeds, n_examples = y.shape
    origin = float(y[0, 0])
    about_origin = y - origin
    of_seed, of_example = about_origin.sum(axis=1) / n_examples, about_origin.sum(axis=0) / n_seeds
    mean = float(of_seed.sum()) / n_seeds
    of_example -= mean
    rest = about_origin - of_seed[:, None]
    rest -= of_example
    return _Parts(origin + mean, of_seed - mean, of_example, rest, about_origin)


def _mean_squares(mean: float, shape: tuple[int, int], sums: Array) -> _MeanSquares:
    """From sums of squares as of ``_Parts.products``; those that are only rounding error are 0."""
    seeds, examples = shape
    *parts, total = map(float, sums)
    a, b, e = (part if part > ROUNDING * total else 0.0 for part in parts)
    return _MeanSquares(mean, shape, a / (seeds - 1), b / (examples - 1), e / ((seeds - 1) * (examples - 1)))


def _line(start: Array, direction: Array, level: float) -> Callable[[float], Interval]:
    """``crossed_interval(start − δ · direction)`` as a function of δ.

    Every sum of squares is a quadratic function of δ: the matrices are gone through once.
    """
    if 1 in start.shape:
        return lambda delta: crossed_interval(start - delta * direction, level)
    a, b = _parts(start), _parts(direction)
    constant, mixed, square = a.products(a), a.products(b), b.products(b)

    def interval(delta: float) -> Interval:
        sums = constant + delta * (delta * square - 2 * mixed)
        return _mean_squares(a.mean - delta * b.mean, start.shape, sums).interval(level)

    return interval


def _satterthwaite(variances: Sequence[float], degrees: Sequence[float]) -> float:
    """The degrees of freedom of a sum of independent variances, by their shares: the square of a tiny one is zero."""
    total = sum(variances)
    return 1 / sum((variance / total) ** 2 / n for variance, n in zip(variances, degrees, strict=True))


def _root(excess: Callable[[float], float], step: float) -> float | None:
    """The root beyond 0 of a function that tends to a positive number times |δ|; None where it overflows."""
    from scipy.optimize import brentq

    inner, tolerance = 0.0, 1e-12 * abs(step)  # beyond the digits that tables of numbers have
    while excess(outer := inner + step) < 0:
        inner, step = outer, 2 * step
        if not math.isfinite(step):
            return None
    return float(brentq(excess, inner, outer, xtol=tolerance))


def _matrix(values: ArrayLike) -> Array:
    y = np.asarray(values, dtype=np.float64)
    if y.ndim != 2:
        raise ValueError(f"values of shape {y.shape} (expected a matrix seeds × examples)")
    if y.size == 0:
        raise ValueError("no values")
    return y


def _without_width(mean: float, n: int) -> Interval:
    return Interval(mean, math.nan, n, math.nan, math.nan)
