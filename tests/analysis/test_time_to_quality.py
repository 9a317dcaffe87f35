"""Time to quality on curves written by hand: when a student is as good as scratch ends, and how seeds are averaged."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from distillbench.bench.analysis.rows import Row
from distillbench.bench.analysis.summary import summarise
from distillbench.bench.analysis.time_to_quality import Moment, end_score, first_lasting, reached, time_to_quality
from distillbench.bench.report.summaries import tables
from distillbench.bench.report.writers import markdown
from distillbench.bench.store.records import MetricValue, Record
from support.curves import Values, curve, trained, training
from support.processes import Run
from support.records import record
from support.results import folder

ACCURACY = MetricValue(value=90.0, direction="higher", unit="%")
DISTANCE = MetricValue(value=9.0, direction="lower", unit="")


def moment(validation: Values, level: float, direction: Literal["higher", "lower"] = "higher") -> Moment | None:
    """When a curve of a point a second reaches a level for good."""
    sign = 1.0 if direction == "higher" else -1.0
    found = [-math.inf if value is None else sign * value for value in validation]
    return reached(curve(validation), found, sign * level)


# -- the rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("validation", "seconds"),
    [
        ([10, 20, 30, 40], 3.0),  # at a point
        ([10, 20, 28, 36], 3.25),  # between two points, in a straight line
        ([30, 40, 50, 60], 1.0),  # at the first point: nothing is known before it
        ([10, 20, 29.9, 29.99], None),  # never
        ([30, 30, 30, 30], 1.0),  # equal is as good
        ([10, 90, 10, 10, 30, 40], 5.0),  # a good point counts for nothing where worse ones follow
        ([10, 40, 29, 40, 40], 1 + 2 / 3),  # a bad point undoes nothing where better ones follow
        ([10, 40, 40, 10, 10], 1 + 2 / 3),  # half of the points are as good up to any later one
        ([10, 40, 40, 10, 10, 10], None),  # and here they are not
        ([None, 40, 40, 40], 2.0),  # after a point that was not finite there is no line
        ([10, 30, None, 40], 2.0),  # such a point is a bad one
        ([10, 40, None, None], None),
        ([None, None], None),
        ([], None),
    ],
)
def test_a_level_is_reached_where_the_curve_is_and_stays_as_good(validation: Values, seconds: float | None) -> None:
    higher = moment(validation, 30.0)
    lower = moment([None if value is None else 100 - value for value in validation], 70.0, "lower")
    for found in (higher, lower):
        assert (found.seconds if found else None) == (seconds if seconds is None else pytest.approx(seconds))
        assert found is None or found.steps == pytest.approx(10 * found.seconds)


SCORES = st.lists(st.one_of(st.integers(-5, 5), st.just(-math.inf)), max_size=30)
"""With many equal ones."""


def half_as_good(scores: Sequence[float], level: float) -> bool:
    return 2 * sum(score >= level for score in scores) >= len(scores)


@given(SCORES, st.integers(-6, 6))
def test_the_first_such_point_is_the_one_of_two_plain_loops(scores: list[float], level: float) -> None:
    n = len(scores)
    lasting = [i for i in range(n) if all(half_as_good(scores[i : j + 1], level) for j in range(i, n))]
    assert first_lasting(scores, level) == min(lasting, default=None)


@given(SCORES)
def test_scratch_itself_always_reaches_what_it_ends_with(scores: list[float]) -> None:
    level = end_score(scores)
    assert level is None or first_lasting(scores, level) is not None


DISTANCES = st.lists(st.integers(1, 100), min_size=1, max_size=30)


@given(DISTANCES, DISTANCES)
def test_logarithms_choose_the_same_point(first: list[int], second: list[int]) -> None:
    """A distance that varies by factors needs no rule of its own."""
    level, log_level = end_score([-value for value in first]), end_score([-math.log(value) for value in first])
    assert level is not None
    assert log_level is not None
    point = first_lasting([-value for value in second], level)
    assert point == first_lasting([-math.log(value) for value in second], log_level)


def test_a_training_ends_with_the_lower_median_of_its_last_tenth() -> None:
    assert end_score([9.0] * 45 + [3.0, 1.0, 5.0, 2.0, 4.0]) == 3.0
    assert end_score([9.0] * 18 + [3.0, 1.0]) == 1.0  # a value that was measured, and not a mean of two
    assert end_score([9.0, 1.0, 2.0]) == 2.0
    assert end_score([9.0] * 45 + [-math.inf, -math.inf, 5.0, 2.0, 4.0]) == 2.0
    assert end_score([9.0] * 47 + [-math.inf] * 3) is None
    assert end_score([]) is None


# -- over seeds -------------------------------------------------------------------------------------------------------

SCRATCH = {seed: trained("scratch", seed, [10, 20, 30, 40], 2.0 + seed) for seed in range(3)}
"""Ends at 40 after 8, 12 and 16 seconds."""


def test_seconds_are_averaged_as_logarithms_over_the_seeds_and_compared_with_all_of_scratch_s() -> None:
    values = {0: [20, 40, 50, 60], 1: [40, 50, 50, 60], 2: [10, 20, 60, 60]}
    good = {seed: trained("good", seed, validation) for seed, validation in values.items()}
    found = time_to_quality(good, SCRATCH, ACCURACY)
    assert found is not None
    assert (found.seeds, found.never) == (3, 0)
    seconds = [2.0, 1.0, 2.5]
    for ratio, each in (
        (found.seconds, seconds),
        (found.multiple, [s / total for s, total in zip(seconds, (8, 12, 16), strict=True)]),
        (found.steps, [10 * s for s in seconds]),
    ):
        assert ratio is not None
        logs = np.log(each)
        low, high = stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))
        assert (ratio.value, ratio.low, ratio.high) == pytest.approx(tuple(np.exp([logs.mean(), low, high])))


def test_the_rule_for_scratch_is_the_same() -> None:
    found = time_to_quality(SCRATCH, SCRATCH, ACCURACY)
    assert found is not None
    assert found.multiple is not None
    assert (found.multiple.value, found.multiple.low, found.multiple.high) == pytest.approx((1, 1, 1))


def test_a_seed_that_never_gets_there_leaves_no_mean() -> None:
    good = {0: trained("good", 0, [50, 50]), 1: trained("good", 1, [10, 39.9]), 3: trained("good", 3, [50, 50])}
    found = time_to_quality(good, SCRATCH, ACCURACY)
    assert found is not None
    assert (found.seeds, found.never, found.seconds, found.multiple, found.steps) == (2, 1, None, None, None)


def test_lower_is_better_where_the_metric_says_so() -> None:
    scratch = {0: trained("scratch", 0, [40, 30, 20, 10])}
    good = {0: trained("good", 0, [20, 10, 5, 1])}
    worse = {0: trained("worse", 0, [50, 50, 50, 50])}
    found, never = (time_to_quality(students, scratch, DISTANCE) for students in (good, worse))
    assert found is not None
    assert never is not None
    assert found.seconds is not None
    assert (found.seconds.value, never.never) == (2.0, 1)
    assert math.isnan(found.seconds.low)  # one seed has no interval


@pytest.mark.parametrize(
    "without", [{}, {0: record("student", "scratch", 0, 80.0)}, {0: trained("scratch", 0, [None])}]
)
def test_without_a_curve_of_scratch_there_is_no_time(without: Mapping[int, Record]) -> None:
    assert time_to_quality({0: trained("good", 0, [50.0])}, without, ACCURACY) is None


# -- in tables --------------------------------------------------------------------------------------------------------


def results() -> list[Record]:
    """A teacher that took 100 seconds, scratch, a student that is quicker and one that does not get there twice."""
    teacher = training([90, 95], 50.0)
    quick = [trained("quick", seed, [40, 50, 60, 70], 1.0) for seed in range(3)]
    late = [trained("late", seed, [1, 2, 3, 41 if seed == 1 else 39]) for seed in range(3)]
    return [record("teacher", "teacher", 0, 90.0, training=teacher), *SCRATCH.values(), *quick, *late]


def rows() -> dict[str, Row]:
    (summary,) = summarise(results())
    return {row.name: row for row in summary.rows}


def test_a_row_of_students_has_its_time_and_others_have_none() -> None:
    found = rows()
    assert found["teacher"].time_to_quality is None
    assert found["quick"].time_to_quality == time_to_quality(
        {r.seed: r for r in results() if r.label == "quick"}, SCRATCH, ACCURACY
    )


def test_a_table_says_how_long_and_what_is_left_out() -> None:
    (summary,) = summarise(results())
    text = markdown(tables([summary]))
    (late,) = (line for line in text.splitlines() if line.startswith("| late"))
    (quick,) = (line for line in text.splitlines() if line.startswith("| quick"))
    assert late.count("never (2 of 3)") == 2
    assert "1.00 [1.00, 1.00]" in quick
    assert f"{(8 * 12 * 16) ** (-1 / 3):.3g} [" in quick
    assert "- cnn_mlp: training the teacher took 100 s, which no time to quality includes\n" in text
    without = markdown(tables(summarise([r.model_copy(update={"training": None}) for r in results()])))
    assert "time to quality" not in without


def test_a_teacher_of_the_students_own_size_is_said_to_cost_what_scratch_costs() -> None:
    own = trained("own", 0, [40, 50, 60, 70])
    learner = own.model_copy(update={"config": own.config | {"self_teacher": "0" * 64}})
    mean = sum(r.training.seconds for r in SCRATCH.values() if r.training) / len(SCRATCH)
    note = (
        f"- cnn_mlp: training the teacher of own takes as long as scratch, about {mean:.3g} s, "
        "which no time to quality includes\n"
    )
    assert "the teacher of own" not in markdown(tables(summarise([*results(), own])))
    assert note in markdown(tables(summarise([*results(), learner])))


def test_the_command_prints_the_times_in_every_format(cli: Run, tmp_path: Path) -> None:
    place = folder(tmp_path, results())
    wide = cli("table", place, "--wide")
    assert (wide.returncode, wide.stderr) == (0, "")
    assert "time to quality (s)" in wide.stdout
    assert "time to quality (× scratch)" in wide.stdout
    assert "never (2 of 3)" in wide.stdout
    ((rows_),) = (table["rows"] for table in json.loads(cli("table", place, "--format", "json").stdout))
    of_json = {row["method"]: row for row in rows_}
    of_csv = {row["method"]: row for row in csv.DictReader(io.StringIO(cli("table", place, "-f", "csv").stdout))}
    assert of_json["quick"]["steps_to_quality"] == pytest.approx(10.0)
    assert of_json["quick"]["time_to_quality_multiple"] == pytest.approx((8 * 12 * 16) ** (-1 / 3))
    assert (of_json["late"]["time_to_quality_seeds"], of_json["late"]["time_to_quality_never"]) == (3, 2)
    assert of_json["late"]["time_to_quality_seconds"] is None
    assert of_json["teacher"]["time_to_quality_never"] is None
    for name in ("quick", "late", "scratch"):
        for field in ("time_to_quality_seconds", "time_to_quality_multiple_high", "steps_to_quality_low"):
            value = of_json[name][field]
            assert of_csv[name][field] == ("" if value is None else f"{value:.10g}")
