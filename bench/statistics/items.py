"""Tests of two models on the same test items: one seed each, or the items' means over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXACT = 200
"""Up to so many items the null distribution of the signed ranks is counted; beyond, it is taken as normal."""


@dataclass(frozen=True)
class PairedTest:
    """On how many items the first is above and below the second; on the others they are equal.

    p: two-sided, of "neither is better"; 1 where they are equal on all items.
    """

    above: int
    below: int
    p: float


def mcnemar(right: ArrayLike, baseline: ArrayLike) -> PairedTest:
    """McNemar's (1947) test of right or wrong (items,), exact: the items that only one gets right are fair coin throws.

    Its size is at most the nominal one, and well below it for few such items. ValueError for lengths that differ, none,
    or values other than 0 and 1.
    """
    from scipy.special import bdtr

    first, second = _pair(right, baseline)
    if not (np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        raise ValueError("not right (1) or wrong (0)")
    above, below = int((first > second).sum()), int((first < second).sum())
    return PairedTest(above, below, min(1.0, 2 * float(bdtr(min(above, below), above + below, 0.5))))


def wilcoxon(values: ArrayLike, baseline: ArrayLike) -> PairedTest:
    """Wilcoxon's (1945) signed-rank test of values (items,) in one unit, such as PSNR in dB.

    p is that of "the differences are symmetric about 0". Equal items are left out, as he did; ties share their mean
    rank, and the distribution is that given the ties: counted for up to ``EXACT`` items, else normal with a correction
    for continuity. Infinite values rank highest. ValueError for lengths that differ, none, or NaN.
    """
    first, second = _pair(values, baseline)
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("values that are not numbers")
    differ = first != second
    difference = first[differ] - second[differ]
    above, below = int((difference > 0).sum()), int((difference < 0).sum())
    if not len(difference):
        return PairedTest(0, 0, 1.0)
    _, place, counts = np.unique(np.abs(difference), return_inverse=True, return_counts=True)
    ranks = (2 * counts.cumsum() - counts + 1)[place]  # doubled: mean ranks of ties may be halves
    total, of_above = int(ranks.sum()), int(ranks[difference > 0].sum())
    smaller = min(of_above, total - of_above)
    if len(ranks) <= EXACT:
        tail = float(_signed_sums(ranks)[: smaller + 1].sum())
    else:
        deviation = math.sqrt(float(np.square(ranks, dtype=np.float64).sum())) / 2
        tail = 0.5 * math.erfc(max(0.0, total / 2 - smaller - 1) / deviation / math.sqrt(2))
    return PairedTest(above, below, min(1.0, 2 * tail))


def _signed_sums(ranks: NDArray[np.intp]) -> NDArray[np.float64]:
    """The probability of each sum 0…Σ ranks where every rank counts with ½."""
    chance = np.zeros(int(ranks.sum()) + 1)
    chance[0] = 1.0
    for rank in ranks:
        chance[rank:] += chance[:-rank].copy()
        chance /= 2
    return chance


def _pair(values: ArrayLike, baseline: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"not two series of the same items: {first.shape} and {second.shape}")
    if first.size == 0:
        raise ValueError("no items")
    return first, second
