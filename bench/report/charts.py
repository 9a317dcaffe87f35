"""What a results folder looks like: charts as data. The page and ``plot`` draw them, each in its own way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from distillbench.bench.analysis.series import Estimate
from distillbench.bench.analysis.summary import Row, Summary
from distillbench.bench.report.tables import ABSENT, MARK, heading
from distillbench.bench.statistics import Interval, mean_interval

Ends = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """better: which way is better, '' where neither is. categories: the names of whole numbers, from 0 on."""

    title: str
    log: bool = False
    better: Literal["higher", "lower", ""] = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Point:
    """x_ends, y_ends: of the interval, None where there is none. label: what a reader who points at it is told."""

    x: float
    y: float
    x_ends: Ends | None = None
    y_ends: Ends | None = None
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Points of one colour. style: dots, faint ones, a line, or a line with the band of its ends."""

    name: str
    points: tuple[Point, ...]
    style: Literal["dots", "faint", "line", "band"] = "dots"


@dataclass(frozen=True)
class Chart:
    """name: of its files. alt: what it shows, for who cannot see it."""

    name: str
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    alt: str
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """value: None where there is none, and ``text`` is the reason. sure: not zero, corrected for many."""

    value: float | None
    text: str
    sure: bool = False
    ends: Ends | None = None

    @property
    def interval(self) -> str:
        """'[78, 84]' in percent, without a sign before zero; '' where there is none."""
        return "" if self.ends is None else f"[{', '.join(f'{100 * end:z.0f}' for end in self.ends)}]"


@dataclass(frozen=True)
class HeatMap:
    """cells: {(row, column): cell}; every row has one in every column."""

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    alt: str
    note: str = ""


@dataclass(frozen=True)
class Rank:
    """mean: of ranks over all columns, 1 is the best. interval: over seeds."""

    name: str
    interval: Interval
    columns: int


def frame(chart: Chart | HeatMap) -> pd.DataFrame:
    """Its data, a row a point or a cell."""
    if isinstance(chart, HeatMap):
        cells = [(row, column, chart.cells[row, column]) for row in chart.rows for column in chart.columns]
        return pd.DataFrame(
            [(r, c, cell.value, *(cell.ends or (None, None)), cell.sure, cell.text) for r, c, cell in cells],
            columns=["row", "column", "value", "low", "high", "sure", "text"],
        )
    rows = [
        (series.name, p.label, p.x, *(p.x_ends or (None, None)), p.y, *(p.y_ends or (None, None)))
        for series in chart.series
        for p in series.points
    ]
    names = ["series", "label", chart.x.title, "x low", "x high", chart.y.title, "y low", "y high"]
    return pd.DataFrame(rows, columns=names).dropna(axis="columns", how="all")


def gap_recovered(summaries: Sequence[Summary]) -> HeatMap:
    """Methods × pairs: the part of the way from scratch to teacher, with its interval; a loss is negative."""
    columns = [(summary, pair) for summary in summaries for pair in pairs(summary)]
    names = list(dict.fromkeys(row.name for summary, _ in columns for row in _methods(summary.rows)))
    cells = {}
    for summary, pair in columns:
        mine = {row.name: row for row in _methods(summary.rows) if row.pair == pair}
        for name in names:
            cells[name, column_name(summary, pair)] = _gap(mine.get(name))
    return HeatMap(
        "gap-recovered",
        "Gap recovered",
        tuple(names),
        tuple(column_name(summary, pair) for summary, pair in columns),
        cells,
        "How much of the gap between scratch and teacher each method recovers on each pair of networks",
        "part of the way from scratch to teacher, with its 95% interval; *: Δ scratch is not zero, at 5% over all "
        "methods of a task (Holm); pale: it may be zero",
    )


def column_name(summary: Summary, pair: str) -> str:
    """The task, and where it has several pairs the pair."""
    return summary.task if len(pairs(summary)) == 1 else f"{summary.task}, {pair}"


def pairs(summary: Summary) -> list[str]:
    return list(dict.fromkeys(row.pair for row in summary.rows))


def _methods(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.kind == "student" and row.name.partition(" ")[0] != "scratch"]


def _gap(row: Row | None) -> Cell:
    if row is None:
        return Cell(None, "not run")
    if not row.finished:
        return Cell(None, "failed" if row.failed else "missing")
    if row.unfiltered_gap is None:
        return Cell(None, ABSENT if row.difference else "no Δ")
    gap = row.unfiltered_gap
    missing = f", {row.failed + row.missing} of {row.finished + row.failed + row.missing} seeds are not there"
    text = f"{100 * gap.value:z.0f}%{MARK * row.significant}" + (missing if row.failed + row.missing else "")
    return Cell(gap.value, text, row.significant, (gap.low, gap.high))


def average_ranks(summaries: Sequence[Summary]) -> list[Rank]:
    """Students by their mean rank on the primary metrics of all pairs, the best first.

    In each seed and pair the students are ranked; equal ones share the mean of their ranks. Of students and seeds that
    every pair has. The interval is Student's over seeds.
    """
    columns: list[pd.DataFrame] = []
    for summary in summaries:
        lower = (
            summary.primary_metric in summary.metrics and summary.metrics[summary.primary_metric].direction == "lower"
        )
        for pair in pairs(summary):
            its = [row for row in summary.rows if row.pair == pair and row.kind == "student"]
            values = {row.name: pd.Series(row.values_by_seed) for row in its if row.values_by_seed}
            columns.append(pd.DataFrame(values) * (1 if lower else -1))
    if not columns:
        return []
    names = [str(name) for name in columns[0] if all(name in column for column in columns)]
    complete = [column[names].dropna() for column in columns] if names else []
    seeds = [seed for seed in complete[0].index if all(seed in column.index for column in complete)] if names else []
    if len(names) < 2 or not seeds:
        return []
    ranks = pd.concat([column.loc[seeds].rank(axis="columns") for column in complete]).groupby(level=0).mean()
    found = [Rank(name, mean_interval(ranks[name].tolist()), len(complete)) for name in names]
    return sorted(found, key=lambda rank: rank.interval.mean)


def rank_chart(summaries: Sequence[Summary]) -> Chart | None:
    ranks = average_ranks(summaries)
    if not ranks:
        return None
    names = tuple(rank.name for rank in ranks)
    points = tuple(Point(rank.interval.mean, i, _ends(rank.interval), None, rank.name) for i, rank in enumerate(ranks))
    return Chart(
        "average-rank",
        "Average rank",
        Axis(f"mean rank over {ranks[0].columns} pairs", better="lower"),
        Axis("", categories=names),
        (Series("students", points),),
        "Mean rank of every student over all pairs of networks, with 95% intervals over seeds",
        "1 is the best; of students and seeds that every pair has; 95% intervals over seeds",
    )


def against(summary: Summary, pair: str, cost: Literal["latency", "parameters", "macs"]) -> Chart | None:
    """Quality against what it costs to run, with the Pareto front; None where nothing is known of it."""
    titles = {"latency": "latency (ms)", "parameters": "parameters", "macs": "MACs"}
    of: dict[str, Callable[[Row], float | None]] = {
        "latency": lambda row: None if row.latency is None else 1000 * row.latency,
        "parameters": lambda row: row.parameters,
        "macs": lambda row: row.macs,
    }
    return _against(summary, pair, cost, titles[cost], of[cost], front=True)


def training_cost(summary: Summary, pair: str) -> Chart | None:
    """Quality against the seconds of training."""

    def seconds(row: Row) -> float | None:
        return row.training_seconds.mean if row.training_seconds else None

    return _against(summary, pair, "training", "training (s)", seconds, front=True)


def throughput(summary: Summary, pair: str) -> Chart | None:
    """Quality against the images a second of training."""

    def speed(row: Row) -> float | None:
        return row.images_per_second.mean if row.images_per_second else None

    return _against(summary, pair, "throughput", "training (images/s)", speed)


def curve(summary: Summary, pair: str, what: Literal["validation", "loss"]) -> Chart | None:
    """Training of all students, a band over seeds a method; None where none was recorded."""
    metric = summary.metrics.get(summary.primary_metric)
    rows = [row for row in summary.rows if row.pair == pair and row.kind == "student"]
    series = [Series(row.name, points, "band") for row in rows if (points := course(row, what))]
    if metric is None or not series:
        return None
    on = next(iter(next(row.curves for row in rows if row.curves).values())).of
    if what == "loss":
        title, y = "Training loss", Axis("loss", better="lower")
        note = "the mean between two points; each method minimises a loss of its own, so compare its course alone"
    else:
        title, y = "Training curve", Axis(heading(summary.primary_metric, metric), better=metric.direction)
        note = f"{summary.primary_metric.replace('_', ' ')} on {on}"
        if metric.unit == "%":  # an interval over few seeds goes beyond what there can be, and would set the axis
            series = [replace(its, points=tuple(_within(point, 0, 100) for point in its.points)) for its in series]
    return Chart(
        f"{summary.task}-{pair}-{what}",
        title,
        Axis("step"),
        y,
        tuple(series),
        f"{title} of the students of {summary.task}, {pair}",
        f"{note}; bands: 95% intervals over seeds",
    )


def course(row: Row, what: Literal["validation", "loss"]) -> tuple[Point, ...]:
    """The mean over seeds, at the steps that all of them have."""
    seeds = [dict(zip(c.steps, getattr(c, what), strict=True)) for c in row.curves.values()]
    points = []
    for step in seeds[0] if seeds else ():
        values = [value for seed in seeds if (value := seed.get(step)) is not None]
        if len(values) == len(seeds):
            interval = mean_interval(values)
            points.append(Point(step, interval.mean, None, _ends(interval), row.name))
    return tuple(points)


def _within(point: Point, low: float, high: float) -> Point:
    if point.y_ends is None:
        return point
    return replace(point, y_ends=(max(low, point.y_ends[0]), min(high, point.y_ends[1])))


def fidelity(summary: Summary, pair: str) -> Chart | None:
    """Quality against the agreement with the teacher; None where no metric of the task measures it."""
    name = next((name for name in summary.metrics if name.startswith("teacher_")), None)
    if name is None:
        return None

    def agreement(row: Row) -> float | None:
        return row.metrics[name].interval.mean if name in row.metrics else None

    return _against(summary, pair, "fidelity", heading(name, summary.metrics[name]), agreement, log=False)


def _against(
    summary: Summary,
    pair: str,
    name: str,
    title: str,
    of: Callable[[Row], float | None],
    *,
    log: bool = True,
    front: bool = False,
) -> Chart | None:
    metric = summary.metrics.get(summary.primary_metric)
    found: list[tuple[Row, Point]] = []
    for row in summary.rows:
        estimate, x = row.metrics.get(summary.primary_metric), of(row)
        if row.pair == pair and row.kind != "baseline" and estimate is not None and x is not None:
            found.append((row, _point(row, x, estimate)))
    if metric is None or not found:
        return None
    series = [Series(row.name, (point,)) for row, point in found]
    if front and len(best := _front([point for _, point in found], metric.direction)) > 1:
        series.append(Series("Pareto front", tuple(best), "line"))
    y = heading(summary.primary_metric, metric)
    return Chart(
        f"{summary.task}-{pair}-{name}",
        f"{y.partition(' (')[0]} against {title.partition(' (')[0]}",
        Axis(title, log=log),
        Axis(y, better=metric.direction),
        tuple(series),
        f"{y} of the students and the teacher of {summary.task}, {pair}, against {title}",
        "95% intervals over seeds alone: all rows have the same test examples; "
        "the paired differences cover examples, too",
    )


def _point(row: Row, x: float, estimate: Estimate) -> Point:
    return Point(x, estimate.interval.mean, None, _ends(estimate.seed_interval), row.name)


def _front(points: Sequence[Point], better: str) -> list[Point]:
    """Those that none is both cheaper and better than, from the cheapest on."""
    sign = 1 if better == "higher" else -1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -sign * p.y)):
        if not front or sign * point.y > sign * front[-1].y:
            front.append(point)
    return front


def paired_differences(summary: Summary, pair: str) -> Chart | None:
    """Every method less scratch: every seed a dot, beside the mean with its interval."""
    metric = summary.metrics.get(summary.primary_metric)
    rows = [row for row in _methods(summary.rows) if row.pair == pair and row.difference is not None]
    if metric is None or not rows:
        return None
    seeds = tuple(
        Point(value, i, None, None, f"{row.name}, seed {seed}")
        for i, row in enumerate(rows)
        for seed, value in row.differences_by_seed.items()
    )
    means = tuple(
        Point(row.difference.interval.mean, i, _ends(row.difference.interval), None, f"{row.name}, mean")
        for i, row in enumerate(rows)
        if row.difference is not None
    )
    unit = f" ({metric.unit})" if metric.unit else ""
    return Chart(
        f"{summary.task}-{pair}-differences",
        "Paired differences to scratch",
        Axis(f"Δ {summary.primary_metric.replace('_', ' ')}{unit}", better=metric.direction),
        Axis("", categories=tuple(row.name for row in rows)),
        (Series("seeds", seeds, "faint"), Series("mean with 95% interval", means)),
        f"Each method's {summary.primary_metric} less that of scratch with the same seed, on {summary.task}, {pair}",
        "a dot a seed; intervals cover other seeds and, where there are per-example results, other test examples",
    )


def _ends(interval: Interval) -> Ends | None:
    if math.isnan(interval.half_width):
        return None
    return interval.mean - interval.half_width, interval.mean + interval.half_width


def of_task(summary: Summary) -> dict[str, list[Chart]]:
    """All charts of a task, by pair."""
    found: dict[str, list[Chart]] = {}
    for pair in pairs(summary):
        charts = [
            paired_differences(summary, pair),
            curve(summary, pair, "validation"),
            curve(summary, pair, "loss"),
            *(against(summary, pair, cost) for cost in ("latency", "parameters", "macs")),
            training_cost(summary, pair),
            throughput(summary, pair),
            fidelity(summary, pair),
        ]
        found[pair] = [chart for chart in charts if chart is not None]
    return found


def of_all(summaries: Sequence[Summary]) -> list[Chart | HeatMap]:
    """Those of the overview."""
    gap, ranks = gap_recovered(summaries), rank_chart(summaries)
    return [*([gap] if gap.rows else []), *([ranks] if ranks else [])]


def of_results(summaries: Sequence[Summary]) -> list[Chart | HeatMap]:
    """Every chart that there is."""
    return [*of_all(summaries), *(c for s in summaries for its in of_task(s).values() for c in its)]
