"""Ranks that can be defended: classes of entries that are not known to differ, and how sure a rank is."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distillbench.bench.statistics.intervals import Interval, holm, mean_interval, student, unpaired_difference

LEVEL = 0.05
"""The chance, at most, that a board separates any two entries that do not differ."""
RESAMPLES = 2000
AT_ONCE = 1_000_000
"""Weights and comparisons of a bootstrap that are in memory at once."""
Array = NDArray[np.float64]


def classes(scores: Sequence[float], p: ArrayLike, level: float = LEVEL) -> tuple[int, ...]:
    """The class of each entry, 1 is the best, in the order given.

    scores: (k,), higher is better; equal ones in the order given. p: (k, k), two-sided, of "these two do not differ",
    of which the upper triangle counts; NaN where that was not tested, which separates nothing. The best entry anchors
    the first class, and whoever is not significantly worse than it shares that class; the best of the others anchors
    the next. The anchor is picked for being the best, so that its k − 1 comparisons are picked as well: the p-values
    are adjusted over all k (k − 1) / 2 pairs (Holm 1979), whichever the anchor will be. ValueError for other shapes.
    """
    raw, k = np.asarray(p, dtype=np.float64), len(scores)
    if raw.shape != (k, k):
        raise ValueError(f"p: of shape {raw.shape} for {k} entries")
    upper = np.triu_indices(k, 1)
    differ = np.zeros((k, k), dtype=bool)
    differ[upper] = [adjusted < level for adjusted in holm(raw[upper].tolist())]
    differ |= differ.T
    found, waiting, current = [0] * k, sorted(range(k), key=lambda i: -scores[i]), 0
    while waiting:
        current += 1
        for i in waiting:
            if not differ[waiting[0], i]:
                found[i] = current
        waiting = [i for i in waiting if not found[i]]
    return tuple(found)


def ranks(scores: ArrayLike) -> Array:
    """1 is the highest along the last axis; equal ones share the mean of their ranks."""
    x = np.asarray(scores, dtype=np.float64)
    above = (x[..., None, :] > x[..., :, None]).sum(-1)
    equal = (x[..., None, :] == x[..., :, None]).sum(-1)
    return np.asarray(above + (equal + 1) / 2, dtype=np.float64)


def rank_draws(
    values: Sequence[ArrayLike],
    seeds: Sequence[Hashable],
    items: Sequence[Hashable],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Array:
    """Ranks (resamples, k) of k entries for other seeds and other test items, drawn from those at hand.

    values: of each entry a matrix seeds × items, higher is better. seeds, items: of each entry, which they are: what
    shares them is drawn together, so that what it shares cancels. Seeds and items are drawn independently of each other
    (the pigeonhole bootstrap: Owen 2007). ``seed`` decides all. ValueError where equal names have unequal numbers.
    """
    matrices = [np.asarray(value, dtype=np.float64) for value in values]
    counts: dict[tuple[int, Hashable], int] = {}
    for matrix, *names in zip(matrices, seeds, items, strict=True):
        for axis, name in enumerate(names):
            if counts.setdefault((axis, name), matrix.shape[axis]) != matrix.shape[axis]:
                raise ValueError(f"{('seeds', 'items')[axis]} {name!r}: {matrix.shape[axis]} of them, and others")
    # A stream each, so that nothing depends on how many are drawn at once.
    streams = dict(zip(counts, np.random.default_rng(seed).spawn(len(counts)), strict=True))
    found = []
    for size in _portions(resamples, sum(counts.values()) + len(matrices) ** 2):
        weights = {key: streams[key].multinomial(n, np.full(n, 1 / n), size) / n for key, n in counts.items()}
        means = [
            ((weights[0, its_seeds] @ matrix) * weights[1, its_items]).sum(1)
            for matrix, its_seeds, its_items in zip(matrices, seeds, items, strict=True)
        ]
        found.append(ranks(np.stack(means, 1)) if means else np.empty((size, 0)))
    return np.concatenate(found)


def rank_intervals(draws: Array, at: Sequence[float], level: float = 0.95) -> list[tuple[float, float]]:
    """The percentiles of ranks (resamples, k) for each of k entries, widened to hold the rank that it has now."""
    tail = (1 - level) / 2
    ends = np.quantile(draws, (tail, 1 - tail), axis=0, method="nearest") if len(at) else np.empty((2, 0))
    return [(float(min(low, r)), float(max(high, r))) for low, high, r in zip(*ends, at, strict=True)]


def crossed_unpaired(values: ArrayLike, baseline: ArrayLike, same_items: bool, level: float = 0.95) -> Interval:
    """mean(values) − mean(baseline) of two matrices seeds × items whose seeds have nothing to do with each other.

    For other seeds and other items: Welch's (1947) variance over the seeds, plus that over the items, of their
    differences where the items are the same, else Welch's again; degrees of freedom after Satterthwaite (1946). What
    is neither of a seed nor of an item counts in both, so that the interval is rather too wide. It is never narrower,
    nor p smaller, than over seeds alone, which it is where there is one item. None where a side has one seed.
    """
    y, z = (np.asarray(side, dtype=np.float64) for side in (values, baseline))
    alone = unpaired_difference(y.mean(1).tolist(), z.mean(1).tolist(), level)
    if math.isnan(alone.half_width) or min(y.shape[1], z.shape[1]) == 1:
        return alone
    of_items = (
        mean_interval((y.mean(0) - z.mean(0)).tolist(), level)
        if same_items
        else unpaired_difference(y.mean(0).tolist(), z.mean(0).tolist(), level)
    )
    parts = [(_variance(interval, level), interval.degrees) for interval in (alone, of_items)]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return alone
    degrees = 1 / sum((part / variance) ** 2 / degrees for part, degrees in parts)
    both = student(alone.mean, variance, degrees, alone.n, level)
    wider = max(both, alone, key=lambda interval: interval.half_width)
    return Interval(wider.mean, wider.half_width, wider.n, wider.degrees, max(both.p, alone.p))


def front(costs: Sequence[float | None], scores: Sequence[float | None]) -> tuple[bool, ...]:
    """Whether no other is as cheap and as good, and in one of the two better (Pareto). None: not known, never on it."""
    points = list(zip(costs, scores, strict=True))

    def beaten(cost: float, score: float) -> bool:
        return any(
            c is not None and s is not None and c <= cost and s >= score and (c, s) != (cost, score) for c, s in points
        )

    return tuple(c is not None and s is not None and not beaten(c, s) for c, s in points)


def _variance(interval: Interval, level: float) -> float:
    """Of the mean, from the interval's half-width."""
    from scipy.special import stdtrit

    return (interval.half_width / float(stdtrit(interval.degrees, 0.5 + level / 2))) ** 2


def _portions(total: int, width: int) -> Iterator[int]:
    """Sizes that add up to ``total``, each small enough for so many numbers a resample."""
    most = max(1, AT_ONCE // max(1, width))
    while total > 0:
        yield min(most, total)
        total -= most
