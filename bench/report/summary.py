"""What the records of one task say: pure functions from records to rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.records import MetricValue, Record
from bench.report.series import Estimate, Series, Split, beats_all, series_of
from bench.statistics import Ratio, holm

BASELINE = "scratch"
FIRST = ("teacher", "scratch", "mimic")
LEVEL = 0.05
"""The family-wise error of the differences that are marked."""
Kind = Literal["student", "teacher", "reference"]


@dataclass(frozen=True)
class Expected:
    """A cell that a run was to make; how a table knows what is missing."""

    task: str
    pair: str
    kind: Kind
    label: str
    seed: int


@dataclass(frozen=True)
class Row:
    """One method, the teacher or a reference, over its seeds.

    difference: to scratch on the headline metric, paired by seed and test item. p: of that difference, adjusted for all
    methods of the table (Holm 1979); None for what is no method. gap: the part of the way from scratch to teacher, None
    where the difference, or that way, may be zero. gap_defined: whether that way is longer than its interval. best:
    better than every other student, each time outside the interval of the paired difference. latency: seconds. speedup:
    the teacher's latency over this.
    """

    pair: str
    label: str
    kind: Kind
    finished: int
    failed: int
    missing: int
    metrics: Mapping[str, Estimate]
    difference: Estimate | None = None
    p: float | None = None
    gap: Ratio | None = None
    gap_defined: bool = False
    best: bool = False
    parameters: int | None = None
    macs: int | None = None
    latency: float | None = None
    speedup: float | None = None

    @property
    def significant(self) -> bool:
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class Summary:
    """One task: its metrics, the rows, and what a reader must know."""

    task: str
    headline: str
    metrics: Mapping[str, MetricValue]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())


def summarise(records: Iterable[Record], expected: Iterable[Expected] = (), split: Split = "test") -> list[Summary]:
    """A summary a task, by name. ``split`` says where the metrics were measured; held-out is for choosing."""
    by_task: dict[str, list[Record]] = {}
    wanted: dict[str, list[Expected]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    for cell in expected:
        wanted.setdefault(cell.task, []).append(cell)
    names = sorted(by_task.keys() | wanted.keys())
    return [_task(name, by_task.get(name, []), wanted.get(name, []), split) for name in names]


def _task(name: str, records: Sequence[Record], expected: Sequence[Expected], split: Split) -> Summary:
    metrics: dict[str, MetricValue] = {}
    for record in sorted(records, key=lambda r: r.kind != "student"):
        metrics |= {k: v for k, v in record.metrics.items() if k not in metrics}
    headline = records[0].headline if records else ""
    ordered = {metric: metrics[metric] for metric in (headline, *metrics) if metric in metrics}
    notes: list[str] = []
    rows: list[Row] = []
    for pair in sorted({r.pair for r in records} | {e.pair for e in expected}):
        here = [r for r in records if r.pair == pair]
        there = [e for e in expected if e.pair == pair]
        rows += _pair(pair, here, there, ordered, headline, split)
        notes += _notes(pair, here, split)
    rows = _adjusted(rows)
    pointless = [row.pair for row in rows if row.kind == "teacher" and row.difference and not row.gap_defined]
    notes += [
        f"{pair}: no gap to recover: the teacher does not beat scratch outside the interval" for pair in pointless
    ]
    notes = [*_coverage(rows, ordered), *notes, *(m.note for m in metrics.values() if m.note)]
    return Summary(name, headline, ordered, tuple(rows), tuple(dict.fromkeys(notes)))


def _adjusted(rows: Sequence[Row]) -> list[Row]:
    """The p-values of the methods' differences, adjusted for how many there are in the table."""
    tested = [row.difference.interval.p if row.kind == "student" and row.difference else math.nan for row in rows]
    return [replace(row, p=None if math.isnan(p) else p) for row, p in zip(rows, holm(tested), strict=True)]


def _pair(
    pair: str,
    records: Sequence[Record],
    expected: Sequence[Expected],
    metrics: Mapping[str, MetricValue],
    headline: str,
    split: Split,
) -> list[Row]:
    finished = {
        key: {r.seed: r for r in records if (r.label, r.kind) == key and r.status == "finished"}
        for key in {(r.label, r.kind) for r in records}
    }
    students = {
        label: series
        for (label, kind), by_seed in finished.items()
        if kind == "student" and (series := series_of(by_seed, headline, split))
    }
    lead = _lead(records, students.get(BASELINE), headline, split)
    sign = 1 if headline not in metrics or metrics[headline].direction == "higher" else -1
    way = lead.estimate().interval if lead else None
    worth = way is not None and way.excludes_zero and sign * way.mean > 0
    latencies = {r.kind: r.latency.median for r in records if r.latency is not None}
    rows = []
    for label, kind in sorted(finished.keys() | {(e.label, e.kind) for e in expected}, key=lambda x: _order(*x)):
        mine = finished.get((label, kind), {})
        known = {r.seed for r in records if (r.label, r.kind) == (label, kind)}
        difference = lead if kind == "teacher" else None
        if kind == "student" and label != BASELINE and label in students and BASELINE in students:
            difference = students[label].minus(students[BASELINE])
        estimate = difference.estimate() if difference else None
        gap = None
        if worth and lead and difference and estimate and estimate.interval.excludes_zero and kind == "student":
            gap = difference.over(lead)
        size = next((r.size for r in mine.values() if r.size), None)
        latency = latencies.get(kind) if kind != "reference" and mine else None
        rows.append(
            Row(
                pair=pair,
                label=label,
                kind=kind,
                finished=len(mine),
                failed=sum(r.status == "failed" for r in records if (r.label, r.kind) == (label, kind)),
                missing=sum((e.label, e.kind) == (label, kind) and e.seed not in known for e in expected),
                metrics={name: s.estimate() for name in metrics if (s := series_of(mine, name, split))},
                difference=estimate,
                gap=gap,
                gap_defined=worth,
                best=kind == "student" and label in students and beats_all(label, students, sign),
                parameters=size.parameters if size else None,
                macs=size.macs if size else None,
                latency=latency,
                speedup=latencies["teacher"] / latency if latency and "teacher" in latencies else None,
            )
        )
    return rows


def _lead(records: Sequence[Record], baseline: Series | None, headline: str, split: Split) -> Series | None:
    """The teacher's headline less scratch's, seed by seed: each student's seed has the teacher it learned from."""
    teachers = {r.seed: r for r in records if r.kind == "teacher" and r.status == "finished"}
    teacher_of = {r.seed: r.teacher_seed for r in records if r.kind == "student"}
    its = {seed: teachers[t] for seed, t in teacher_of.items() if t in teachers}
    series = series_of(its, headline, split)
    return series.minus(baseline) if series and baseline else None


def _order(label: str, kind: str) -> tuple[int, int, str]:
    place = FIRST.index(label) if label in FIRST else len(FIRST)
    return ("teacher", "student", "reference").index(kind), place, label


def _coverage(rows: Sequence[Row], metrics: Mapping[str, MetricValue]) -> list[str]:
    """What the intervals of this table cover."""
    counts = {name: {row.metrics[name].items for row in rows if name in row.metrics} for name in metrics}
    both, alone = ([name for name, found in counts.items() if (0 not in found) is on] for on in (True, False))
    notes = []
    if both:
        (items, *_) = sorted(counts[both[0]], reverse=True)
        notes.append(f"± covers other seeds and other test items than these {items}: {_listed(both)}")
    if alone:
        notes.append(f"± covers other seeds alone (there are no per-item results): {_listed(alone)}")
    return notes


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _notes(pair: str, records: Sequence[Record], split: Split) -> list[str]:
    notes = [f"{pair}: {warning}" for record in records for warning in record.warnings]
    if split == "held_out":
        notes.append("measured on the held-out split: for choosing, not for reporting")
    students = [r for r in records if r.kind == "student"]
    if students and all(r.teachers == "shared" for r in students):
        notes.append("one teacher for all seeds: all intervals are conditional on it")
    if ran := _hyperparameters(students):
        notes.append(f"{pair}: {ran}")
    notes += [
        f"{pair}: {record.label}, seed {record.seed} failed: {record.failure.reason}"
        for record in records
        if record.failure
    ]
    own: dict[str, list[float]] = {}
    for record in students:
        if record.own_teacher and record.headline in record.own_teacher:
            own.setdefault(record.label, []).append(record.own_teacher[record.headline])
    for label, values in own.items():
        metric = next(r.metrics[r.headline] for r in students if r.headline in r.metrics)
        mean = math.fsum(values) / len(values)
        unit = f" {metric.unit}" if metric.unit else ""
        notes.append(f"{pair}: the teacher that {label} trains itself reaches {mean:.{metric.decimals}f}{unit}")
    return notes


def _hyperparameters(students: Sequence[Record]) -> str:
    """'mimic weight 0.01; temperature temperature 2, weight 1': what each method ran with, scratch apart."""
    found: dict[str, dict[str, None]] = {}
    for record in sorted(students, key=lambda r: _order(r.label, r.kind)):
        values = record.config.get("hyperparameters", {})
        text = ", ".join(f"{name} {_plain(value)}" for name, value in sorted(values.items()) if value is not None)
        if record.label != BASELINE and text:
            found.setdefault(record.label, {})[text] = None
    return "; ".join(f"{label} {' or '.join(texts)}" for label, texts in found.items())


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
