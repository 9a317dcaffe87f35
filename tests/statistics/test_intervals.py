"""Intervals against scipy, projections and closed forms, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from distillbench.bench.statistics import (
    Ratio,
    crossed_interval,
    holm,
    mean_interval,
    ratio_interval,
)


def crossed(seed: int, seeds: int, examples: int, of_seed: float, of_example: float, of_rest: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a, b, e = rng.normal(size=(seeds, 1)), rng.normal(size=(1, examples)), rng.normal(size=(seeds, examples))
    return 3 + of_seed * a + of_example * b + of_rest * e


def test_the_t_interval_is_scipys() -> None:
    values = [1.0, 2.5, 2.0, 4.0, 3.5]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    interval = mean_interval(values)
    assert interval.mean == pytest.approx((low + high) / 2)
    assert interval.half_width == pytest.approx((high - low) / 2)
    assert interval.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert (interval.n, interval.degrees) == (5, 4)


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
    difference = mean_interval([x + 1 - x for x in shared])
    assert (difference.mean, difference.half_width, difference.p) == (1.0, 0.0, 0.0)
    assert difference.excludes_zero


def test_one_value_has_no_interval_and_excludes_nothing() -> None:
    for interval in (mean_interval([3.0]), crossed_interval([[3.0]])):
        assert (interval.mean, interval.n) == (3.0, 1)
        assert all(map(math.isnan, (interval.half_width, interval.degrees, interval.p)))
        assert not interval.excludes_zero
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])
    with pytest.raises(ValueError, match="no values"):
        crossed_interval(np.empty((5, 0)))
    with pytest.raises(ValueError, match="seeds × examples"):
        crossed_interval([1.0, 2.0])


def test_values_that_are_not_finite_have_no_interval() -> None:
    for interval in (mean_interval([1.0, math.inf, 2.0]), crossed_interval([[1.0, math.inf], [2.0, 3.0]])):
        assert math.isinf(interval.mean)
        assert math.isnan(interval.half_width)
    assert ratio_interval([[1.0, math.inf], [2.0, 3.0]], [[4.0, 4.5], [4.2, 4.4]]) is None


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_what_does_not_vary_has_width_zero(value: float) -> None:
    for interval in (mean_interval([value] * 3), crossed_interval(np.full((3, 7), value))):
        assert (interval.mean, interval.half_width) == (value, 0.0)
        assert interval.excludes_zero == (value != 0)
        assert interval.p == (value == 0)


@pytest.mark.parametrize(
    ("shape", "deviations"), [((5, 40), (1, 5, 2)), ((3, 4), (1, 3, 0.2)), ((4, 3), (1, 2, 0.1)), ((5, 8), (2, 1, 2))]
)
def test_the_crossed_interval_is_that_of_the_analysis_of_variance(
    shape: tuple[int, int], deviations: tuple[float, float, float]
) -> None:
    """Sums of squares as what least squares leaves over; degrees as twice the mean squared over the variance."""
    y = crossed(1, *shape, *deviations)
    (seeds, examples), n = shape, y.size
    one = np.ones((n, 1))
    of_seed, of_example = np.kron(np.eye(seeds), np.ones((examples, 1))), np.kron(np.ones((seeds, 1)), np.eye(examples))

    def left(*design: np.ndarray) -> float:
        matrix = np.hstack(design)
        return float(np.square(y.ravel() - matrix @ np.linalg.lstsq(matrix, y.ravel(), rcond=None)[0]).sum())

    none, additive = left(one), left(of_seed, of_example)
    degrees = np.array([seeds - 1, examples - 1, (seeds - 1) * (examples - 1)])
    squares = np.array([none - left(of_seed), none - left(of_example), additive]) / degrees
    parts = squares * [1, 1, -1] / n
    candidates = [(squares[0] / n, seeds - 1)]
    if squares[1] > squares[2]:
        variance = parts.sum()
        both = 2 * variance**2 / (2 * parts**2 / degrees).sum()
        candidates.append((variance, max(both, min(seeds, examples) - 1)))
    half_width, expected = max((stats.t.ppf(0.975, d) * math.sqrt(v), d) for v, d in candidates)
    interval = crossed_interval(y)
    assert interval.mean == pytest.approx(y.mean())
    assert interval.half_width == pytest.approx(half_width)
    assert interval.degrees == pytest.approx(expected)
    assert interval.p == pytest.approx(max(2 * stats.t.sf(abs(y.mean()) / math.sqrt(v), d) for v, d in candidates))
    assert interval.n == seeds


def test_one_seed_has_the_interval_over_examples_and_one_example_that_over_seeds() -> None:
    values = [0.3, 1.0, 0.7, 0.2]
    alone = mean_interval(values)
    for matrix, n in (([values], 1), ([[v] for v in values], 4)):
        interval = crossed_interval(matrix)
        assert (interval.mean, interval.half_width, interval.degrees, interval.p, interval.n) == (
            alone.mean, alone.half_width, 3, alone.p, n,
        )  # fmt: skip


def test_equal_seeds_leave_the_interval_over_examples_and_equal_examples_that_over_seeds() -> None:
    values = [0.3, 1.0, 0.7, 0.2]
    alone = mean_interval(values)
    for matrix in (np.tile(values, (5, 1)), np.tile(np.reshape(values, (4, 1)), (1, 9))):
        interval = crossed_interval(matrix)
        assert interval.half_width == pytest.approx(alone.half_width)
        assert interval.degrees == pytest.approx(3)
        assert interval.p == pytest.approx(alone.p)


def test_seeds_that_tie_by_chance_do_not_make_the_interval_vanish() -> None:
    tied = np.array([[4, 0, 0, 0.1, 0], [3.9, 0.1, 0, 0, 0.1], [4, 0, 0.1, 0, 0]])
    interval = crossed_interval(tied)
    assert interval.half_width == pytest.approx(mean_interval(tied.mean(axis=0).tolist()).half_width)
    assert interval.degrees == 4
    shuffled = np.random.default_rng(0).permuted(np.tile(np.arange(30) / 30, (5, 1)), axis=1)
    assert len(set(shuffled.mean(axis=1))) > 1  # by rounding alone
    assert crossed_interval(shuffled).half_width > 0.04
    latin = np.array([[0.1, 0.2, 0.3], [0.3, 0.1, 0.2], [0.2, 0.3, 0.1]])
    interval = crossed_interval(latin)
    assert interval.degrees == 4
    assert interval.half_width == pytest.approx(stats.t.ppf(0.975, 4) * math.sqrt(0.06 / 4 / 9))


def test_where_seeds_dominate_three_of_them_have_the_interval_over_seeds() -> None:
    y = crossed(0, 3, 500, 1, 3, 0.5)
    of_seeds, interval = mean_interval(y.mean(axis=1).tolist()), crossed_interval(y)
    assert (interval.half_width, interval.p) == pytest.approx((of_seeds.half_width, of_seeds.p))
    assert interval.degrees == 2


matrices = arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(2, 6)), elements=st.integers(-20, 20).map(float))


@given(matrices, st.randoms(use_true_random=False), st.integers(-50, 50), st.sampled_from([-4.0, 0.25, 3.0]))
def test_order_origin_and_unit_do_not_matter(y: np.ndarray, random: object, shift: int, scale: float) -> None:
    before = crossed_interval(y)
    seeds, examples = list(range(y.shape[0])), list(range(y.shape[1]))
    random.shuffle(seeds)  # type: ignore[attr-defined]
    random.shuffle(examples)  # type: ignore[attr-defined]
    after = crossed_interval(scale * (y[seeds][:, examples] + shift))
    assert after.mean == pytest.approx(scale * (before.mean + shift), abs=1e-9)
    assert after.half_width == pytest.approx(abs(scale) * before.half_width, rel=1e-6, abs=1e-9)
    assert crossed_interval(-y).p == pytest.approx(before.p)


@given(matrices, st.sampled_from([0.8, 0.95, 0.99]))
def test_p_says_what_the_interval_says_and_the_seeds_alone_never_say_less(y: np.ndarray, level: float) -> None:
    interval = crossed_interval(y, level)
    if abs(interval.p - (1 - level)) > 1e-9:
        assert interval.excludes_zero == (interval.p < 1 - level)
    of_seeds = mean_interval(y.mean(axis=1).tolist(), level)
    if of_seeds.half_width > 1e-9:
        assert interval.half_width >= of_seeds.half_width * (1 - 1e-9)
        assert interval.p >= of_seeds.p * (1 - 1e-9)


def test_degrees_of_freedom_are_not_fewer_than_the_smaller_of_seeds_and_examples_has() -> None:
    """Just above B = E a small variance is estimated from large mean squares: by the formula alone, about 0 degrees."""
    seeds, examples = np.array([-2, -1, 0, 1, 2]), np.array([-3, -1, 1, 3])
    rest = np.outer([1, -1, 0, -1, 1], [1, -1, -1, 1]) + np.outer([-1, 2, 0, -2, 1], [-1, 3, -3, 1])
    y = 1e-3 * seeds[:, None] + 0.85 * examples + rest
    assert crossed_interval(y).degrees == 3


# Standard deviations on the probit scale, where the rest has 1: seeds, digits, and each method's own digits.
PROBIT = {
    "digits": (0.03, 3.0, 3.0),
    "seeds": (0.15, 0.3, 0.3),
    "rest": (0.02, 0.7, 0.15),
    "no digits": (0.1, 0.0, 0.0),
}


@pytest.mark.parametrize("mix", PROBIT)
@pytest.mark.parametrize("accuracies", [(0.9,), (0.92, 0.9)], ids=["accuracy", "difference"])
def test_coverage_over_seeds_and_digits(mix: str, accuracies: tuple[float, ...]) -> None:
    """2,000 times 5 seeds × 500 digits, right or wrong: the accuracy of one method, or the difference of two."""
    rng = np.random.default_rng(0)
    of_seed, of_example, own = PROBIT[mix]
    wrong_below = -stats.norm.ppf(accuracies) * math.sqrt(1 + of_seed**2 + of_example**2 + own**2)
    truth = accuracies[0] - sum(accuracies[1:])
    hits = 0
    for _ in range(2000):
        shared = of_example * rng.standard_normal(500, dtype=np.float32)
        first, *second = (
            rng.standard_normal((5, 500), dtype=np.float32)
            + of_seed * rng.standard_normal((5, 1), dtype=np.float32)
            + (shared + own * rng.standard_normal(500, dtype=np.float32))
            > threshold
            for threshold in wrong_below
        )
        interval = crossed_interval(first.astype(float) - sum(second))
        hits += abs(interval.mean - truth) <= interval.half_width
    assert 0.93 <= hits / 2000 <= 0.97


@pytest.mark.parametrize("shares", [(5, 90, 5), (90, 5, 5), (5, 5, 90), (50, 0, 50), (45, 45, 10)])
def test_coverage_over_seeds_and_a_few_images(shares: tuple[int, int, int]) -> None:
    """2,000 times 5 seeds × 4 images; shares: of the variance of the mean, from seeds, images and the rest."""
    deviations = np.sqrt(np.multiply(shares, (5, 4, 20)))
    samples = (crossed(seed, 5, 4, *deviations) for seed in range(2000))
    hits = sum(abs((interval := crossed_interval(y)).mean - 3) <= interval.half_width for y in samples)
    assert hits / 2000 >= 0.93


def test_over_seeds_alone_the_ratio_is_fiellers_closed_form() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        above, below = rng.normal(1, 1, 5), rng.normal(3, 1, 5)
        g = stats.t.ppf(0.975, 4) ** 2 / 5
        (aa, ab), (_, bb) = np.cov(above, below)
        # (Ā − θB̄)² = g (aa − 2θ ab + θ² bb)
        quadratic = [below.mean() ** 2 - g * bb, 2 * (g * ab - above.mean() * below.mean()), above.mean() ** 2 - g * aa]
        ratio = ratio_interval(above, below)
        if quadratic[0] <= 0:
            assert ratio is None
            continue
        assert ratio is not None
        assert ratio.value == pytest.approx(above.mean() / below.mean())
        assert [ratio.low, ratio.high] == pytest.approx(sorted(np.roots(quadratic)), rel=1e-5)
        assert ratio_interval(above[:, None], below[:, None]) == ratio


@pytest.mark.parametrize("examples", [4, 500])
def test_the_ends_of_a_ratio_are_where_the_test_turns(examples: int) -> None:
    below = crossed(4, 5, examples, 0.3, 0.5, 0.5)
    above = 0.4 * below + crossed(5, 5, examples, 0.2, 0.3, 0.3) - 3
    ratio = ratio_interval(above, below)
    assert ratio is not None
    assert ratio.low < ratio.value < ratio.high
    for end, outward in ((ratio.low, -1), (ratio.high, 1)):
        step = outward * 1e-3 * (ratio.high - ratio.low)
        assert crossed_interval(above - (end + step) * below).excludes_zero
        assert not crossed_interval(above - (end - step) * below).excludes_zero
    surer = ratio_interval(above, below, 0.99)
    assert surer is not None
    assert surer.low < ratio.low < ratio.high < surer.high
    scaled = ratio_interval(-2 * above, 5 * below)
    assert scaled is not None
    assert [scaled.low, scaled.high] == pytest.approx([-0.4 * ratio.high, -0.4 * ratio.low], rel=1e-5)


def test_a_ratio_has_no_interval_where_its_denominator_may_be_zero() -> None:
    assert ratio_interval([1.0, 1.1, 0.9], [-0.1, 0.2, 0.1]) is None
    assert ratio_interval([1.0], [2.0]) is None
    with pytest.raises(ValueError, match="denominator"):
        ratio_interval([1.0, 2.0], [[1.0, 2.0]])


def test_a_ratio_of_proportional_values_is_exact() -> None:
    below = crossed(6, 5, 7, 1, 1, 1) + 10
    ratio = ratio_interval(0.5 * below, below)
    assert ratio is not None
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((0.5, 0.5, 0.5))
    assert ratio_interval([0.0, 0.0], [1.0, 1.1]) == Ratio(0, 0, 0)


def test_holm_by_hand() -> None:
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, and 0.04 raised to 0.06."""
    adjusted = holm([0.01, 0.04, 0.03, math.nan, 0.005])
    assert adjusted[:3] + adjusted[4:] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert math.isnan(adjusted[3])
    assert holm([]) == []
    assert holm([0.4, 0.7]) == [0.8, 0.8]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_lowers(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= min(1.0, len(p_values) * p) for p, q in zip(p_values, adjusted, strict=True))
    in_order = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert in_order == sorted(in_order)


def test_rounding_does_not_decide_where_the_example_component_is_exactly_zero() -> None:
    # B = E here: more seeds than examples, where the two formulas have different degrees of freedom.
    y = np.array([[-1.0, -1.0], [0.0, 0.0], [0.0, 1.0]])
    width = crossed_interval(y).half_width
    for scale in (-4.0, 0.1, 1 / 3, 1e5, 7.77):
        for shift in (0.0, 0.3, -12.1):
            assert crossed_interval(scale * y + shift).half_width == pytest.approx(abs(scale) * width, rel=1e-6)
            assert crossed_interval(scale * y[::-1, ::-1] + shift).half_width == pytest.approx(abs(scale) * width)
