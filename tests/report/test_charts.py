"""Charts and maps of records written by hand: controls stand apart, and are ranked nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillbench.bench.analysis.average_ranks import average_ranks
from distillbench.bench.analysis.rows import Summary
from distillbench.bench.analysis.summary import summarise
from distillbench.bench.report.chart import Chart, frame
from distillbench.bench.report.charts import against, gap_recovered, paired_differences, rank_chart
from distillbench.bench.report.page.interactive import figure
from distillbench.bench.report.page.printed import draw
from distillbench.bench.report.page.site import site
from distillbench.bench.store.manifest import ExpectedCell, expect
from distillbench.bench.store.records import Record
from support.html import Collector
from support.records import record, records
from support.results import folder

BEST = [95.0, 97.2, 96.1]
UNDEFINED = ExpectedCell("classification", "cnn_mlp", "student", "hard_labels", 0, "needs labels; gan has none", True)


def with_a_control_that_is_best() -> list[Record]:
    return records() + [record("student", "label_smoothing", seed, value) for seed, value in enumerate(BEST)]


@pytest.fixture(scope="module")
def summary() -> Summary:
    (summary,) = summarise(with_a_control_that_is_best(), [UNDEFINED])
    return summary


def of(chart: Chart | None) -> Chart:
    assert chart is not None
    return chart


def test_controls_stand_below_the_rule_of_the_map(summary: Summary) -> None:
    chart = gap_recovered([summary])
    assert chart.methods == ("broken", "good", "noise")
    assert chart.controls == ("hard_labels", "label_smoothing")
    table = frame(chart)
    assert table.loc[table["control"], "row"].tolist() == ["hard_labels", "label_smoothing"]
    (rule,) = draw(chart).axes[0].lines
    assert list(rule.get_ydata()) == [2.5, 2.5]  # below three methods


def test_what_is_not_defined_is_a_dash_in_the_map_with_its_reason_beneath(summary: Summary) -> None:
    chart = gap_recovered([summary])
    assert (chart.cells["hard_labels", "classification"].text, chart.cells["broken", "classification"].text) == (
        "–",
        "failed",
    )
    assert chart.note.endswith("–: not defined (hard_labels: needs labels; gan has none)")


def test_controls_have_no_average_rank(summary: Summary) -> None:
    assert [(rank.name, rank.interval.mean) for rank in average_ranks([summary])] == [("good", 1.0), ("noise", 2.0)]
    assert of(rank_chart([summary])).y.categories == ("good", "noise")
    methods = [r for r in with_a_control_that_is_best() if r.label != "noise"]
    assert average_ranks(summarise(methods)) == []  # one method is no ranking, however many controls there are


def test_a_control_is_drawn_open_and_no_front_counts_it(summary: Summary) -> None:
    chart = of(against(summary, "cnn_mlp", "parameters"))
    drawn = {series.name: series for series in chart.series}
    assert {name for name, series in drawn.items() if series.control} == {"scratch", "label_smoothing"}
    assert [point.label for point in drawn["Pareto front"].points] == ["good", "teacher"]
    traces = {trace["name"]: trace["marker"]["symbol"] for trace in figure(chart)["data"] if "marker" in trace}
    assert traces["label_smoothing"] >= 100 > traces["good"]
    lines = {line.get_label(): line.get_fillstyle() for line in draw(chart).axes[0].lines}
    assert (lines["label_smoothing"], lines["good"]) == ("none", "full")


def test_a_rule_divides_the_differences_of_controls_and_methods(summary: Summary) -> None:
    chart = of(paired_differences(summary, "cnn_mlp"))
    assert chart.y.categories == ("label_smoothing", "good", "noise")
    assert chart.y.rule == 1
    means = {series.name.partition(":")[0]: {round(point.y) for point in series.points} for series in chart.series}
    assert (means["methods"], means["controls"]) == ({1, 2}, {0})
    assert figure(chart)["layout"]["shapes"][0]["y0"] == 0.5


def test_without_controls_nothing_is_divided() -> None:
    (summary,) = summarise(records())
    chart = of(paired_differences(summary, "cnn_mlp"))
    assert "shapes" not in figure(chart)["layout"]
    assert "rule" not in chart.note
    assert len(draw(gap_recovered([summary])).axes[0].lines) == 0


def test_a_page_numbers_the_sections_that_rows_are_sorted_in(tmp_path: Path) -> None:
    results = folder(tmp_path, with_a_control_that_is_best())
    expect(results, [UNDEFINED])
    pages = site(results)
    page = Collector(pages["classification.html"])
    assert [a["class"] for tag, a in page.tags if tag == "tr" and "class" in a] == [
        *("teacher", "control", "control", "control", "method", "method", "method", "baseline")
    ]
    assert pages["classification.html"].count(b"<td hidden>2</td>") == 3
    overview = Collector(pages["index.html"])
    assert [a["class"] for tag, a in overview.tags if tag == "tr" and "class" in a] == ["control", "control"]
    assert "hard_labels: 0 failed" not in overview.text  # what is not defined is not missing
