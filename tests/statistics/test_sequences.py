"""Confidence sequences: against integrals written out, and in sequences of which the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import integrate, special, stats

from distillbench.bench.statistics import anytime_ratio
from distillbench.bench.statistics.sequences import CONCENTRATION, PRECISION

VALUES = (0.3, -0.1, 0.45, 0.2, 0.05, -0.35, 0.6)


def log_evidence(values: ArrayLike, centre: float) -> float:
    """The logarithm of the two bets' mean worth against this centre, after these values, in closed form."""
    x = np.asarray(values, dtype=np.float64) - centre
    n, below, total = len(x), int((x < 0).sum()), len(x) + PRECISION
    share = float(x.sum()) ** 2 / float(np.vdot(x, x))
    student = 0.5 * math.log(PRECISION / total) - n / 2 * math.log1p(-share / total)
    signs = n * math.log(2) + special.betaln(n - below + CONCENTRATION, below + CONCENTRATION)
    signs -= special.betaln(CONCENTRATION, CONCENTRATION)
    return float(np.logaddexp(student, signs) - math.log(2))


def student_by_integral(values: np.ndarray) -> float:
    """The likelihood ratio of the t statistic, whose law is the non-central t's, mixed over effects."""
    n, t = len(values), stats.ttest_1samp(values, 0).statistic
    prior = stats.norm(0, 1 / math.sqrt(PRECISION))

    def integrand(effect: float) -> float:
        return float(stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) * prior.pdf(effect))

    return float(integrate.quad(integrand, -12, 12, limit=200)[0] / stats.t.pdf(t, n - 1))


def signs_by_binomials(values: np.ndarray) -> float:
    above, n = int((values > 0).sum()), len(values)
    return float(stats.betabinom.pmf(above, n, CONCENTRATION, CONCENTRATION) / stats.binom.pmf(above, n, 0.5))


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("centre", [-1.0, -0.2, 0.0, 0.17, 0.5, 1.5])
def test_the_evidence_is_the_mean_of_two_mixtures(n: int, centre: float) -> None:
    values = np.array(VALUES[:n]) - centre
    expected = (student_by_integral(values) + signs_by_binomials(values)) / 2
    assert math.exp(log_evidence(VALUES[:n], centre)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [7, 12, 60])
@pytest.mark.parametrize("freedom", [1, 30])
def test_the_ends_are_where_the_evidence_suffices(level: float, n: int, freedom: int) -> None:
    logs = 0.02 * np.random.default_rng(n).standard_t(freedom, size=n)
    ratio = anytime_ratio(np.exp(logs), level)
    threshold = math.log(1 / (1 - level))
    for end, outward in ((math.log(ratio.low), -1e-9), (math.log(ratio.high), 1e-9)):
        assert log_evidence(logs, end - 1e4 * outward) <= threshold
        assert log_evidence(logs, end + outward) >= threshold - 1e-6
    assert ratio.low <= ratio.value <= ratio.high
    assert ratio.low <= np.exp(logs.mean()) <= ratio.high


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n)


def heavy(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_t(2, size=n)


def far_off(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n) + 8 * (rng.integers(-1, 2, size=n) * (rng.random(n) < 0.2))


@pytest.mark.parametrize("draw", [normal, heavy, far_off])
def test_the_truth_is_contained_at_all_times_at_once(draw: object) -> None:
    rng, sequences, times, missed = np.random.default_rng(0), 1000, 40, 0
    for _ in range(sequences):
        values = draw(rng, times)  # type: ignore[operator]
        missed += any(log_evidence(values[:n], 0.0) >= math.log(20) for n in range(2, times + 1))
    assert missed / sequences < 0.05


def test_an_interval_of_fixed_size_does_not_hold_at_all_times() -> None:
    """What the sequences are for: Student's 95% interval, looked at after each value."""
    values = np.random.default_rng(0).normal(size=(2000, 40))
    n = np.arange(2, 41)
    means = values.cumsum(axis=1)[:, 1:] / n
    variances = ((values**2).cumsum(axis=1)[:, 1:] - n * means**2) / (n - 1)
    outside = np.abs(means) * np.sqrt(n / variances) > stats.t.ppf(0.975, n - 1)
    assert outside.any(axis=1).mean() > 0.2


def test_a_change_is_seen_through_values_that_are_far_off() -> None:
    logs = np.array([0.05 + 0.001 * (i % 5) for i in range(21)] + [0.3, 0.3, -0.25])
    ratio = anytime_ratio(np.exp(logs), 0.99)
    assert 1.05 < ratio.low < ratio.value < ratio.high < 1.07


def test_few_values_have_no_interval_and_equal_ones_have_no_width() -> None:
    assert math.isnan(anytime_ratio([1.01]).low)
    assert math.isnan(anytime_ratio([1.01, 1.02], 0.99).high)
    ratio = anytime_ratio([1.02] * 6, 0.95)
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((1.02, 1.02, 1.02))


def test_it_follows_a_change_of_unit_and_of_sides() -> None:
    ratios = np.exp(0.02 * np.random.default_rng(2).normal(size=9))
    ratio, scaled, inverted = (anytime_ratio(x) for x in (ratios, 3 * ratios, 1 / ratios))
    assert (scaled.low, scaled.value, scaled.high) == pytest.approx((3 * ratio.low, 3 * ratio.value, 3 * ratio.high))
    assert (inverted.low, inverted.value, inverted.high) == pytest.approx(
        (1 / ratio.high, 1 / ratio.value, 1 / ratio.low)
    )


@pytest.mark.parametrize("ratios", [[], [1.0, 0.0], [1.0, math.inf], [[1.0, 1.0]]])
def test_values_that_are_not_positive_ratios_are_refused(ratios: object) -> None:
    with pytest.raises(ValueError, match="ratios: "):
        anytime_ratio(ratios)  # type: ignore[arg-type]
