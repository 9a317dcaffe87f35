"""Quality against seconds of training: the frontier, and training curves in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillbench.bench.analysis.summary import Summary, summarise
from distillbench.bench.report.chart import Chart, Point
from distillbench.bench.report.charts import curve, frontier, of_task
from distillbench.bench.report.page.interactive import OPEN, figure
from distillbench.bench.report.page.printed import draw
from distillbench.bench.report.page.site import site
from distillbench.bench.store.records import Record
from distillbench.bench.store.terms import Section
from support.curves import trained, training
from support.records import record
from support.results import folder

METHODS = {"cheap": (1.0, 80.0), "good": (2.0, 90.0), "slow": (4.0, 85.0), "best": (8.0, 95.0), "bad": (3.0, 70.0)}
"""Seconds between two points of the curve, and accuracy: no other is cheaper and better than cheap, good and best."""


def results() -> list[Record]:
    """A control that is cheaper and better than all methods, and a teacher that is better still."""
    students = [
        trained(label, seed, [10, 20 + seed], seconds, value)
        for label, (seconds, value) in METHODS.items()
        for seed in range(2)
    ]
    controls = [
        trained(label, seed, [60, 70 + 10 * seed], 0.5, value)
        for label, value in (("scratch", 75.0), ("scratch_long", 97.0))
        for seed in range(2)
    ]
    teacher = record("teacher", "teacher", 0, 99.0, training=training([90, 99], 50.0))
    return [teacher, record("baseline", "nearest centroid", 0, 70.0), *controls, *students]


@pytest.fixture(scope="module")
def summary() -> Summary:
    (found,) = summarise(results())
    return found


def points(chart: Chart) -> dict[str, tuple[Point, ...]]:
    return {series.name: series.points for series in chart.series}


def test_the_frontier_has_a_point_a_row_and_controls_are_open(summary: Summary) -> None:
    chart = frontier(summary, "cnn_mlp")
    assert chart is not None
    assert (chart.x.log, chart.y.better) == (True, "higher")
    *rows, _ = chart.series
    sections: dict[str, Section] = {row.name: row.section for row in summary.rows if row.kind != "baseline"}
    assert {series.name: series.control for series in rows} == {n: s == "control" for n, s in sections.items()}
    (good,) = points(chart)["good"]
    assert (good.x, good.y) == (4.0, 90.5)
    assert good.y_ends is not None
    drawn = {line.get_label(): line.get_fillstyle() for line in draw(chart).axes[0].lines}
    assert (drawn["good"], drawn["scratch"]) == ("full", "none")
    symbols = {trace["name"]: trace["marker"]["symbol"] for trace in figure(chart)["data"] if "marker" in trace}
    assert symbols["good"] < OPEN <= symbols["scratch"]


def test_the_front_is_of_methods_alone_and_nobody_on_it_is_beaten_by_a_cheaper_one(summary: Summary) -> None:
    chart = frontier(summary, "cnn_mlp")
    assert chart is not None
    front = points(chart)["Pareto front of methods"]
    assert [point.label for point in front] == ["cheap", "good", "best"]
    expected = [
        name
        for name, (seconds, value) in METHODS.items()
        if not any(s <= seconds and v >= value and other != name for other, (s, v) in METHODS.items())
    ]
    assert [point.label for point in front] == expected


def test_a_front_of_costs_of_inference_counts_the_teacher(summary: Summary) -> None:
    (charts,) = of_task(summary).values()
    (by_size,) = (chart for chart in charts if chart.name.endswith("-parameters"))
    assert [point.label for point in points(by_size)["Pareto front"]] == ["best", "teacher"]


def test_where_lower_is_better_the_front_goes_down() -> None:
    flipped = [
        r.model_copy(
            update={
                "metrics": {
                    name: m.model_copy(update={"direction": "lower", "value": 100 - m.value})
                    for name, m in r.metrics.items()
                }
            }
        )
        for r in results()
    ]
    chart = frontier(summarise(flipped)[0], "cnn_mlp")
    assert chart is not None
    front = points(chart)["Pareto front of methods"]
    assert [point.label for point in front] == ["cheap", "good", "best"]
    assert [point.y for point in front] == sorted((point.y for point in front), reverse=True)


def test_a_curve_in_time_has_the_seconds_and_the_line_that_scratch_ends_at(summary: Summary) -> None:
    chart = curve(summary, "cnn_mlp", "validation", "seconds")
    assert chart is not None
    assert chart.x.log
    found = points(chart)
    assert [(p.x, p.y) for p in found["good"]] == [(2.0, 10.0), (4.0, 20.5)]
    assert [(p.x, p.y) for p in found["what scratch ends with"]] == [(0.5, 75.0), (16.0, 75.0)]
    by_step = curve(summary, "cnn_mlp", "validation")
    assert by_step is not None
    assert [p.x for p in points(by_step)["good"]] == [10, 20]
    assert "what scratch ends with" not in points(by_step)


def test_records_without_curves_have_neither() -> None:
    (summary,) = summarise([r.model_copy(update={"training": None}) for r in results()])
    assert frontier(summary, "cnn_mlp") is None
    assert curve(summary, "cnn_mlp", "validation", "seconds") is None


def test_the_page_has_both_figures(tmp_path: Path) -> None:
    pages = site(folder(tmp_path, [r for r in results() if r.label in ("teacher", "scratch", "good")]))
    page = pages["classification.html"].decode()
    for name in ("classification-cnn_mlp-frontier", "classification-cnn_mlp-validation-time"):
        assert {f"figures/{name}.{form}" for form in ("svg", "png", "csv")} <= pages.keys()
        assert f"figures/{name}.svg" in page
    assert "time to quality" in page
