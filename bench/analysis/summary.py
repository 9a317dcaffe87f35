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
    origin_notes,
    pair_notes,
    undefined_notes,
)
from distillbench.bench.analysis.series import Estimate, Series, Split, series_of
from distillbench.bench.analysis.time_to_quality import TimeToQuality, time_to_quality
from distillbench.bench.statistics import Interval, Ratio, holm, mean_interval
from distillbench.bench.store.configurations import Group, groups, order, section_of
from distillbench.bench.store.manifest import ExpectedCell
from distillbench.bench.store.records import MetricValue, Record, TrainingCurve
from distillbench.bench.store.terms import SECTIONS, Kind, Section
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
    control: bool = False
    """Whether it is a control, which a method has to beat and which is not ranked."""
    undefined: str = ""
    """Why there is no such row, as 'needs labels; gan has none'; '' where there is."""
    difference: Estimate | None = None
    """To scratch, on the primary metric, paired by seed and test example."""
    p: float | None = None
    """The p-value of the difference, Holm-corrected over all methods of the table (Holm 1979); None for other rows."""
    gap: Ratio | None = None
    """The share recovered of the gap from scratch to the teacher; None where the difference or the gap may be zero."""
    unfiltered_gap: Ratio | None = None
    """The share recovered of the gap from scratch to the teacher; None where the gap may be zero."""
    gap_defined: bool = False
    """Whether the teacher is better than scratch beyond the interval of their difference."""
    best: bool = False
    """Whether the method is better than every other, each time beyond the interval of their paired difference."""
    unbeaten_controls: tuple[str, ...] = ()
    """Of the best method: the controls, but for scratch, that it is not better than beyond that interval."""
    parameters: int | None = None
    macs: int | None = None
    latency: float | None = None
    """Seconds of one input in eager PyTorch on one thread; None where that was not timed."""
    speedup: Ratio | None = None
    """Over the teacher, interleaved with it under the same condition; None where that was not timed."""
    values_by_seed: Mapping[int, float] = field(default_factory=dict)
    """The primary metric."""
    differences_by_seed: Mapping[int, float] = field(default_factory=dict)
    """The difference to scratch on the primary metric."""
    training_seconds: Interval | None = None
    images_per_second: Interval | None = None
    """In training."""
    curves: Mapping[int, TrainingCurve] = field(default_factory=dict)
    """Of training, by seed."""
    time_to_quality: TimeToQuality | None = None
    """Until a student is as good as scratch ends; None for other rows, and where no curve says so."""

    @property
    def section(self) -> Section:
        """The section of the table in which it stands."""
        return section_of(self.kind, self.control)

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

    @property
    def pairs(self) -> list[str]:
        """The teacher-student pairs, in the order of the rows."""
        return list(dict.fromkeys(row.pair for row in self.rows))


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
    detectable: list[str]
    """Notes on the minimum detectable effect."""
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
        rows = [row for pair in pairs for row in pair.rows]
        notes = (
            *interval_notes({name: _example_counts(rows, name) for name in self.metrics}),
            *(note for pair in pairs for note in pair.detectable),
            *(note for pair in pairs for note in pair.notes),
            *_undefined_notes(rows),
            *_missing_notes(rows, self.records, self.split),
            *(remark for pair in pairs for remark in pair.remarks),
            *(metric.note for metric in self.metrics.values() if metric.note),
            *origin_notes(self.records),
        )
        table = tuple(_adjusted(rows))
        return Summary(self.name, self.primary_metric, self.metrics, table, tuple(dict.fromkeys(notes)), problems)

    def _pair(self, name: str) -> _Pair:
        members, metric = groups([r for r in self.records if r.pair == name]), self.metrics.get(self.primary_metric)
        sign = 1 if metric is None or metric.direction == "higher" else -1
        comparison = Comparison(members, self.primary_metric, self.split, sign, self.timings)
        rows = self._rows(name, members, comparison)
        differences = [row.difference for row in rows if row.kind == "student" and row.difference]
        return _Pair(
            rows,
            detectable_effect_notes(name, differences, metric),
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
    """The p-values of the methods' differences, adjusted for how many there are in the table."""
    p_values = [row.difference.interval.p if row.kind == "student" and row.difference else math.nan for row in rows]
    return [replace(row, p=None if math.isnan(p) else p) for row, p in zip(rows, holm(p_values), strict=True)]


def _gap_recovered(group: Group, difference: Series | None, gap: TeacherGap | None) -> Ratio | None:
    """The share of the gap from scratch to the teacher that a student recovers; None where the gap may be zero."""
    if group.kind != "student" or not (difference and gap and gap.significant and gap.difference):
        return None
    return difference.ratio_to(gap.difference)


def _by_seed(series: Series | None) -> dict[int, float]:
    return dict(zip(series.seeds, series.values, strict=True)) if series else {}
