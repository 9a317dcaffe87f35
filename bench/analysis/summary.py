"""What the records of one task say: pure functions from records to rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distillbench.bench.analysis.comparison import Comparison
from distillbench.bench.analysis.notes import detectable_effect_notes, interval_notes, origin_notes, pair_notes
from distillbench.bench.analysis.series import Estimate, Split, series_of
from distillbench.bench.statistics import Interval, Ratio, holm, mean_interval
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
    """The primary metric."""
    differences_by_seed: Mapping[int, float] = field(default_factory=dict)
    """The difference to scratch on the primary metric."""
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
    """A summary a task, by name. ``split`` says where the metrics were measured; validation is for choosing."""
    by_task: dict[str, list[Record]] = {}
    wanted: dict[str, list[ExpectedCell]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    for cell in expected:
        wanted.setdefault(cell.task, []).append(cell)
    names = sorted(by_task.keys() | wanted.keys())
    folders = {Path(kind, name) for kind in ("records", TIMINGS) for name in names}
    found = []
    for name in names:
        # What lies in no task's folder stands beneath every table.
        mine = [
            problem
            for path, problem in (problems or {}).items()
            if path.parts[1:2] == (name,) or folders.isdisjoint(path.parents)
        ]
        summary = _task(name, by_task.get(name, []), wanted.get(name, []), split, timings)
        found.append(replace(summary, problems=tuple(mine)))
    return found


def _task(
    name: str, records: Sequence[Record], expected: Sequence[ExpectedCell], split: Split, timings: Sequence[Timing]
) -> Summary:
    metrics: dict[str, MetricValue] = {}
    for record in sorted(records, key=lambda r: r.kind != "student"):
        metrics |= {k: v for k, v in record.metrics.items() if k not in metrics}
    primary_metric = records[0].primary_metric if records else ""
    ordered = {metric: metrics[metric] for metric in (primary_metric, *metrics) if metric in metrics}
    sign = 1 if primary_metric not in metrics or metrics[primary_metric].direction == "higher" else -1
    rows: list[Row] = []
    notes: list[str] = []
    remarks: list[str] = []
    seen: list[str] = []
    for pair in sorted({r.pair for r in records} | {e.pair for e in expected}):
        members = groups([r for r in records if r.pair == pair])
        comparison = Comparison(members, primary_metric, split, sign, timings)
        mine = _rows(pair, members, [e for e in expected if e.pair == pair], comparison, list(ordered), split)
        rows += mine
        differences = [row.difference for row in mine if row.kind == "student" and row.difference]
        seen += detectable_effect_notes(pair, differences, metrics.get(primary_metric))
        notes += pair_notes(pair, members, split)
        remarks += [f"{pair}: {remark}" for remark in comparison.remarks()]
    if any(row.parameters is not None for row in rows) and all(row.latency is None for row in rows):
        notes.append("no latency and no speedup: not timed yet (distillbench time)")
    if split == "test" and any(record.split != "test" for record in records):
        notes.append("trials are measured on the validation split alone: --split validation")
    examples = {metric: {row.metrics[metric].examples for row in rows if metric in row.metrics} for metric in ordered}
    notes = [
        *interval_notes(examples),
        *seen,
        *notes,
        *remarks,
        *(m.note for m in metrics.values() if m.note),
        *origin_notes(records),
    ]
    return Summary(name, primary_metric, ordered, tuple(_adjusted(rows)), tuple(dict.fromkeys(notes)))


def _adjusted(rows: Sequence[Row]) -> list[Row]:
    """The p-values of the methods' differences, adjusted for how many there are in the table."""
    tested = [row.difference.interval.p if row.kind == "student" and row.difference else math.nan for row in rows]
    return [replace(row, p=None if math.isnan(p) else p) for row, p in zip(rows, holm(tested), strict=True)]


def _rows(
    pair: str,
    members: Sequence[Group],
    expected: Sequence[ExpectedCell],
    comparison: Comparison,
    metrics: Sequence[str],
    split: Split,
) -> list[Row]:
    rows = []
    labels = {(group.kind, group.label) for group in members} | {(cell.kind, cell.label) for cell in expected}
    for kind, label in sorted(labels, key=lambda row: order(*row)):
        same = [group for group in members if (group.kind, group.label) == (kind, label)]
        known = {record.seed for group in same for record in group.records}
        missing = sum((e.kind, e.label) == (kind, label) and e.seed not in known for e in expected)
        found = [_row(pair, group, comparison, metrics, split) for group in same]
        if missing and len(found) == 1:
            found = [replace(found[0], missing=missing)]
        elif missing:  # no record says of which configuration they were to be
            found.append(Row(pair, label, kind, 0, 0, missing, {}))
        rows += found
    return rows


def _row(pair: str, group: Group, comparison: Comparison, metrics: Sequence[str], split: Split) -> Row:
    difference, way = comparison.difference(group), comparison.way(group)
    estimate = difference.estimate() if difference else None
    unfiltered_gap = None
    if group.kind == "student" and difference and way and way.worth and way.lead:
        unfiltered_gap = difference.ratio_to(way.lead)
    sure = estimate is not None and estimate.interval.excludes_zero
    primary_metric = comparison.series.get(group)
    training = {seed: record.training for seed, record in group.finished.items() if record.training}
    size = next((r.size for r in group.finished.values() if r.size), None)
    times = comparison.times(group)
    return Row(
        pair=pair,
        name=group.name,
        kind=group.kind,
        finished=len(group.finished),
        failed=sum(record.status == "failed" for record in group.records),
        missing=0,
        metrics={name: s.estimate() for name in metrics if (s := series_of(group.finished, name, split))},
        difference=estimate,
        gap=unfiltered_gap if sure else None,
        unfiltered_gap=unfiltered_gap,
        gap_defined=way is not None and way.worth,
        best=comparison.best(group),
        parameters=size.parameters if size else None,
        macs=size.macs if size else None,
        latency=times.latency,
        speedup=times.speedup,
        values_by_seed=dict(zip(primary_metric.seeds, primary_metric.values, strict=True)) if primary_metric else {},
        differences_by_seed=dict(zip(difference.seeds, difference.values, strict=True)) if difference else {},
        training_seconds=mean_interval([t.seconds for t in training.values()]) if training else None,
        images_per_second=mean_interval([t.images_per_second for t in training.values()]) if training else None,
        curves={seed: t.curve for seed, t in training.items()},
    )
