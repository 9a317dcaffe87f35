"""Records as rows of numbers: a summary of each task, by pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from distillbench.bench.analysis.comparison import Comparison, TeacherGap
from distillbench.bench.analysis.notes import (
    detectable_effect_notes,
    interval_notes,
    order_notes,
    origin_notes,
    pair_notes,
    ratio_notes,
)
from distillbench.bench.analysis.series import Estimate, Series, Split, series_of
from distillbench.bench.statistics import (
    Interval,
    Ratio,
    holm,
    holm_levels,
    mean_interval,
    minimum_detectable_effect,
)
from distillbench.bench.store.configurations import Group, groups, order
from distillbench.bench.store.manifest import ExpectedCell
from distillbench.bench.store.records import MetricValue, Record, TrainingCurve
from distillbench.bench.store.terms import Kind
from distillbench.bench.store.timings import FOLDER as TIMINGS
from distillbench.bench.store.timings import Timing

SIGNIFICANCE_LEVEL = 0.05
"""The family-wise error of the differences that count as significant."""


@dataclass(frozen=True)
class Row:
    """One method, the teacher or a baseline in one configuration, over its seeds."""

    pair: str
    name: str
    """The label, with what tells this configuration from others of the label."""
    kind: Kind
    finished: int
    """The number of seeds that finished."""
    failed: int
    """The number of seeds that failed."""
    missing: int
    """The number of seeds that the run expects and that have no record."""
    metrics: Mapping[str, Estimate]
    """By name."""
    difference: Estimate | None = None
    """To scratch, on the primary metric, paired by seed and test example."""
    p: float | None = None
    """The p-value of the difference, Holm-corrected over all methods of the table (Holm 1979); None for other rows."""
    detectable: float | None = None
    """The least true difference that would probably be significant after this correction, as a factor where the metric
    is compared as a ratio; None where that is not known."""
    gap: Ratio | None = None
    """The share recovered of the gap from scratch to the teacher; None where the difference or the gap may be zero."""
    unfiltered_gap: Ratio | None = None
    """The share recovered of the gap from scratch to the teacher; None where the gap may be zero."""
    gap_defined: bool = False
    """Whether the teacher is better than scratch beyond the interval of their difference."""
    best: bool = False
    """Whether the student is better than every other, each time beyond the interval of their paired difference."""
    parameters: int | None = None
    macs: int | None = None
    latency: float | None = None
    """Seconds of one input in eager PyTorch on one thread; None where that was not timed."""
    speedup: Ratio | None = None
    """Over the teacher, interleaved with it under the same condition; None where that was not timed."""
    values_by_seed: Mapping[int, float] = field(default_factory=dict)
    """The primary metric, in its unit."""
    differences_by_seed: Mapping[int, float] = field(default_factory=dict)
    """The difference to scratch on the primary metric, or the factor where it is compared as a ratio."""
    training_seconds: Interval | None = None
    images_per_second: Interval | None = None
    """In training."""
    curves: Mapping[int, TrainingCurve] = field(default_factory=dict)
    """Of training, by seed."""

    @property
    def significant(self) -> bool:
        """Whether the difference to scratch is significant (p < 0.05, Holm-corrected)."""
        return self.p is not None and self.p < SIGNIFICANCE_LEVEL


@dataclass(frozen=True)
class Summary:
    """The results of one task."""

    task: str
    primary_metric: str
    """Its name; '' where there are no records."""
    metrics: Mapping[str, MetricValue]
    """A value of each metric, for its direction, unit and decimals; the primary metric first."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    """What a reader must know."""
    problems: tuple[str, ...] = ()
    """Files that were left out, and why."""


def summarise(
    records: Iterable[Record],
    expected: Iterable[ExpectedCell] = (),
    split: Split = "test",
    problems: Mapping[Path, str] | None = None,
    timings: Sequence[Timing] = (),
) -> list[Summary]:
    """Summarise each task, by name.

    Args:
        records: Of any tasks.
        expected: The cells that are to have a record.
        split: Where the metrics were measured; validation is for choosing.
        problems: Files that were left out, by path, and why.
        timings: Of any tasks, for latency and speedup.
    """
    records, expected = list(records), list(expected)
    names = sorted({record.task for record in records} | {cell.task for cell in expected})
    summaries = []
    for name in names:
        cells = [cell for cell in expected if cell.task == name]
        task = _Task(name, [record for record in records if record.task == name], cells, split, timings)
        summaries.append(task.summary(_task_problems(name, names, problems or {})))
    return summaries


def _task_problems(task: str, tasks: Sequence[str], problems: Mapping[Path, str]) -> tuple[str, ...]:
    """The problems in a task's folders, and those that lie in no task's: they stand beneath every table."""
    folders = {Path(kind, name) for kind in ("records", TIMINGS) for name in tasks}
    return tuple(
        problem for path, problem in problems.items() if path.parts[1:2] == (task,) or folders.isdisjoint(path.parents)
    )


@dataclass(frozen=True)
class _Pair:
    """What one teacher-student pair adds to a table."""

    rows: list[Row]
    notes: list[str]
    remarks: list[str]
    """Why something is missing."""


@dataclass(frozen=True)
class _Task:
    """The records of one task, and what they are summarised with."""

    name: str
    records: Sequence[Record]
    expected: Sequence[ExpectedCell]
    split: Split
    timings: Sequence[Timing]

    @property
    def primary_metric(self) -> str:
        return self.records[0].primary_metric if self.records else ""

    @cached_property
    def metrics(self) -> dict[str, MetricValue]:
        """A value of each metric, the primary metric first, then those of students."""
        metrics: dict[str, MetricValue] = {}
        for record in sorted(self.records, key=lambda r: r.kind != "student"):
            metrics |= {name: value for name, value in record.metrics.items() if name not in metrics}
        return {name: metrics[name] for name in (self.primary_metric, *metrics) if name in metrics}

    def summary(self, problems: tuple[str, ...]) -> Summary:
        names = {record.pair for record in self.records} | {cell.pair for cell in self.expected}
        pairs = [self._pair(name) for name in sorted(names)]
        rows = _adjusted([row for pair in pairs for row in pair.rows])
        summary = Summary(self.name, self.primary_metric, self.metrics, tuple(rows), problems=problems)
        return replace(summary, notes=tuple(dict.fromkeys(self._notes(summary, pairs))))

    def _notes(self, summary: Summary, pairs: Sequence[_Pair]) -> Iterator[str]:
        rows = summary.rows
        yield from (
            *interval_notes({name: _example_counts(rows, name) for name in self.metrics}),
            *ratio_notes(self.metrics),
            *detectable_effects(summary),
            *_order_notes(summary),
            *(note for pair in pairs for note in pair.notes),
            *_missing_notes(rows, self.records, self.split),
            *(remark for pair in pairs for remark in pair.remarks),
            *(metric.note for metric in self.metrics.values() if metric.note),
            *origin_notes(self.records),
        )

    def _pair(self, name: str) -> _Pair:
        members, metric = groups([r for r in self.records if r.pair == name]), self.metrics.get(self.primary_metric)
        sign = 1 if metric is None or metric.direction == "higher" else -1
        comparison = Comparison(members, self.primary_metric, self.split, sign, self.timings)
        return _Pair(
            self._rows(name, members, comparison),
            pair_notes(name, members, self.split),
            [f"{name}: {remark}" for remark in comparison.remarks()],
        )

    def _rows(self, pair: str, members: Sequence[Group], comparison: Comparison) -> list[Row]:
        """In the order of a table, with rows for labels that have no record yet."""
        expected = [cell for cell in self.expected if cell.pair == pair]
        labels = {(group.kind, group.label) for group in members} | {(cell.kind, cell.label) for cell in expected}
        rows = []
        for kind, label in sorted(labels, key=lambda row: order(*row)):
            configurations = [group for group in members if (group.kind, group.label) == (kind, label)]
            seeds = {cell.seed for cell in expected if (cell.kind, cell.label) == (kind, label)}
            seeds -= {record.seed for group in configurations for record in group.records}
            label_rows = [self._row(pair, group, comparison) for group in configurations]
            rows += _with_missing(label_rows, Row(pair, label, kind, 0, 0, len(seeds), {}))
        return rows

    def _row(self, pair: str, group: Group, comparison: Comparison) -> Row:
        difference, gap, values = comparison.difference(group), comparison.gap(group), comparison.series.get(group)
        estimate = difference.estimate() if difference else None
        recovered = _gap_recovered(group, difference, gap)
        training = {seed: record.training for seed, record in group.finished.items() if record.training}
        size = next((r.size for r in group.finished.values() if r.size), None)
        time = comparison.inference_time(group)
        return Row(
            pair=pair,
            name=group.name,
            kind=group.kind,
            finished=len(group.finished),
            failed=sum(record.status == "failed" for record in group.records),
            missing=0,
            metrics={name: s.estimate() for name in self.metrics if (s := series_of(group.finished, name, self.split))},
            difference=estimate,
            gap=recovered if estimate is not None and estimate.interval.excludes_zero else None,
            unfiltered_gap=recovered,
            gap_defined=gap is not None and gap.significant,
            best=comparison.is_best(group),
            parameters=size.parameters if size else None,
            macs=size.macs if size else None,
            latency=time.latency,
            speedup=time.speedup,
            values_by_seed=_by_seed(values),
            differences_by_seed=_by_seed(difference),
            training_seconds=mean_interval([t.seconds for t in training.values()]) if training else None,
            images_per_second=mean_interval([t.images_per_second for t in training.values()]) if training else None,
            curves={seed: t.curve for seed, t in training.items()},
        )


def detectable_effects(summary: Summary) -> Iterator[str]:
    """Say of each pair of a task how large a true difference to scratch has to be to get a star."""
    metric = summary.metrics.get(summary.primary_metric)
    for pair, rows in _methods(summary).items():
        seeds = max((row.difference.interval.n for row in rows if row.difference), default=0)
        yield from detectable_effect_notes(pair, [row.detectable for row in rows], seeds, metric)


def _order_notes(summary: Summary) -> Iterator[str]:
    """Where the metrics that repeat the primary one put the students into another order."""
    primary = summary.primary_metric
    for name, metric in summary.metrics.items():
        if metric.repeats != primary:
            continue
        sign = 1 if metric.direction == "lower" else -1
        for pair, rows in _methods(summary).items():
            both = [row for row in rows if {primary, name} <= row.metrics.keys()]
            means = {m: {row.name: sign * row.metrics[m].interval.mean for row in both} for m in (primary, name)}
            yield from order_notes(pair, primary, name, means)


def _methods(summary: Summary) -> dict[str, list[Row]]:
    """The students of each pair."""
    pairs = dict.fromkeys(row.pair for row in summary.rows)
    return {pair: [row for row in summary.rows if row.pair == pair and row.kind == "student"] for pair in pairs}


def _with_missing(rows: list[Row], missing: Row) -> list[Row]:
    """Rows of one label with its missing seeds: in its only row, else in a row of their own.

    No record tells of which of several configurations they were to be.
    """
    if not missing.missing:
        return rows
    return [replace(rows[0], missing=missing.missing)] if len(rows) == 1 else [*rows, missing]


def _example_counts(rows: Sequence[Row], metric: str) -> set[int]:
    return {row.metrics[metric].examples for row in rows if metric in row.metrics}


def _missing_notes(rows: Sequence[Row], records: Sequence[Record], split: Split) -> Iterator[str]:
    """Which columns or rows are missing, and how to get them."""
    if any(row.parameters is not None for row in rows) and all(row.latency is None for row in rows):
        yield "no latency and no speedup: not timed yet (distillbench time)"
    if split == "test" and any(record.split != "test" for record in records):
        yield "trials are measured on the validation split alone: --split validation"


def _adjusted(rows: Sequence[Row]) -> list[Row]:
    """The p-values of the methods' differences, adjusted for how many there are in the table, and what it takes."""
    p_values = [row.difference.interval.p if row.kind == "student" and row.difference else math.nan for row in rows]
    adjusted, levels = holm(p_values), holm_levels(p_values, SIGNIFICANCE_LEVEL)
    return [
        row if math.isnan(p) else replace(row, p=p, detectable=_detectable(row.difference, level))
        for row, p, level in zip(rows, adjusted, levels, strict=True)
    ]


def _detectable(difference: Estimate | None, alpha: float) -> float | None:
    """The minimum detectable effect where a difference is significant below ``alpha``."""
    effect = math.nan if difference is None else minimum_detectable_effect(difference.interval, alpha=alpha)
    if difference is None or not effect > 0:
        return None
    return math.exp(effect) if difference.compared == "ratio" else effect


def _gap_recovered(group: Group, difference: Series | None, gap: TeacherGap | None) -> Ratio | None:
    """The share of the gap from scratch to the teacher that a student recovers; None where the gap may be zero."""
    if group.kind != "student" or not (difference and gap and gap.significant and gap.difference):
        return None
    return difference.ratio_to(gap.difference)


def _by_seed(series: Series | None) -> dict[int, float]:
    return dict(zip(series.seeds, series.shown, strict=True)) if series else {}
