"""Ratios of times against scipy, closed forms and brute force, and by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from distillbench.bench.statistics import Ratio, geometric_mean, least_pairs, paired_ratio, unpaired_ratio

Draw = Callable[[np.random.Generator, int], np.ndarray]

# Log-ratios with median 0.
NOISE: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy": lambda rng, n: rng.standard_t(2, size=n),
    "skewed": lambda rng, n: rng.exponential(size=n) - math.log(2),
}


def ratio_of(logs: np.ndarray, level: float = 0.95) -> Ratio:
    return paired_ratio(np.exp(logs), np.ones(len(logs)), level)


def coverage(interval: Callable[[np.random.Generator], Ratio], truth: float = 1.0) -> float:
    rng = np.random.default_rng(0)
    return sum((r := interval(rng)).low <= truth <= r.high for _ in range(2000)) / 2000


# -- interleaved pairs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("n", [6, 7, 10, 30])
def test_the_paired_interval_covers_as_often_as_it_says_whatever_the_noise(noise: str, n: int) -> None:
    assert 0.93 <= coverage(lambda rng: ratio_of(0.02 * NOISE[noise](rng, n))) <= 0.97


@pytest.mark.parametrize("noise", NOISE)
def test_at_99_percent_it_does_so_too(noise: str) -> None:
    assert 0.98 <= coverage(lambda rng: ratio_of(0.02 * NOISE[noise](rng, 30), 0.99)) <= 0.998


@pytest.mark.parametrize(("level", "least"), [(0.5, 2), (0.9, 5), (0.95, 6), (0.99, 8), (0.999, 11)])
def test_fewer_pairs_than_any_interval_needs_have_none(level: float, least: int) -> None:
    """Even from the smallest to the largest of n values the median is missed with 2^(1 − n)."""
    assert least_pairs(level) == least
    assert 2.0 ** (1 - least) <= 1 - level + 1e-12 < 2.0 ** (2 - least)
    few, enough = (ratio_of(np.arange(n, dtype=float), level) for n in (least - 1, least))
    assert few.value == pytest.approx(math.exp((least - 2) / 2))
    assert math.isnan(few.low)
    assert math.isnan(few.high)
    assert enough.low < enough.value < enough.high


@pytest.mark.parametrize(("n", "level"), [(6, 1 - 2 / 64), (10, 1 - 22 / 1024), (9, 1 - 92 / 512)])
def test_where_no_interpolation_is_needed_its_ends_are_values(n: int, level: float) -> None:
    """x_k … x_(n + 1 − k) has the level of the sign test, here for k = 1, 2 and 3."""
    x = np.sort(np.random.default_rng(1).normal(size=n))
    k = {6: 1, 10: 2, 9: 3}[n]
    ratio = ratio_of(x, level)
    assert [ratio.low, ratio.high] == pytest.approx(np.exp([x[k - 1], x[n - k]]))


def test_between_two_such_levels_it_is_interpolated_as_hettmansperger_and_sheather_do() -> None:
    """n = 10: 2 … 9 has 97.85 %, 3 … 8 has 89.06 %; λ = (n − k) I / (k + (n − 2k) I)."""
    x = np.arange(10.0)
    share = (0.978515625 - 0.95) / (0.978515625 - 0.890625)
    inward = 8 * share / (2 + 6 * share)
    assert np.log([ratio_of(x).low, ratio_of(x).high]) == pytest.approx([1 + inward, 8 - inward])


def test_what_the_two_of_a_pair_share_cancels() -> None:
    rng = np.random.default_rng(0)
    load = np.exp(rng.normal(size=30))
    ratio = paired_ratio(1.05 * load, load)
    assert [ratio.low, ratio.value, ratio.high] == pytest.approx([1.05] * 3)


times = st.lists(st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3)), min_size=8, max_size=40)


@given(times, st.floats(1e-3, 1e3), st.sampled_from([0.8, 0.95, 0.99]))
def test_unit_and_sides_do_not_matter_and_a_surer_interval_is_wider(
    pairs: list[tuple[float, float]], unit: float, level: float
) -> None:
    above, below = np.array(pairs).T
    ratio, other = paired_ratio(above, below, level), paired_ratio(unit * below, unit * above, level)
    assert ratio.low <= ratio.value * (1 + 1e-12) <= ratio.high * (1 + 2e-12)
    assert [1 / other.high, 1 / other.value, 1 / other.low] == pytest.approx([ratio.low, ratio.value, ratio.high])
    wider = paired_ratio(above, below, 0.5 + level / 2 if level < 0.9 else 0.992)
    assert wider.low <= ratio.low * (1 + 1e-12)
    assert wider.high >= ratio.high * (1 - 1e-12)


def test_one_outlier_moves_no_end_far() -> None:
    logs = 0.01 * np.random.default_rng(0).normal(size=30)
    before, after = ratio_of(logs), ratio_of(np.append(logs[:-1], 5.0))
    assert after.high < before.high * 1.01


# -- launches and machines ----------------------------------------------------------------------------------------


def test_launches_have_students_interval_on_the_logarithms() -> None:
    ratios = [1.02, 1.05, 1.04, 0.99]
    logs = np.log(ratios)
    expected = stats.t.interval(0.95, 3, logs.mean(), stats.sem(logs))
    ratio = geometric_mean(ratios)
    assert ratio.value == pytest.approx(stats.gmean(ratios))
    assert np.log([ratio.low, ratio.high]) == pytest.approx(expected)


def test_a_family_in_launches_is_the_interval_of_the_launches_geometric_means() -> None:
    ratios = np.exp(np.random.default_rng(2).normal(size=(5, 3)))
    family, means = geometric_mean(ratios), geometric_mean(stats.gmean(ratios, axis=1))
    assert [family.low, family.value, family.high] == pytest.approx([means.low, means.value, means.high])
    alone = geometric_mean(ratios[:1])
    assert alone.value == pytest.approx(stats.gmean(ratios[0]))
    assert math.isnan(alone.low)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_launches_cover_as_often_as_they_say(n: int) -> None:
    truth = np.array([0.2, -0.1, 0.05])

    def interval(rng: np.random.Generator) -> Ratio:
        shared = 0.03 * rng.normal(size=(n, 1))  # a launch is slow for all of its members
        return geometric_mean(np.exp(truth + shared + 0.02 * rng.normal(size=(n, 3))))

    assert 0.93 <= coverage(interval, math.exp(truth.mean())) <= 0.97


def test_the_unpaired_interval_is_welchs() -> None:
    above, below = np.array([3.1, 3.3, 2.9, 3.0]), np.array([2.0, 2.4, 1.9])
    welch = stats.ttest_ind(np.log(above), np.log(below), equal_var=False)
    expected = welch.confidence_interval(0.99)
    ratio = unpaired_ratio(above, below, 0.99)
    assert ratio.value == pytest.approx(stats.gmean(above) / stats.gmean(below))
    assert np.log([ratio.low, ratio.high]) == pytest.approx([expected.low, expected.high])


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 5), (10, 10), (5, 10), (3, 10)])
def test_two_sets_of_launches_cover_as_often_as_they_say(n: int, m: int) -> None:
    """3 against 10 is the worst case offered, with 93.6 %."""

    def interval(rng: np.random.Generator) -> Ratio:
        return unpaired_ratio(2 * np.exp(0.05 * rng.normal(size=n)), np.exp(0.05 * rng.normal(size=m)))

    assert (0.92 if (n, m) == (3, 10) else 0.93) <= coverage(interval, 2.0) <= 0.97


def test_a_set_of_two_launches_has_a_ratio_and_no_ends_and_equal_launches_no_width() -> None:
    for ratio in (unpaired_ratio([2.0, 2.0], [1.0, 1.0, 1.1]), unpaired_ratio([2.0, 2.0, 2.0], [1.0, 1.1**0.5])):
        assert ratio.value > 1.9
        assert math.isnan(ratio.low)
        assert math.isnan(ratio.high)
    same = unpaired_ratio([2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    assert [same.low, same.value, same.high] == pytest.approx([2.0] * 3)


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_times_that_are_not_positive_and_finite_are_refused(bad: float) -> None:
    good, wrong = [1.0, 1.0], [1.0, bad]
    for call in (paired_ratio, unpaired_ratio):
        with pytest.raises(ValueError, match="numerator: a value is not positive and finite"):
            call(wrong, good)
        with pytest.raises(ValueError, match="denominator: a value is not positive and finite"):
            call(good, wrong)
    with pytest.raises(ValueError, match="ratios: a value is not positive and finite"):
        geometric_mean(wrong)


def test_series_that_are_no_pairs_and_levels_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 3 times"):
        paired_ratio([1.0, 1.0], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="shape"):
        paired_ratio([[1.0]], [[1.0]])
    for call in (paired_ratio, unpaired_ratio):
        with pytest.raises(ValueError, match="no values"):
            call([], [])
    with pytest.raises(ValueError, match="no values"):
        geometric_mean([])
    for call, level in product((paired_ratio, unpaired_ratio), (0.0, 0.4, 1.0, math.nan)):
        with pytest.raises(ValueError, match="level"):
            call([1.0, 2.0], [1.0, 2.0], level)
