"""The interval of a ratio of paired times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.statistics import Ratio

RESAMPLES = 4000


def paired_ratio(numerator: Sequence[float], denominator: Sequence[float], level: float = 0.99, seed: int = 0) -> Ratio:
    """exp of the median of log(numerator / denominator), pair by pair, with its percentile bootstrap interval.

    Pairs are drawn with replacement (Efron 1979): what disturbs both of a pair cancels before anything is drawn.
    """
    logs = np.log(np.asarray(numerator, dtype=np.float64)) - np.log(np.asarray(denominator, dtype=np.float64))
    drawn = np.random.default_rng(seed).integers(len(logs), size=(RESAMPLES, len(logs)), dtype=np.int32)
    medians = np.median(logs[drawn], axis=1)
    low, high = np.exp(np.quantile(medians, [0.5 - level / 2, 0.5 + level / 2]))
    return Ratio(float(np.exp(np.median(logs))), float(low), float(high))
