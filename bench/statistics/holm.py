"""Several tests at once: Holm's (1979) correction, and what it leaves to each test."""

from __future__ import annotations

import math
from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm 1979): those below α have a family-wise error of at most α.

    Args:
        p_values: One a test; NaN where there was none.

    Returns:
        The adjusted p-values in the same order; NaN stays NaN and does not count.
    """
    adjusted = [math.nan] * len(p_values)
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[place] = highest
    return adjusted


def holm_levels(p_values: Sequence[float], alpha: float = 0.05) -> list[float]:
    """Return below which p-value each test would be significant after Holm's correction, the others as they are.

    Where j of the m − 1 others pass the first j of Holm's steps, α/m, α/(m − 1), …, the test is left to pass the next
    one, α/(m − j), whatever its own p-value: a smaller one is compared with an earlier step, but passes that as well.

    Args:
        p_values: One a test; NaN where there was none.
        alpha: The family-wise error.

    Returns:
        α/(m − j) of each test in the same order; NaN stays NaN and does not count.
    """
    tested = [p for p in p_values if not math.isnan(p)]
    return [math.nan if math.isnan(p) else alpha / (len(tested) - _passing(p, tested, alpha)) for p in p_values]


def _passing(own: float, tested: Sequence[float], alpha: float) -> int:
    """How many of the others are rejected by Holm's first steps over all tests."""
    others = sorted(tested)
    others.remove(own)
    steps = (p < alpha / (len(tested) - place) for place, p in enumerate(others))
    return next((place for place, passed in enumerate(steps) if not passed), len(others))
