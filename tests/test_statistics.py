"""Intervals against scipy, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.statistics import mean_interval, paired_difference


def test_the_t_interval_is_scipys() -> None:
    values = [1.0, 2.5, 2.0, 4.0, 3.5]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    interval = mean_interval(values)
    assert interval.mean == pytest.approx((low + high) / 2)
    assert interval.half_width == pytest.approx((high - low) / 2)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_it_covers_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(0)
    hits = sum(
        abs((interval := mean_interval(sample.tolist())).mean - 1.0) <= interval.half_width
        for sample in rng.normal(1.0, 2.0, (2000, n))
    )
    assert 0.93 <= hits / 2000 <= 0.97


def test_what_two_series_share_cancels() -> None:
    shared = [10.0, -5.0, 3.0]
    difference = paired_difference([x + 1 for x in shared], shared)
    assert (difference.mean, difference.half_width) == (1.0, 0.0)
    assert difference.excludes_zero


def test_one_value_has_no_interval_and_excludes_nothing() -> None:
    interval = mean_interval([3.0])
    assert math.isnan(interval.half_width)
    assert not interval.excludes_zero
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])
