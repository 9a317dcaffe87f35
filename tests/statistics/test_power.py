"""The minimum detectable effect against the non-central t distribution, published values, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from distillbench.bench.statistics import Interval, crossed_interval, mean_interval, minimum_detectable_effect


def values(n: int, deviation: float = 1.0) -> list[float]:
    """n values of exactly this sample deviation."""
    x = np.arange(n, dtype=float)
    return (x * deviation / x.std(ddof=1)).tolist() if n > 1 else [1.0]


@pytest.mark.parametrize(("n", "effect"), [(3, 3.2640), (5, 1.6820), (10, 0.9960), (20, 0.6604), (30, 0.5292)])
def test_it_is_the_effect_size_that_power_tables_give_for_80_percent(n: int, effect: float) -> None:
    """In deviations, two-sided at 5 %: 10 pairs see 0.996, 30 see 0.529."""
    assert minimum_detectable_effect(mean_interval(values(n))) == pytest.approx(effect, abs=5e-5)
    assert minimum_detectable_effect(mean_interval(values(n, 0.3))) == pytest.approx(0.3 * effect, abs=5e-5)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 100])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_the_non_central_t_distribution_gives_the_power_back(n: int, power: float, level: float) -> None:
    interval = mean_interval(values(n), level)
    shift = minimum_detectable_effect(interval, power, level) * math.sqrt(n)
    assert stats.nct.sf(stats.t.ppf(0.5 + level / 2, n - 1), n - 1, shift) == pytest.approx(power, abs=1e-6)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_so_large_an_effect_is_found_with_the_power(n: int) -> None:
    rng = np.random.default_rng(0)
    true = minimum_detectable_effect(mean_interval(values(n, 2.0)))
    intervals = [mean_interval(sample.tolist()) for sample in rng.normal(true, 2.0, (2000, n))]
    power = sum(interval.excludes_zero for interval in intervals) / 2000
    assert 0.77 <= power <= 0.83


def test_an_interval_over_seeds_and_examples_has_one_by_its_own_degrees_of_freedom() -> None:
    rng = np.random.default_rng(0)
    interval = crossed_interval(rng.normal(size=(5, 1)) + 3 * rng.normal(size=(1, 7)) + rng.normal(size=(5, 7)))
    error = interval.half_width / stats.t.ppf(0.975, interval.degrees)
    shift = minimum_detectable_effect(interval) / error
    assert stats.nct.sf(stats.t.ppf(0.975, interval.degrees), interval.degrees, shift) == pytest.approx(0.8, abs=1e-6)


@given(st.integers(2, 40), st.floats(0.8, 0.99), st.floats(-100, 100))
def test_it_is_beyond_the_interval_grows_with_the_power_and_does_not_depend_on_the_mean(
    n: int, power: float, shift: float
) -> None:
    interval = mean_interval(values(n))
    least = minimum_detectable_effect(interval, power)
    assert least > interval.half_width
    assert minimum_detectable_effect(interval, power + 0.005) > least
    moved = Interval(shift, interval.half_width, interval.n, interval.degrees, interval.p)
    assert minimum_detectable_effect(moved, power) == least


def test_one_seed_could_have_seen_nothing_that_can_be_told_and_what_does_not_vary_anything() -> None:
    assert math.isnan(minimum_detectable_effect(mean_interval([1.0])))
    assert minimum_detectable_effect(mean_interval([1.0, 1.0])) == 0.0


@pytest.mark.parametrize(("power", "level"), [(0.3, 0.95), (1.0, 0.95), (0.8, 1.0), (0.8, 0.2), (math.nan, 0.95)])
def test_a_power_or_level_that_is_none_is_refused(power: float, level: float) -> None:
    with pytest.raises(ValueError, match=r"expected from 0\.5"):
        minimum_detectable_effect(mean_interval([1.0, 2.0]), power, level)
