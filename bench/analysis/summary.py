"""Records as rows of numbers: a summary of each task, by pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    undefined_notes,
)
from distillbench.bench.analysis.rows import SIGNIFICANCE_LEVEL, Row, Summary
from distillbench.bench.analysis.series import Estimate, Series, Split, series_of
from distillbench.bench.analysis.time_to_quality import TimeToQuality, time_to_quality
from distillbench.bench.statistics import Ratio, holm, holm_levels, mean_interval, minimum_detectable_effect
from distillbench.bench.store.configurations import Group, groups, order
from distillbench.bench.store.manifest import ExpectedCell
from distillbench.bench.store.records import MetricValue, Record
from distillbench.bench.store.terms import SECTIONS
from distillbench.bench.store.timings import FOLDER as TIMINGS
from distillbench.bench.store.timings import Timing


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
            *detectable_effect_notes(summary),
            *order_notes(summary),
            *(note for pair in pairs for note in pair.notes),
            *_undefined_notes(rows),
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
        """In the order of a table, with rows for labels that have no record yet, or that are not defined."""
        expected = [cell for cell in self.expected if cell.pair == pair]
        labels = {(cell.kind, cell.label): cell.control for cell in expected}
        labels |= {(group.kind, group.label): group.control for group in members}
        rows = []
        for (kind, label), control in sorted(labels.items(), key=lambda item: order(item[0][0], item[1], item[0][1])):
            configurations = [group for group in members if (group.kind, group.label) == (kind, label)]
            cells = [cell for cell in expected if (cell.kind, cell.label) == (kind, label)]
            seeds = {cell.seed for cell in cells if not cell.undefined}
            seeds -= {record.seed for group in configurations for record in group.records}
            undefined = next((cell.undefined for cell in cells if cell.undefined), "")
            label_rows = [self._row(pair, group, comparison) for group in configurations]
            rows += _with_lacking(label_rows, Row(pair, label, kind, 0, 0, len(seeds), {}, control, undefined))
        return sorted(rows, key=lambda row: SECTIONS.index(row.section))

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
            control=group.control,
            difference=estimate,
            gap=recovered if estimate is not None and estimate.interval.excludes_zero else None,
            unfiltered_gap=recovered,
            gap_defined=gap is not None and gap.significant,
            best=comparison.is_best(group),
            unbeaten_controls=comparison.unbeaten_controls(group),
            parameters=size.parameters if size else None,
            macs=size.macs if size else None,
            latency=time.latency,
            speedup=time.speedup,
            values_by_seed=_by_seed(values),
            differences_by_seed=_by_seed(difference),
            training_seconds=mean_interval([t.seconds for t in training.values()]) if training else None,
            images_per_second=mean_interval([t.images_per_second for t in training.values()]) if training else None,
            curves={seed: t.curve for seed, t in training.items()},
            time_to_quality=self._time_to_quality(group, gap),
        )

    def _time_to_quality(self, group: Group, gap: TeacherGap | None) -> TimeToQuality | None:
        if group.kind != "student" or gap is None:
            return None
        return time_to_quality(group.finished, gap.scratch.finished, self.metrics[self.primary_metric])


def _with_lacking(rows: list[Row], lacking: Row) -> list[Row]:
    """Rows of one label with its missing seeds: in its only row, else in a row of their own.

    No record tells of which of several configurations they were to be. A label that is not defined now, and has
    records of another configuration, has the rows of these.
    """
    if not (lacking.missing or (lacking.undefined and not rows)):
        return rows
    return [replace(rows[0], missing=lacking.missing)] if len(rows) == 1 else [*rows, lacking]


def _undefined_notes(rows: Sequence[Row]) -> Iterator[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.undefined:
            reasons.setdefault((row.name, row.undefined), []).append(row.pair)
    return undefined_notes(reasons, {row.pair for row in rows})


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
