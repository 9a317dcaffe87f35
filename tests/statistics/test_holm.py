"""What Holm's correction leaves to each test, and the effect that is found with 80 % power in spite of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from distillbench.bench.statistics import holm, holm_levels, mean_interval, minimum_detectable_effect

P = st.floats(0, 1)


@given(st.lists(P, min_size=1, max_size=8), P, st.sampled_from([0.01, 0.05, 0.2]))
def test_a_test_is_significant_exactly_below_its_level(others: list[float], own: float, alpha: float) -> None:
    (level, *_) = holm_levels([own, *others], alpha)
    assume(abs(own - level) > 1e-9 * level)
    assert (holm([own, *others])[0] < alpha) == (own < level)


@given(st.lists(P, min_size=1, max_size=8), P)
def test_a_level_depends_on_the_others_alone(others: list[float], own: float) -> None:
    assert holm_levels([own, *others])[0] == holm_levels([0.5, *others])[0]


def test_levels_of_known_families() -> None:
    assert holm_levels([0.9, 0.8, 0.7, 0.6]) == [0.05 / 4] * 4, "where no other is significant: Bonferroni's"
    assert holm_levels([0.9, 1e-9, 1e-8, 1e-7])[0] == 0.05, "where all others are: as if it were alone"
    assert holm_levels([0.03, 0.02, 1e-9]) == [0.05, 0.05 / 2, 0.05 / 3], "of the others 2, 1 and none pass"
    levels = holm_levels([0.3, math.nan, 0.2])
    assert (levels[0], levels[2]) == (0.025, 0.025)
    assert math.isnan(levels[1])
    assert holm_levels([]) == []


def t_test_p(samples: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the means of samples (…, n), by scipy."""
    from scipy import stats

    return np.asarray(stats.ttest_1samp(samples, 0, axis=-1).pvalue)


@pytest.mark.parametrize(("methods", "sure", "seeds"), [(5, 0, 5), (5, 4, 5), (8, 3, 5), (8, 0, 10)])
def test_the_effect_is_found_with_the_power_where_it_must_survive_holm(methods: int, sure: int, seeds: int) -> None:
    """One method has just that effect; ``sure`` others are surely better, and the rest equal scratch.

    The p of those that equal scratch is above a half, so that none of them is significant by chance.
    """
    rng = np.random.default_rng(0)
    runs = 4000
    deviation = mean_interval((np.arange(seeds) / np.std(np.arange(seeds), ddof=1)).tolist())
    others = [1e-12] * sure + [0.9] * (methods - 1 - sure)
    alpha = holm_levels([0.5, *others])[0]
    assert alpha == pytest.approx(0.05 / (methods - sure))
    effect = minimum_detectable_effect(deviation, alpha=alpha)
    p = t_test_p(effect + rng.normal(size=(runs, seeds)))
    found = sum(holm([float(own), *others])[0] < 0.05 for own in p) / runs
    assert found == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / runs))
    # Of what an interval of 95% would show without correction, far less than 80% would be found.
    p = t_test_p(minimum_detectable_effect(deviation) + rng.normal(size=(runs, seeds)))
    without = sum(holm([float(own), *others])[0] < 0.05 for own in p) / runs
    assert (without < 0.6) == (sure < methods - 1)


def test_the_power_holds_where_all_methods_are_compared_with_one_scratch() -> None:
    """Four methods that equal scratch are drawn as well: they share its noise, and may be significant by chance."""
    rng = np.random.default_rng(1)
    runs, methods, seeds = 3000, 5, 5
    deviation = mean_interval((np.arange(seeds) / np.std(np.arange(seeds), ddof=1)).tolist())
    effect = math.sqrt(2) * minimum_detectable_effect(deviation, alpha=0.05 / methods)
    values, scratch = rng.normal(size=(runs, methods, seeds)), rng.normal(size=(runs, 1, seeds))
    values[:, 0] += effect
    found = sum(holm(p.tolist())[0] < 0.05 for p in t_test_p(values - scratch)) / runs
    assert 0.8 - 3 * math.sqrt(0.8 * 0.2 / runs) < found < 0.84


def test_with_five_methods_and_seeds_it_is_one_and_a_half_times_that_of_a_single_comparison() -> None:
    interval = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    corrected = minimum_detectable_effect(interval, alpha=0.05 / 5)
    assert corrected / minimum_detectable_effect(interval) == pytest.approx(1.563, abs=1e-3)


@pytest.mark.parametrize("alpha", [0.0, -0.1, 0.6, math.nan])
def test_a_level_of_significance_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"expected above 0, at most 0\.5"):
        minimum_detectable_effect(mean_interval([1.0, 2.0]), alpha=alpha)
