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
from distillbench.bench.statistics.ratios import _check, _positive

PRECISION = 0.25
"""Of the normal prior of the effect, in standard deviations of a value: effects are around ± 2."""
CONCENTRATION = 0.3
"""Of the symmetric beta prior of the chance that a value lies above: below 1, most of it is near 0 and 1."""


def anytime_ratio(ratios: ArrayLike, level: float = 0.95) -> Ratio:
    """exp of the median of log(ratios), and an interval that holds however often, and whenever, one looks at it.

    ratios (launches,), of which the logarithms are symmetric about the truth. With the chance ``level`` it contains the
    truth after every launch of an endless sequence. No ends (NaN) for so few that nothing could be excluded. ValueError
    for none, ratios that are not positive and finite, or a level below ½.
    """
    _check(level)
    logs = np.sort(np.log(_positive(ratios, "ratios")))
    high, low = _upper(logs, 1 / (1 - level)), -_upper(-logs[::-1], 1 / (1 - level))
    ends = (low, high) if math.isfinite(low) and math.isfinite(high) else (math.nan, math.nan)
    return Ratio(*(float(end) for end in np.exp([np.median(logs), *ends])))


def log_evidence(values: ArrayLike, centre: float) -> float:
    """The logarithm of the two bets' mean worth against this centre, after these values."""
    x = np.asarray(values, dtype=np.float64) - centre
    signs = _log_signs(len(x))[int((x < 0).sum())]
    return float(np.logaddexp(_log_student(x), signs) - math.log(2))


def _log_student(x: NDArray[np.float64]) -> float:
    """∫ N(δ; 0, 1 / PRECISION) · p(t | δ) dδ / p(t | 0) for Student's t of these values."""
    n, squares = len(x), float(np.vdot(x, x))
    share = float(x.sum()) ** 2 / squares if squares else 0.0
    total = n + PRECISION
    return 0.5 * math.log(PRECISION / total) - n / 2 * math.log1p(-share / total)


def _log_signs(n: int) -> NDArray[np.float64]:
    """∫ Beta(p) · (2 (1 − p))^i · (2 p)^(n − i) dp where i = 0 … n values lie below."""
    from scipy.special import betaln

    below = np.arange(n + 1)
    prior = betaln(CONCENTRATION, CONCENTRATION)
    return n * math.log(2) + betaln(n - below + CONCENTRATION, below + CONCENTRATION) - prior  # type: ignore[no-any-return]


def _upper(x: NDArray[np.float64], enough: float) -> float:
    """The least centre beyond mean and median against which the bets are worth so much, of sorted values.

    Between two neighbouring values the signs stay as they are, and the t has what lacks at a distance in closed form.
    """
    n = len(x)
    signs, total = np.exp(np.minimum(_log_signs(n), 700)), n + PRECISION
    lacks = np.maximum(2 * enough - signs, 1e-9)
    share = -total * np.expm1(-2 / n * (np.log(lacks) - 0.5 * math.log(PRECISION / total)))
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(share < n, np.sqrt(np.maximum(share, 0) * x.var() / (n - share)), np.inf)
    starts, stops = np.append(-np.inf, x), np.append(x, np.inf)
    centres = np.maximum(np.maximum(starts, x.mean() + distance), max(x.mean(), np.median(x)))
    return float(centres[centres <= stops][0]) if (centres <= stops).any() else math.inf
