"""What the gate decides on each side of each margin, whatever the interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillbench.bench.statistics import Interval, Ratio, difference_verdict, paired_ratio, ratio_margin, ratio_verdict
from distillbench.bench.statistics.verdicts import Direction, Verdict

ORDER: list[Verdict] = ["improved", "pass", "inconclusive", "regressed"]
MIRROR: dict[Verdict, Verdict] = {"improved": "regressed", "regressed": "improved"}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.98, 1.005, "pass"),  # it may be faster; that is no reason to stop
        (0.995, 1.005, "pass"),
        (0.5, 1.005, "pass"),
        (0.97, 0.98, "improved"),
        (0.98, 0.995, "pass"),
        (1.02, 1.08, "regressed"),
        (1.005, 1.02, "inconclusive"),
        (0.9, 1.1, "inconclusive"),
        (1.002, 1.008, "pass"),  # slower for certain, but not by what matters
        (-0.1, 1.005, "pass"),  # Fieller's interval may reach below 0
        (-0.1, 1.02, "inconclusive"),
        (math.nan, math.nan, "inconclusive"),
    ],
)
def test_a_ratio_by_hand(low: float, high: float, expected: Verdict) -> None:
    value = math.sqrt(low * high) if low > 0 else 1.0
    assert ratio_verdict(Ratio(value, low, high), 100.0, relative=0.01) == expected


def test_two_microseconds_more_are_no_regression_where_ten_are_tolerated() -> None:
    slower = Ratio(1.2, 1.15, 1.25)
    assert ratio_verdict(slower, 10e-6, 0.01) == "regressed"
    assert ratio_verdict(slower, 10e-6, 0.01, absolute=10e-6) == "pass"
    assert ratio_verdict(slower, 1e-3, 0.01, absolute=10e-6) == "regressed"
    halved = Ratio(0.5, 0.49, 0.51)
    assert ratio_verdict(halved, 20e-6, 0.01, absolute=9e-6) == "improved"
    assert ratio_verdict(halved, 20e-6, 0.01, absolute=11e-6) == "pass"
    faster = Ratio(1 / 1.2, 1 / 1.25, 1 / 1.15)
    assert ratio_verdict(faster, 12e-6, 0.01) == "improved"
    assert ratio_verdict(faster, 12e-6, 0.01, absolute=10e-6) == "pass"


def test_a_difference_is_judged_in_the_direction_of_its_metric() -> None:
    drop = Interval(-2.0, 0.5, 5, 4.0, 0.001)
    assert difference_verdict(drop, 1.0, "higher") == "regressed"
    assert difference_verdict(drop, 1.0, "lower") == "improved"
    assert difference_verdict(drop, 2.0, "higher") == "inconclusive"
    assert difference_verdict(drop, 2.5, "higher") == "pass"
    assert difference_verdict(Interval(-2.0, math.nan, 1, math.nan, math.nan), 1.0, "higher") == "inconclusive"


logs = st.floats(-3, 3)
ratios = st.tuples(logs, logs, logs).map(sorted).map(lambda x: Ratio(math.exp(x[1]), math.exp(x[0]), math.exp(x[2])))
relatives, absolutes, times = st.floats(0, 2), st.floats(0, 5), st.floats(1e-3, 1e3)


@given(ratios, times, relatives, absolutes)
def test_an_interval_that_includes_a_margin_is_no_regression_and_no_improvement(
    ratio: Ratio, baseline: float, relative: float, absolute: float
) -> None:
    verdict = ratio_verdict(ratio, baseline, relative, absolute)
    margin = math.exp(ratio_margin(baseline, baseline * ratio.value, relative, absolute))
    if ratio.low <= margin * (1 - 1e-9):
        assert verdict != "regressed"
    if ratio.high >= (1 + 1e-9) / margin:
        assert verdict != "improved"
    if verdict in ("regressed", "improved"):
        assert max(ratio.value, 1 / ratio.value) > 1 + relative * (1 - 1e-9)
        assert abs(ratio.value - 1) * baseline > absolute * (1 - 1e-9)
    if verdict == "pass":
        assert ratio.high <= margin * (1 + 1e-9)


@given(ratios, times, relatives, absolutes)
def test_changing_sides_makes_a_regression_an_improvement(
    ratio: Ratio, baseline: float, relative: float, absolute: float
) -> None:
    """Except for ends that are at the margin up to rounding."""
    margin = ratio_margin(baseline, baseline * ratio.value, relative, absolute)
    if any(abs(abs(math.log(end)) - margin) < 1e-9 for end in (ratio.low, ratio.high)):
        return
    back = Ratio(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)
    forward = ratio_verdict(ratio, baseline, relative, absolute)
    backward = ratio_verdict(back, baseline * ratio.value, relative, absolute)
    if forward in MIRROR or backward in MIRROR:
        assert backward == MIRROR[forward]


@given(ratios, times, relatives, st.floats(0, 2))
def test_more_time_is_never_a_better_verdict(ratio: Ratio, baseline: float, relative: float, slower: float) -> None:
    factor = math.exp(slower)
    worse = Ratio(*(factor * end for end in (ratio.value, ratio.low, ratio.high)))
    before, after = (ORDER.index(ratio_verdict(r, baseline, relative)) for r in (ratio, worse))
    assert after >= before


@given(ratios, times, relatives, absolutes, st.floats(0, 1))
def test_a_wider_margin_never_finds_more(
    ratio: Ratio, baseline: float, relative: float, absolute: float, more: float
) -> None:
    changes = {"regressed", "improved"}
    for wider in ((relative + more, absolute), (relative, absolute + more)):
        if ratio_verdict(ratio, baseline, *wider) in changes:
            assert ratio_verdict(ratio, baseline, *wider) == ratio_verdict(ratio, baseline, relative, absolute)


@given(ratios, times, relatives, absolutes, st.floats(1, 3))
def test_a_wider_interval_never_finds_more(
    ratio: Ratio, baseline: float, relative: float, absolute: float, factor: float
) -> None:
    wider = Ratio(ratio.value, ratio.low / factor, ratio.high * factor)
    surer, less = (ratio_verdict(r, baseline, relative, absolute) for r in (ratio, wider))
    assert less in (surer, "inconclusive") or (surer, less) == ("improved", "pass")


@given(st.floats(-10, 10), st.floats(0, 10), st.floats(0, 5), st.sampled_from(["higher", "lower"]))
def test_a_difference_has_the_same_rules(mean: float, width: float, margin: float, better: Direction) -> None:
    verdict = difference_verdict(Interval(mean, width, 5, 4.0, 0.5), margin, better)
    worse = mean if better == "lower" else -mean
    assert (verdict == "regressed") == (worse - width > margin)
    assert (verdict == "improved") == (worse + width < -margin)
    mirrored = difference_verdict(Interval(-mean, width, 5, 4.0, 0.5), margin, better)
    assert (verdict == "regressed") == (mirrored == "improved")
    opposite: Direction = "higher" if better == "lower" else "lower"
    assert difference_verdict(Interval(-mean, width, 5, 4.0, 0.5), margin, opposite) == verdict


@pytest.mark.parametrize("truth", [1.0, 1.01, 1.05, 1 / 1.01, 1 / 1.05])
def test_under_noise_alarms_are_as_rare_as_the_level_says_and_a_slowdown_is_found(truth: float) -> None:
    """30 pairs that scatter by 2 %, 99 % intervals, a margin of 1 %. A gate that never alarms fails here."""
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(ORDER, 0)
    for _ in range(1000):
        sample = truth * np.exp(0.02 * rng.normal(size=30))
        counts[ratio_verdict(paired_ratio(sample, np.ones(30), 0.99), 1.0, 0.01)] += 1
    right, wrong = ("regressed", "improved") if truth > 1 else ("improved", "regressed")
    assert counts[wrong] == 0
    if max(truth, 1 / truth) > 1.04:
        assert counts[right] > 980
    else:  # at the margin itself 0.5 % are expected
        assert counts[right] <= 15


@pytest.mark.parametrize(
    ("baseline", "relative", "absolute"), [(0.0, 0.1, 0.0), (math.nan, 0.1, 0.0), (1.0, -0.1, 0.0), (1.0, 0.1, -1.0)]
)
def test_times_and_margins_that_are_none_are_refused(baseline: float, relative: float, absolute: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        ratio_verdict(Ratio(1.0, 0.9, 1.1), baseline, relative, absolute)


def test_a_negative_margin_of_a_difference_is_refused() -> None:
    with pytest.raises(ValueError, match=r"margin -1\.0"):
        difference_verdict(Interval(0.0, 1.0, 5, 4.0, 1.0), -1.0, "higher")
