"""Ranks that can be defended: tiers of entries that are not known to differ, and how sure a rank is."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distillbench.bench.statistics.holm import holm

SIGNIFICANCE_LEVEL = 0.05
"""The chance, at most, that a board separates any two entries that do not differ."""
RESAMPLES = 2000
MAX_NUMBERS = 1_000_000
"""Weights and means of a bootstrap that are in memory at a time."""
Array = NDArray[np.float64]


def tiers(scores: Sequence[float], p: ArrayLike, level: float = SIGNIFICANCE_LEVEL) -> tuple[int, ...]:
    """Sort entries into tiers: the best entry anchors the first, with whoever is not significantly worse than it.

    The best of the others anchors the next tier. An anchor is picked for being the best, so that its k − 1 comparisons
    are picked as well: the p-values are adjusted over all k (k − 1) / 2 pairs (Holm 1979), whoever the anchors are.

    Args:
        scores: (k,), higher is better; equal ones count in the order given.
        p: (k, k), two-sided, of "these two do not differ", of which the upper triangle counts; NaN where that was not
            tested, which separates nothing.
        level: The family-wise error over all pairs.

    Returns:
        The tier of each entry in the order given; 1 is the best.

    Raises:
        ValueError: The shapes do not agree.
    """
    k = len(scores)
    differ = _different_pairs(p, k, level)
    result, waiting, tier = [0] * k, sorted(range(k), key=lambda i: -scores[i]), 0
    while waiting:
        tier += 1
        for i in waiting:
            if not differ[waiting[0], i]:
                result[i] = tier
        waiting = [i for i in waiting if not result[i]]
    return tuple(result)


def _different_pairs(p: ArrayLike, k: int, level: float) -> NDArray[np.bool_]:
    """Whether each two of k entries differ significantly, (k, k), symmetric."""
    raw = np.asarray(p, dtype=np.float64)
    if raw.shape != (k, k):
        raise ValueError(f"p has shape {raw.shape} for {k} entries (expected {(k, k)})")
    upper = np.triu_indices(k, 1)
    differ = np.zeros((k, k), dtype=bool)
    differ[upper] = np.array(holm(raw[upper].tolist())) < level
    return differ | differ.T


def ranks(scores: ArrayLike) -> Array:
    """Rank scores along the last axis: 1 is the highest, equal scores share the mean of their ranks."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.negative(scores), axis=-1), dtype=np.float64)


def rank_draws(
    values: Sequence[ArrayLike],
    seeds: Sequence[Hashable],
    examples: Sequence[Hashable],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Array:
    """Draw the ranks of k entries for other seeds and other test examples, from those at hand.

    Seeds and examples are drawn independently of each other (the pigeonhole bootstrap: Owen 2007). What entries share
    is drawn together, so that its effect cancels.

    Args:
        values: A matrix (seeds, examples) of each entry, higher is better.
        seeds: A name of each entry's set of seeds; equal names are the same seeds.
        examples: A name of each entry's set of test examples; equal names are the same examples.
        resamples: How often to draw.
        seed: Decides all draws.

    Returns:
        Ranks (resamples, k).

    Raises:
        ValueError: Sets of one name have unequal sizes.
    """
    matrices = [np.asarray(value, dtype=np.float64) for value in values]
    sizes = _set_sizes(matrices, seeds, examples)
    # A stream for each set, so that nothing depends on how many are drawn at a time.
    streams = dict(zip(sizes, np.random.default_rng(seed).spawn(len(sizes)), strict=True))
    draws = []
    for count in _portions(resamples, sum(sizes.values()) + len(matrices)):
        weights = {key: streams[key].multinomial(n, np.full(n, 1 / n), count) / n for key, n in sizes.items()}
        means = [
            ((weights[1, example_set] @ matrix.T) * weights[0, seed_set]).sum(1)
            for matrix, seed_set, example_set in zip(matrices, seeds, examples, strict=True)
        ]
        draws.append(ranks(np.stack(means, 1)) if means else np.empty((count, 0)))
    return np.concatenate(draws)


def _set_sizes(
    matrices: Sequence[Array], seeds: Sequence[Hashable], examples: Sequence[Hashable]
) -> dict[tuple[int, Hashable], int]:
    """{(axis, name of a set): its size}."""
    sizes: dict[tuple[int, Hashable], int] = {}
    for matrix, *names in zip(matrices, seeds, examples, strict=True):
        for axis, name in enumerate(names):
            size = matrix.shape[axis]
            if sizes.setdefault((axis, name), size) != size:
                what = ("seeds", "examples")[axis]
                raise ValueError(f"{what} {name!r}: sets of {sizes[axis, name]} and {size} have this name")
    return sizes


def rank_intervals(draws: Array, current: Sequence[float], level: float = 0.95) -> list[tuple[float, float]]:
    """Return percentile intervals of ranks, widened to hold the current ranks.

    Args:
        draws: Ranks (resamples, k).
        current: The k ranks that the entries have now.
        level: The confidence level.

    Returns:
        The lower and the upper end for each entry.
    """
    tail = (1 - level) / 2
    ends = np.quantile(draws, (tail, 1 - tail), axis=0, method="nearest") if len(current) else np.empty((2, 0))
    return [(float(min(low, rank)), float(max(high, rank))) for low, high, rank in zip(*ends, current, strict=True)]


def pareto_front(costs: Sequence[float | None], scores: Sequence[float | None]) -> tuple[bool, ...]:
    """Tell who is on the Pareto front: no other is as cheap and as good, and better in one of the two.

    Args:
        costs: Lower is better; None where a cost is not known.
        scores: Higher is better; None where a score is not known.

    Returns:
        Whether each is on the front; never where its cost or score is not known.
    """
    points = list(zip(costs, scores, strict=True))

    def dominated(cost: float, score: float) -> bool:
        return any(
            c is not None and s is not None and c <= cost and s >= score and (c, s) != (cost, score) for c, s in points
        )

    return tuple(c is not None and s is not None and not dominated(c, s) for c, s in points)


def _portions(total: int, width: int) -> Iterator[int]:
    """Numbers of resamples that add up to ``total``, each small enough for so many numbers a resample."""
    most = max(1, MAX_NUMBERS // max(1, width))
    while total > 0:
        yield min(most, total)
        total -= most
