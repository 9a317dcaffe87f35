"""The charts of a results folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from distillbench.bench.analysis.average_ranks import average_ranks
from distillbench.bench.analysis.rows import Row, Summary
from distillbench.bench.analysis.series import Estimate
from distillbench.bench.analysis.time_to_quality import end_quality
from distillbench.bench.report.chart import Axis, Chart, Ends, HeatMap, HeatMapCell, Point, Series
from distillbench.bench.report.formatting import ABSENT, DASH, SIGNIFICANT, heading
from distillbench.bench.statistics import Interval, Ratio, pareto_front
from distillbench.bench.store.configurations import SCRATCH
from distillbench.bench.store.records import MetricValue, comparable
from distillbench.bench.store.terms import Compared, Section

What = Literal["validation", "loss"]
"""Of a training curve."""
Over = Literal["steps", "seconds"]
"""What it is drawn against."""
NOT_RUN = "not run"
"""Of a cell of the heat map: the suite has no such row."""


def gap_recovered(summaries: Sequence[Summary]) -> HeatMap:
    """How much of the gap from scratch to teacher each row recovers on each pair: methods, then controls.

    A loss is negative; what is not defined is a dash.
    """
    columns = {column_name(summary, pair): (summary, pair) for summary in summaries for pair in summary.pairs}
    rows = {row.name: row for summary in summaries for row in _compared(summary)}
    controls = tuple(dict.fromkeys(row.name for summary in summaries for row in _compared(summary) if row.control))
    names = (*(name for name in rows if name not in controls), *controls)
    cells: dict[tuple[str, str], HeatMapCell] = {}
    for column, (summary, pair) in columns.items():
        found = {row.name: row for row in _compared(summary, pair)}
        cells |= {(name, column): _gap(found.get(name)) for name in names}
    undefined = sorted({f"{r.name}: {r.undefined}" for summary in summaries for r in summary.rows if r.undefined})
    return HeatMap(
        "gap-recovered",
        "Gap recovered",
        names,
        tuple(columns),
        cells,
        "How much of the gap between scratch and teacher each method, and below a rule each control, recovers on each "
        "pair of networks",
        "part of the way from scratch to teacher, with its 95% interval; *: significant vs. scratch (p < 0.05, "
        "Holm-corrected over all methods and controls of a task); pale: not significant; controls stand below the rule"
        + (f"; {DASH}: not defined ({'; '.join(undefined)})" if undefined else ""),
        controls,
    )


def column_name(summary: Summary, pair: str) -> str:
    """The task, followed by the pair where the task has several."""
    return summary.task if len(summary.pairs) == 1 else f"{summary.task}, {pair}"


def _compared(summary: Summary, pair: str | None = None) -> list[Row]:
    """The students that are compared with scratch, of all pairs or of one."""
    rows = (row for row in summary.rows if pair in (None, row.pair) and row.kind == "student")
    return [row for row in rows if row.name.partition(" ")[0] != SCRATCH]


def _students(summary: Summary, pair: str) -> list[Row]:
    return [row for row in summary.rows if row.pair == pair and row.kind == "student"]


def _gap(row: Row | None) -> HeatMapCell:
    if row is None:
        return HeatMapCell(None, NOT_RUN)
    if row.undefined:
        return HeatMapCell(None, DASH)
    if not row.finished:
        return HeatMapCell(None, "failed" if row.failed else "missing")
    if row.unfiltered_gap is None:
        return HeatMapCell(None, ABSENT if row.difference else "no Δ")
    gap, lacking = row.unfiltered_gap, row.failed + row.missing
    note = f", {lacking} of {row.finished + lacking} seeds are missing" if lacking else ""
    text = f"{100 * gap.value:z.0f}%{SIGNIFICANT * row.significant}{note}"
    return HeatMapCell(gap.value, text, row.significant, (gap.low, gap.high))


def rank_chart(summaries: Sequence[Summary]) -> Chart | None:
    """The average ranks of all methods; None where fewer than two can be compared."""
    ranks = average_ranks(summaries)
    if not ranks:
        return None
    names = tuple(rank.name for rank in ranks)
    points = tuple(Point(rank.interval.mean, i, _ends(rank.interval), None, rank.name) for i, rank in enumerate(ranks))
    return Chart(
        "average-rank",
        "Average rank",
        Axis(f"mean rank over {ranks[0].pairs} pairs", better="lower"),
        Axis("", categories=names),
        (Series("methods", points),),
        "Mean rank of every method over all pairs of networks, with 95% intervals over seeds",
        "1 is the best; only methods and seeds that every pair has, and no controls; 95% intervals over seeds",
    )


def against(summary: Summary, pair: str, cost: Literal["latency", "parameters", "macs"]) -> Chart | None:
    """Quality against a cost of inference, with the Pareto front; None where that cost is not known."""
    titles = {"latency": "latency (ms)", "parameters": "parameters", "macs": "MACs"}
    costs: dict[str, Callable[[Row], float | None]] = {
        "latency": lambda row: None if row.latency is None else 1000 * row.latency,
        "parameters": lambda row: row.parameters,
        "macs": lambda row: row.macs,
    }
    return _against(summary, pair, cost, titles[cost], costs[cost], front=["method", "teacher"])


def frontier(summary: Summary, pair: str) -> Chart | None:
    """Quality against the seconds of training, with the Pareto front of the methods."""

    def seconds(row: Row) -> float | None:
        return row.training_seconds.mean if row.training_seconds and row.training_seconds.mean > 0 else None

    chart: Chart | None = _against(summary, pair, "frontier", "seconds of training", seconds, front=["method"])
    return chart and replace(chart, note=f"{chart.note}; the seconds of a student are without those of its teacher")


def throughput(summary: Summary, pair: str) -> Chart | None:
    """Quality against the speed of training, in images per second."""

    def speed(row: Row) -> float | None:
        return row.images_per_second.mean if row.images_per_second else None

    return _against(summary, pair, "throughput", "training (images/s)", speed)


def curve(summary: Summary, pair: str, what: What, over: Over = "steps") -> Chart | None:
    """The training curves of all students, with a band over seeds; None where none was recorded."""
    metric = summary.metrics.get(summary.primary_metric)
    rows = _students(summary, pair)
    compared = metric.compared if metric and what == "validation" else "difference"
    courses = {row.name: (course(row, what, over, compared), row.control) for row in rows}
    series = [Series(name, points, "band", control) for name, (points, control) in courses.items() if points]
    if metric is None or not series:
        return None
    measured = next(iter(next(row.curves for row in rows if row.curves).values())).of
    if what == "loss":
        title, y = "Training loss", Axis("loss", better="lower")
        note = "the mean between two points; each method minimises its own loss: compare the shapes of the curves alone"
    else:
        y = Axis(heading(summary.primary_metric, metric), log=compared == "ratio", better=metric.direction)
        title = "Training curve"
        note = f"{summary.primary_metric.replace('_', ' ')} on {measured}"
        if metric.unit == "%":  # an interval over few seeds may go beyond these, and would set the axis
            series = [replace(band, points=tuple(_within(p, 0, 100) for p in band.points)) for band in series]
    if over == "seconds":
        title, note = f"{title} in time", f"{note}; seconds: means over seeds"
        series += _scratch_end(rows, series, metric)
    return Chart(
        f"{summary.task}-{pair}-{what}" + "-time" * (over == "seconds"),
        title,
        Axis("step") if over == "steps" else Axis("seconds of training", log=True),
        y,
        tuple(series),
        f"{title} of the students of {summary.task}, {pair}",
        f"{note}; bands: 95% intervals over seeds",
    )


def course(row: Row, what: What, over: Over = "steps", compared: Compared = "difference") -> tuple[Point, ...]:
    """A row's training curve: the mean, or geometric mean, over seeds, at the steps that all of them have."""
    seeds = [
        {step: at for step, *at in zip(c.steps, c.seconds, getattr(c, what), strict=True)} for c in row.curves.values()
    ]
    points = []
    for step in seeds[0] if seeds else ():
        found = [at for seed in seeds if (at := seed.get(step)) is not None and at[1] is not None]
        values = [value for _, value in found if comparable(value, compared)]
        if len(values) == len(seeds):
            shown = Estimate.of(values, compared).shown
            x = step if over == "steps" else math.fsum(seconds for seconds, _ in found) / len(found)
            points.append(Point(x, shown.value, None, _shown_ends(shown), row.name))
    return tuple(points)


def _scratch_end(rows: Sequence[Row], series: Sequence[Series], metric: MetricValue) -> list[Series]:
    """A line at what scratch ends with, its mean over seeds; none where there are several scratch rows or none."""
    scratch = [row for row in rows if row.name.partition(" ")[0] == SCRATCH]
    ends = [end_quality(curve, metric) for row in scratch for curve in row.curves.values()]
    known = [end for end in ends if end is not None and comparable(end, metric.compared)]
    if len(scratch) != 1 or not known:
        return []
    x, y = [point.x for one in series for point in one.points], Estimate.of(known, metric.compared).shown.value
    return [Series("what scratch ends with", (Point(min(x), y), Point(max(x), y)), "line")]


def _within(point: Point, low: float, high: float) -> Point:
    if point.y_ends is None:
        return point
    return replace(point, y_ends=(max(low, point.y_ends[0]), min(high, point.y_ends[1])))


def fidelity(summary: Summary, pair: str) -> Chart | None:
    """Quality against the agreement with the teacher; None where the task has no metric for it."""
    name = next((name for name in summary.metrics if name.startswith("teacher_")), None)
    if name is None:
        return None

    def agreement(row: Row) -> float | None:
        return row.metrics[name].shown.value if name in row.metrics else None

    return _against(summary, pair, "fidelity", heading(name, summary.metrics[name]), agreement, log=False)


def _against(
    summary: Summary,
    pair: str,
    name: str,
    title: str,
    cost: Callable[[Row], float | None],
    *,
    log: bool = True,
    front: Collection[Section] = (),
) -> Chart | None:
    metric = summary.metrics.get(summary.primary_metric)
    series, ranked = list[Series](), list[Point]()
    for row in summary.rows:
        estimate, x = row.metrics.get(summary.primary_metric), cost(row)
        if row.pair == pair and row.kind != "baseline" and estimate is not None and x is not None:
            point = _point(row, x, estimate)
            series.append(Series(row.name, (point,), control=row.control))
            ranked += [point] if row.section in front else []
    if metric is None or not series:
        return None
    if len(best := _front(ranked, metric)) > 1:
        series.append(Series("Pareto front" + " of methods" * ("teacher" not in front), tuple(best), "line"))
    y = heading(summary.primary_metric, metric)
    return Chart(
        f"{summary.task}-{pair}-{name}",
        f"{y.partition(' (')[0]} against {title.partition(' (')[0]}",
        Axis(title, log=log),
        Axis(y, log=metric.compared == "ratio", better=metric.direction),
        tuple(series),
        f"{y} of the students and the teacher of {summary.task}, {pair}, against {title}",
        "95% intervals over seeds alone: all rows have the same test examples; the paired differences cover examples, "
        "too; open symbols: controls" + ", which no front counts" * bool(front),
    )


def _point(row: Row, x: float, estimate: Estimate) -> Point:
    return Point(x, estimate.shown.value, None, _shown_ends(estimate.shown_over_seeds), row.name)


def _front(points: Sequence[Point], metric: MetricValue) -> list[Point]:
    """The points on the Pareto front, from the cheapest on."""
    sign = 1 if metric.direction == "higher" else -1
    chosen = pareto_front([point.x for point in points], [sign * point.y for point in points])
    return sorted((point for point, on_front in zip(points, chosen, strict=True) if on_front), key=lambda p: p.x)


def paired_differences(summary: Summary, pair: str) -> Chart | None:
    """The difference of every method to scratch: a dot for each seed, beside the mean with its interval."""
    metric = summary.metrics.get(summary.primary_metric)
    rows = [row for row in _compared(summary, pair) if row.difference is not None]
    if metric is None or not rows:
        return None
    seeds = tuple(
        Point(value, i, None, None, f"{row.name}, seed {seed}")
        for i, row in enumerate(rows)
        for seed, value in row.differences_by_seed.items()
    )
    methods, controls = (
        tuple(
            Point(row.difference.shown.value, i, _shown_ends(row.difference.shown), None, f"{row.name}, mean")
            for i, row in enumerate(rows)
            if row.difference is not None and row.control == control
        )
        for control in (False, True)
    )
    ratio = metric.compared == "ratio"
    unit = " (factor)" if ratio else f" ({metric.unit})" if metric.unit else ""
    series = (
        Series("seeds", seeds, "faint"),
        Series("methods: mean with 95% interval", methods),
        Series("controls: mean with 95% interval", controls, control=True),
    )
    return Chart(
        f"{summary.task}-{pair}-differences",
        "Paired differences to scratch",
        Axis(f"Δ {summary.primary_metric.replace('_', ' ')}{unit}", log=ratio, better=metric.direction),
        Axis("", categories=tuple(row.name for row in rows), rule=len(controls)),
        tuple(one for one in series if one.points),
        f"Each method's {summary.primary_metric} {'over' if ratio else 'less'} that of scratch with the same seed, "
        f"on {summary.task}, {pair}",
        "dots: seeds; intervals cover other seeds and, where there are per-example results, other test examples"
        + "; controls stand above the rule" * bool(controls),
    )


def _ends(interval: Interval) -> Ends | None:
    if math.isnan(interval.half_width):
        return None
    return interval.mean - interval.half_width, interval.mean + interval.half_width


def _shown_ends(shown: Ratio) -> Ends | None:
    return (shown.low, shown.high) if math.isfinite(shown.low) and math.isfinite(shown.high) else None


def of_task(summary: Summary) -> dict[str, list[Chart]]:
    """All charts of a task, by teacher-student pair."""
    return {pair: list(_of_pair(summary, pair)) for pair in summary.pairs}


def _of_pair(summary: Summary, pair: str) -> Iterator[Chart]:
    charts = [
        paired_differences(summary, pair),
        frontier(summary, pair),
        curve(summary, pair, "validation", "seconds"),
        curve(summary, pair, "validation"),
        curve(summary, pair, "loss"),
        *(against(summary, pair, cost) for cost in ("latency", "parameters", "macs")),
        throughput(summary, pair),
        fidelity(summary, pair),
    ]
    yield from (chart for chart in charts if chart is not None)


def of_all(summaries: Sequence[Summary]) -> list[Chart | HeatMap]:
    """The charts of the overview, which compare all tasks."""
    gap, ranks = gap_recovered(summaries), rank_chart(summaries)
    return [*([gap] if gap.rows else []), *([ranks] if ranks else [])]


def of_results(summaries: Sequence[Summary]) -> list[Chart | HeatMap]:
    """Every chart of a results folder."""
    of_tasks = (chart for summary in summaries for charts in of_task(summary).values() for chart in charts)
    return [*of_all(summaries), *of_tasks]
