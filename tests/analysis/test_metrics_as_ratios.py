"""Metrics that are compared as ratios: every figure of a table against scipy's tests on logarithms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from distillbench.bench.analysis.rows import Row, Summary
from distillbench.bench.analysis.series import series_of
from distillbench.bench.analysis.summary import summarise
from distillbench.bench.report.charts import of_task
from distillbench.bench.report.summaries import table
from distillbench.bench.report.writers import markdown
from distillbench.bench.statistics import ratio_interval
from distillbench.bench.store.records import Record
from support.records import distances

TEACHER = [2.4]
SCRATCH = [22.0, 39.5, 52.0, 76.0, 110.5]
"""A GAN that diverges: the FIDs of five seeds, with mean 60 and an interval of ± 43."""
GOOD = [2.31, 2.45, 2.38, 2.52, 2.34]
HALF = [11.5, 18.0, 27.5, 36.0, 58.0]


def results() -> list[Record]:
    rows = {"scratch": SCRATCH, "good": GOOD, "half": HALF}
    students = [record for label, values in rows.items() for record in distances(label, values)]
    return [*distances("teacher", TEACHER, "teacher"), *students]


def summary_of(records: list[Record]) -> tuple[Summary, dict[str, Row]]:
    (summary,) = summarise(records)
    return summary, {row.name: row for row in summary.rows}


def t_ends(values: list[float]) -> list[float]:
    """The mean of values and the ends of Student's 95% interval, by scipy."""
    mean, error = float(np.mean(values)), stats.sem(values)
    return [mean, *stats.t.interval(0.95, len(values) - 1, mean, error)]


def test_a_difference_is_the_paired_t_test_of_logarithms() -> None:
    (row,) = (row for row in table(summary_of(results())[0]).data if row["method"] == "good")
    by_logs = stats.ttest_rel(np.log(GOOD), np.log(SCRATCH)).pvalue
    ends = np.exp(t_ends((np.log(GOOD) - np.log(SCRATCH)).tolist()))
    assert [row[f"ratio{end}"] for end in ("", "_low", "_high")] == pytest.approx(ends)
    assert by_logs == pytest.approx(0.0003, abs=5e-5)
    assert row["difference_p_holm"] == pytest.approx(by_logs)  # the larger of the two: the second step of Holm
    # By differences the same five seeds say little: the seed that diverges most is most of the spread.
    assert stats.ttest_rel(GOOD, SCRATCH).pvalue == pytest.approx(0.02, abs=5e-3)
    _, rows = summary_of([r.model_copy(update={"metrics": _as_differences(r)}) for r in results()])
    assert rows["good"].difference is not None
    assert rows["good"].difference.interval.p == pytest.approx(stats.ttest_rel(GOOD, SCRATCH).pvalue)


def _as_differences(record: Record) -> dict[str, object]:
    return {n: m.model_copy(update={"compared": "difference"}) for n, m in record.metrics.items()}


def test_a_mean_is_geometric_with_a_multiplicative_interval() -> None:
    summary, rows = summary_of(results())
    shown = rows["scratch"].metrics["fid"].shown
    assert [shown.value, shown.low, shown.high] == pytest.approx(np.exp(t_ends(np.log(SCRATCH).tolist())))
    assert shown.value == pytest.approx(stats.gmean(SCRATCH))
    assert rows["teacher"].metrics["fid"].shown.value == pytest.approx(2.4)
    text = markdown([table(summary)])
    low, high = shown.low, shown.high
    assert f"| {stats.gmean(SCRATCH):.2f} [{low:.2f}, {high:.2f}] |" in text
    assert "×0.046 [0.022, 0.098]* |" in text, "two digits where a factor is small"
    assert "compared as ratios, by logarithms" in text
    assert " 2.40 |" in text, "a single teacher has no interval over seeds"


def test_the_gap_recovered_is_a_share_of_the_way_in_logarithms_by_fieller() -> None:
    _, rows = summary_of(results())
    above = np.log(HALF) - np.log(SCRATCH)
    below = [math.log(TEACHER[0])] * 5 - np.log(SCRATCH)
    gap = rows["half"].gap
    assert gap is not None
    assert gap.value == pytest.approx(above.mean() / below.mean())
    # Fieller's ends are where Student's t of the numerator less so many denominators is just significant.
    for end in (gap.low, gap.high):
        assert stats.ttest_1samp(above - end * below, 0).pvalue == pytest.approx(0.05, abs=1e-4)
    assert gap == ratio_interval(above, below)


def test_the_best_method_is_better_by_a_factor() -> None:
    """By differences it is not: the interval of the difference to what diverges contains zero."""
    wild = [10.0, 40.0, 4.0, 300.0, 900.0]
    records = [*distances("wild", wild), *distances("good", GOOD)]
    assert summary_of(records)[1]["good"].best
    assert not summary_of([r.model_copy(update={"metrics": _as_differences(r)}) for r in records])[1]["good"].best


def test_values_by_seed_are_in_the_unit_and_differences_are_factors() -> None:
    _, rows = summary_of(results())
    assert list(rows["half"].values_by_seed.values()) == pytest.approx(HALF)
    assert list(rows["half"].differences_by_seed.values()) == pytest.approx(np.divide(HALF, SCRATCH))


def test_the_charts_of_a_ratio_have_logarithmic_axes_in_its_unit() -> None:
    summary, _ = summary_of(results())
    charts = {chart.title: chart for chart in of_task(summary)["cnn_mlp"]}
    differences = charts["Paired differences to scratch"]
    assert (differences.x.log, differences.x.title) == (True, "Δ fid (factor)")
    means = {point.label: point.x for point in differences.series[1].points}
    assert means["half, mean"] == pytest.approx(stats.gmean(np.divide(HALF, SCRATCH)))
    sizes = charts["fid ↓ against parameters"]
    assert sizes.y.log
    points = {series.name: series.points[0] for series in sizes.series}
    assert points["half"].y == pytest.approx(stats.gmean(HALF))
    assert points["half"].y_ends == pytest.approx(np.exp(t_ends(np.log(HALF).tolist())[1:]))


def test_validation_values_are_logarithms_too() -> None:
    records = [r.model_copy(update={"validation": {"fid": 2 * r.metrics["fid"].value}}) for r in distances("a", GOOD)]
    series = series_of({r.seed: r for r in records}, "fid", "validation")
    assert series is not None
    assert series.values == pytest.approx(np.log(2 * np.array(GOOD)))


# -- another feature extractor ----------------------------------------------------------------------------------


WORDS = "cnn_mlp: by another feature extractor (fid 2) "
OTHER_ORDER = WORDS + "the order is b, a, scratch; by fid it is a, b, scratch"
CHANCE = WORDS + "only rows within each other's intervals change places"


@pytest.mark.parametrize(
    ("b", "b_2", "expected"),
    [
        ([3.0, 3.1, 3.2], [2.9, 3.0, 3.1], []),
        ([3.0, 3.1, 3.2], [1.1, 1.2, 1.0], [OTHER_ORDER]),
        ([2.1, 2.2, 2.15], [2.4, 2.5, 2.45], [CHANCE]),
        ([3.0, 3.1, 3.2], [2.4, 2.5, 2.45], [OTHER_ORDER]),
    ],
)
def test_where_another_feature_extractor_has_another_order_a_note_says_so(
    b: list[float], b_2: list[float], expected: list[str]
) -> None:
    records = [
        *distances("scratch", [4.0, 4.2, 4.1], fid_2=[5.0, 5.1, 5.2]),
        *distances("a", [2.0, 2.1, 2.2], fid_2=[2.5, 2.6, 2.4]),
        *distances("b", b, fid_2=b_2),
    ]
    assert [note for note in summary_of(records)[0].notes if "another feature extractor" in note] == expected
