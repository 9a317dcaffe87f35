"""Tests of two models on the same items, against scipy and by counting."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from distillbench.bench.statistics import PairedTest, mcnemar, wilcoxon
from distillbench.bench.statistics.items import EXACT


def test_mcnemar_by_hand() -> None:
    """8 against 2 of 10 coins: 2 (1 + 10 + 45) / 1024."""
    right = np.array([1] * 8 + [0] * 2 + [1] * 50 + [0] * 40)
    baseline = np.array([0] * 8 + [1] * 2 + [1] * 50 + [0] * 40)
    assert mcnemar(right, baseline) == PairedTest(8, 2, pytest.approx(112 / 1024))
    assert mcnemar(right, right) == PairedTest(0, 0, 1.0)
    assert mcnemar(right == 1, baseline == 1).p == mcnemar(right, baseline).p


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_test_of_the_items_that_differ(above: int, below: int) -> None:
    one, other = np.repeat([1, 0, 1], [above, below, 3]), np.repeat([0, 1, 1], [above, below, 3])
    expected = stats.binomtest(above, above + below).pvalue if above + below else 1.0
    assert mcnemar(one, other).p == pytest.approx(expected, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("n", [1, 2, 5, 20, 60, EXACT])
def test_without_ties_wilcoxon_is_scipys_exact_test(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(0.3, 1, n), rng.normal(size=n)
    test = wilcoxon(x, y)
    assert test.p == pytest.approx(stats.wilcoxon(x, y, method="exact").pvalue)
    assert (test.above, test.below) == ((x > y).sum(), (x < y).sum())


@pytest.mark.parametrize("decimals", [0, 8])
def test_of_many_items_it_is_scipys_normal_approximation(decimals: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.1, 1, 500).round(decimals), rng.normal(size=500).round(decimals)
    assert wilcoxon(x, y).p == pytest.approx(stats.wilcoxon(x, y, method="approx", correction=True).pvalue)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_with_ties_it_counts_all_signs(differences: list[int]) -> None:
    values = np.array(differences, dtype=float)
    kept = np.abs(values[values != 0])
    ranks = stats.rankdata(kept)
    sums = np.array([np.dot(ranks, signs) for signs in product((0, 1), repeat=len(kept))])
    w = ranks[values[values != 0] > 0].sum()
    expected = min(1.0, 2 * min((sums <= w).mean(), (sums >= w).mean()))
    test = wilcoxon(values, np.zeros(len(values)))
    assert test.p == pytest.approx(expected)
    assert wilcoxon(np.zeros(len(values)), values) == PairedTest(test.below, test.above, test.p)


def test_counted_and_normal_meet_where_the_one_takes_over() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(0.15, 1, EXACT)
    counted = wilcoxon(x, np.zeros(EXACT)).p
    assert counted == pytest.approx(stats.wilcoxon(x, method="approx", correction=True).pvalue, rel=0.05)


def test_equal_items_are_left_out_and_infinite_ones_rank_highest() -> None:
    """A restored picture without an error has an infinite PSNR."""
    assert wilcoxon([30.0, 31.0], [30.0, 31.0]) == PairedTest(0, 0, 1.0)
    assert wilcoxon([math.inf, 31.0], [math.inf, 30.0]) == wilcoxon([31.0], [30.0])
    assert wilcoxon([math.inf, 30.0, 30.0], [30.0, 31.0, 32.0]) == wilcoxon([9.0, 0.0, 0.0], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("items", [10, 50, 300])
def test_equal_models_are_seldom_said_to_differ(items: int) -> None:
    """Both are exact: at most 5 %, for right and wrong fewer, as one item more decides much."""
    rng = np.random.default_rng(0)
    found = np.zeros(2)
    for _ in range(1000):
        shared = rng.normal(size=items)
        x, y = (shared + rng.normal(size=items) for _ in range(2))
        found += mcnemar(x > -1, y > -1).p < 0.05, wilcoxon(x, y).p < 0.05
    assert (found <= 65).all()
    assert found[1] >= 30


@pytest.mark.parametrize("test", [mcnemar, wilcoxon])
def test_what_are_no_paired_items_is_refused(test: object) -> None:
    call = mcnemar if test is mcnemar else wilcoxon
    with pytest.raises(ValueError, match="same items"):
        call([1.0, 0.0], [1.0])
    with pytest.raises(ValueError, match="same items"):
        call([[1.0]], [[1.0]])
    with pytest.raises(ValueError, match="no items"):
        call([], [])
    with pytest.raises(ValueError, match="not"):
        call([1.0, math.nan], [1.0, 0.0])


def test_mcnemar_takes_right_and_wrong_alone() -> None:
    with pytest.raises(ValueError, match="right"):
        mcnemar([0.5, 1.0], [1.0, 0.0])
