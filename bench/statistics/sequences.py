"""Ratios that may be looked at after every launch: confidence sequences, which hold at all times at once.

An e-process is evidence against a value of the centre: a bet on it whose worth, where that value is true, exceeds 1 / α
at any time at all with a chance of at most α (Ville 1939). What it does not reject is a confidence sequence. Two bets
share the stake, and the mean of two e-processes is one (Vovk & Wang 2021):

- **Student's t**, mixed over effects (Lai 1976; Wang & Ramdas 2023): fast, exact for normal values of any variance.
- **Signs**, mixed over chances (Robbins 1970): that of the median, exact for any continuous distribution. A value that
  is far off counts as any other.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distillbench.bench.statistics.intervals import Ratio
from distillbench.bench.statistics.ratios import check_level, exponential_ratio, positive_array

PRECISION = 0.25
"""Of the normal prior of the effect, in standard deviations of a value: effects are around ± 2."""
CONCENTRATION = 0.3
"""Of the symmetric beta prior of the chance that a value lies above: below 1, most of it is near 0 and 1."""
Array = NDArray[np.float64]


def anytime_ratio(ratios: ArrayLike, level: float = 0.95) -> Ratio:
    """Return the median ratio with an interval that holds however often, and whenever, one looks at it.

    With the chance ``level`` it contains the truth after every launch of an endless sequence.

    Args:
        ratios: One a launch, (launches,), whose logarithms are symmetric about the truth.
        level: The confidence level.

    Returns:
        The ratio; without ends (NaN) for so few launches that nothing could be excluded.

    Raises:
        ValueError: There are no ratios, ratios are not positive and finite, or the level is not from ½ to below 1.
    """
    check_level(level)
    logs = np.sort(np.log(positive_array(ratios, "ratios")))
    high, low = _upper_end(logs, 1 / (1 - level)), -_upper_end(-logs[::-1], 1 / (1 - level))
    ends = (low, high) if math.isfinite(low) and math.isfinite(high) else (math.nan, math.nan)
    return exponential_ratio(np.median(logs), *ends)


def _log_signs(n: int) -> Array:
    """∫ Beta(p) · (2 (1 − p))^i · (2 p)^(n − i) dp where i = 0 … n values lie below, as logarithms."""
    from scipy.special import betaln

    below = np.arange(n + 1)
    prior = betaln(CONCENTRATION, CONCENTRATION)
    return n * math.log(2) + betaln(n - below + CONCENTRATION, below + CONCENTRATION) - prior  # type: ignore[no-any-return]


def _upper_end(x: Array, threshold: float) -> float:
    """The least centre beyond mean and median against which the two bets are worth the threshold, of sorted values.

    Between two neighbouring values the signs' bet is constant, and the t's reaches what lacks at a distance from the
    mean in closed form.
    """
    starts, stops = np.append(-np.inf, x), np.append(x, np.inf)
    centres = np.maximum(np.maximum(starts, x.mean() + _distances(x, threshold)), max(x.mean(), np.median(x)))
    return float(centres[centres <= stops][0]) if (centres <= stops).any() else math.inf


def _distances(x: Array, threshold: float) -> Array:
    """How far from the mean the t's bet is worth what lacks, by how many values lie below the centre; may be infinite.

    The t's bet: ∫ N(δ; 0, 1 / PRECISION) · p(t | δ) dδ / p(t | 0) for Student's t of these values.
    """
    n = len(x)
    total = n + PRECISION
    missing = np.maximum(2 * threshold - np.exp(np.minimum(_log_signs(n), 700)), 1e-9)
    share = -total * np.expm1(-2 / n * (np.log(missing) - 0.5 * math.log(PRECISION / total)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(share < n, np.sqrt(np.maximum(share, 0) * x.var() / (n - share)), np.inf)
