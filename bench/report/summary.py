"""What the records of one task say: pure functions from records to rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.records import MetricValue, Record
from bench.statistics import Interval, mean_interval, paired_difference

BASELINE = "scratch"
FIRST = ("teacher", "scratch", "mimic")


@dataclass(frozen=True)
class Expected:
    """A cell that a run was to make; how a table knows what is missing."""

    task: str
    pair: str
    kind: Literal["student", "teacher", "reference"]
    label: str
    seed: int


@dataclass(frozen=True)
class Row:
    """One method, the teacher or a reference, over its seeds.

    difference: to scratch on the headline metric, paired by seed. gap: the part of the way from scratch to teacher,
    None where that way is not longer than its interval. best: better than every other student, each time outside the
    interval of the paired difference. latency: seconds. speedup: the teacher's latency over this.
    """

    pair: str
    label: str
    kind: Literal["student", "teacher", "reference"]
    finished: int
    failed: int
    missing: int
    metrics: Mapping[str, Interval]
    difference: Interval | None = None
    gap: float | None = None
    best: bool = False
    parameters: int | None = None
    macs: int | None = None
    latency: float | None = None
    speedup: float | None = None


@dataclass(frozen=True)
class Summary:
    """One task: its metrics, the rows, and what a reader must know."""

    task: str
    headline: str
    metrics: Mapping[str, MetricValue]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())


def summarise(
    records: Iterable[Record], expected: Iterable[Expected] = (), split: Literal["test", "held_out"] = "test"
) -> list[Summary]:
    """A summary a task, by name. ``split`` says where the metrics were measured; held-out is for choosing."""
    by_task: dict[str, list[Record]] = {}
    wanted: dict[str, list[Expected]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    for cell in expected:
        wanted.setdefault(cell.task, []).append(cell)
    names = sorted(by_task.keys() | wanted.keys())
    return [_task(name, by_task.get(name, []), wanted.get(name, []), split) for name in names]


def _values(record: Record, split: str) -> dict[str, float]:
    return {name: m.value for name, m in record.metrics.items()} if split == "test" else dict(record.held_out)


def _task(name: str, records: Sequence[Record], expected: Sequence[Expected], split: str) -> Summary:
    metrics: dict[str, MetricValue] = {}
    for record in sorted(records, key=lambda r: r.kind != "student"):
        metrics |= {k: v for k, v in record.metrics.items() if k not in metrics}
    headline = records[0].headline if records else ""
    notes: list[str] = []
    rows: list[Row] = []
    for pair in sorted({r.pair for r in records} | {e.pair for e in expected}):
        here = [r for r in records if r.pair == pair]
        there = [e for e in expected if e.pair == pair]
        rows += _pair(pair, here, there, metrics, headline, split)
        notes += _notes(pair, here, split)
    ordered = {name: metrics[name] for name in (headline, *metrics) if name in metrics}
    notes += [m.note for m in metrics.values() if m.note]
    return Summary(name, headline, ordered, tuple(rows), tuple(dict.fromkeys(notes)))


def _pair(
    pair: str,
    records: Sequence[Record],
    expected: Sequence[Expected],
    metrics: Mapping[str, MetricValue],
    headline: str,
    split: str,
) -> list[Row]:
    # {row: {seed: value of the headline metric}}
    series: dict[str, dict[int, float]] = {}
    for record in records:
        if record.status == "finished" and record.kind == "student" and headline in (v := _values(record, split)):
            series.setdefault(record.label, {})[record.seed] = v[headline]
    teachers = {
        r.seed: _values(r, split).get(headline) for r in records if r.kind == "teacher" and r.status == "finished"
    }
    teacher_of = {r.seed: r.teacher_seed for r in records if r.kind == "student"}
    baseline = series.get(BASELINE, {})
    lead = {seed: value for seed in baseline if (value := teachers.get(teacher_of.get(seed, seed))) is not None}
    sign = 1 if headline not in metrics or metrics[headline].direction == "higher" else -1
    gap = _paired(lead, baseline)
    worth = gap is not None and gap.excludes_zero and sign * gap.mean > 0
    best = _best(series, sign)
    latencies = {r.kind: r.latency.median for r in records if r.latency is not None}
    kinds = {(r.label, r.kind) for r in records} | {(e.label, e.kind) for e in expected}
    rows = []
    for label, kind in sorted(kinds, key=lambda x: _order(*x)):
        mine = [r for r in records if (r.label, r.kind) == (label, kind)]
        finished = [r for r in mine if r.status == "finished"]
        failed = sum(r.status == "failed" for r in mine)
        known = {r.seed for r in mine}
        missing = sum((e.label, e.kind) == (label, kind) and e.seed not in known for e in expected)
        difference = None
        if kind == "student" and label != BASELINE:
            difference = _paired(series.get(label, {}), baseline)
        elif kind == "teacher":
            difference = gap
        size = next((r.size for r in finished if r.size), None)
        latency = latencies.get(kind) if kind != "reference" and finished else None
        rows.append(
            Row(
                pair, label, kind, len(finished), failed, missing,
                metrics={
                    name: mean_interval(values)
                    for name in metrics
                    if (values := [v[name] for r in finished if name in (v := _values(r, split))])
                },
                difference=difference,
                gap=difference.mean / gap.mean
                if worth and gap and difference and kind == "student" else None,
                best=label == best and kind == "student",
                parameters=size.parameters if size else None,
                macs=size.macs if size else None,
                latency=latency,
                speedup=latencies["teacher"] / latency if latency and "teacher" in latencies else None,
            )
        )  # fmt: skip
    return rows


def _order(label: str, kind: str) -> tuple[int, int, str]:
    place = FIRST.index(label) if label in FIRST else len(FIRST)
    return ("teacher", "student", "reference").index(kind), place, label


def _paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Interval | None:
    """Over the seeds that both have."""
    seeds = sorted(values.keys() & baseline.keys())
    return paired_difference([values[s] for s in seeds], [baseline[s] for s in seeds]) if seeds else None


def _best(series: Mapping[str, Mapping[int, float]], sign: int) -> str | None:
    """The student that beats every other one outside the interval of their paired difference."""
    for label, values in series.items():
        differences = [_paired(values, other) for name, other in series.items() if name != label]
        if differences and all(d is not None and d.excludes_zero and sign * d.mean > 0 for d in differences):
            return label
    return None


def _notes(pair: str, records: Sequence[Record], split: str) -> list[str]:
    notes = [f"{pair}: {warning}" for record in records for warning in record.warnings]
    if split == "held_out":
        notes.append("measured on the held-out split: for choosing, not for reporting")
    students = [r for r in records if r.kind == "student"]
    if students and all(r.teachers == "shared" for r in students):
        notes.append("one teacher for all seeds: the intervals over seeds are conditional on it")
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
