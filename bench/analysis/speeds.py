"""Timings as numbers: how fast teachers and students are, each way they were run, and what quantisation costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distillbench.bench.analysis.series import Estimate, Series, on_scale
from distillbench.bench.machine.processor import description, same_processor
from distillbench.bench.statistics import Ratio
from distillbench.bench.store.exports import Artefact, Export
from distillbench.bench.store.records import MetricValue, Record, comparable
from distillbench.bench.store.terms import Compared, Precision
from distillbench.bench.store.timings import Condition, Timing


@dataclass(frozen=True)
class BatchTimes:
    """How fast a network is on batches of one size."""

    seconds: Ratio
    """Of one call with the whole batch; the geometric mean over launches."""
    p90: float | None
    """The 90th percentile of the seconds of a call; None with too few samples."""
    p99: float | None
    """The 99th percentile of the seconds of a call; None with too few samples."""
    speedup_over_teacher: Ratio | None
    """How many times as fast as the teacher under the same condition; None for the teacher."""
    speedup_over_eager: Ratio | None
    """How many times as fast as the same student in eager float32; None for the teacher and for that condition."""
    memory: int | None
    """Bytes by which the peak of a fresh process grows."""
    energy: float | None
    """Joules an example."""


@dataclass(frozen=True)
class SpeedRow:
    """One network under one condition."""

    task: str
    pair: str
    network: Literal["teacher", "student"]
    condition: str
    """'onnxruntime int8-static, 4 threads': all but the batch size."""
    batches: Mapping[int, BatchTimes]
    """By batch size."""
    quality_change: Estimate | None = None
    """By how much a metric changes for a quantised student; None for others."""
    notes: tuple[str, ...] = ()
    """Why something is missing."""


@dataclass(frozen=True)
class SpeedTable:
    """The times of one task."""

    task: str
    rows: tuple[SpeedRow, ...]
    batch_sizes: tuple[int, ...]
    quality_metric: str = ""
    """The name of the metric that changes of quality are measured by; '' without records."""
    metric: MetricValue | None = None
    """A value of that metric, for its direction, unit and decimals."""
    notes: tuple[str, ...] = ()
    """What a reader must know."""


OTHER_PROCESSOR = "they were quantised on another processor than this was timed on"


def tabulate_timings(
    timings: Iterable[Timing], records: Iterable[Record] = (), exports: Iterable[Export] = ()
) -> list[SpeedTable]:
    """Return a table of times for each task, by name.

    Args:
        timings: Of any tasks.
        records: Of the students, for what quantisation costs.
        exports: Of the students, for what quantisation costs.
    """
    timings, exports = list(timings), list(exports)
    students = [record for record in records if record.kind == "student"]
    return [
        _table(
            task,
            [timing for timing in timings if timing.task == task],
            [record for record in students if record.task == task],
            [export for export in exports if export.task == task],
        )
        for task in sorted({timing.task for timing in timings})
    ]


def _table(task: str, timings: Sequence[Timing], students: Sequence[Record], exports: Sequence[Export]) -> SpeedTable:
    name = _quality_metric(students, exports)
    rows: list[SpeedRow] = []
    for pair in sorted({timing.pair for timing in timings}):
        records, exported = [r for r in students if r.pair == pair], [e for e in exports if e.pair == pair]
        rows += _rows([timing for timing in timings if timing.pair == pair], name, records, exported)
    return SpeedTable(
        task,
        tuple(row for row in rows if row.batches),
        batch_sizes=tuple(sorted({timing.condition.batch_size for timing in timings})),
        quality_metric=name,
        metric=next((record.metrics[name] for record in students if name in record.metrics), None),
        notes=_notes(timings, rows),  # of conditions, too, that nothing could be timed under, and that have no row
    )


def _quality_metric(records: Sequence[Record], exports: Sequence[Export]) -> str:
    """The primary metric, or the first that looks at what is deployed; of a VAE it is not the ELBO."""
    names = list(dict.fromkeys(name for record in records for name in (record.primary_metric, *record.metrics)))
    deployed = {name for export in exports for artefact in export.artefacts.values() for name in artefact.metrics}
    return next((name for name in names if name in deployed), names[0] if names else "")


def _rows(
    timings: Sequence[Timing], metric: str, records: Sequence[Record], exports: Sequence[Export]
) -> Iterator[SpeedRow]:
    """The rows of one pair: the teacher's, then the student's."""
    conditions: dict[str, list[Timing]] = {}
    for timing in sorted(timings, key=lambda t: _order(t.condition)):
        conditions.setdefault(timing.condition.way + timing.condition.resources, []).append(timing)
    for name, members in conditions.items():
        yield _row("teacher", name, members)
    for name, members in conditions.items():
        row = _row("student", name, members)
        quantised = "int8" in members[0].condition.precision
        yield _with_quality(row, members[0], metric, records, exports) if quantised else row


def _order(condition: Condition) -> tuple[str, int, bool, str, int]:
    return condition.device, condition.threads, condition.backend != "eager", condition.way, condition.batch_size


def _row(network: Literal["teacher", "student"], name: str, timings: Sequence[Timing]) -> SpeedRow:
    """The row of one network under one condition, whose timings differ in the batch size."""
    first = timings[0]
    notes = dict.fromkeys(f"{name}: n/a, {t.unavailable}" for t in timings if t.unavailable is not None)
    batches = {t.condition.batch_size: _batch_times(t, network) for t in timings if t.unavailable is None}
    return SpeedRow(first.task, first.pair, network, name, batches, notes=tuple(notes))


def _batch_times(timing: Timing, network: Literal["teacher", "student"]) -> BatchTimes:
    seconds = timing.times(network)
    assert seconds is not None  # a timing that is available has both networks
    student = network == "student"
    return BatchTimes(
        seconds,
        timing.percentile(network, 90),
        timing.percentile(network, 99),
        timing.speedup("teacher") if student else None,
        timing.speedup("eager") if student else None,
        timing.memory.get(network),
        timing.energy.get(network),
    )


def _with_quality(
    row: SpeedRow, timing: Timing, metric: str, records: Sequence[Record], exports: Sequence[Export]
) -> SpeedRow:
    """A quantised student's row with the change of quality, or a note why there is none."""
    same = [export for export in exports if same_processor(export.environment, timing.environment)]
    change, reason = _quality_change(timing.condition.precision, metric, records, same)
    if not reason:
        return replace(row, quality_change=change)
    reason = OTHER_PROCESSOR if exports and not same else reason
    return replace(row, notes=(*row.notes, f"{row.pair}: {row.condition}: no change of quality, {reason}"))


def _quality_change(
    precision: Precision, metric: str, records: Sequence[Record], exports: Sequence[Export]
) -> tuple[Estimate | None, str]:
    """The metric of the quantised students less that of the same in float32, and why there is none.

    A seed's value is the mean over all methods: their students start alike and are not independent.
    """
    changes, reasons = _student_changes(precision, metric, records, exports)
    if not changes:
        return None, reasons[0] if reasons else "no student was exported so"
    example_names = {change.example_names for change in changes}
    if len(example_names) != 1:
        return None, "the students were not evaluated on the same examples"
    seeds, compared = tuple(sorted({change.seed for change in changes})), changes[0].compared
    matrix = np.array([np.mean([c.values for c in changes if c.seed == seed], axis=0) for seed in seeds])
    means, names = tuple(float(row.mean()) for row in matrix), example_names.pop()
    return Series(seeds, means, names, matrix if names else None, compared).estimate(), ""


@dataclass(frozen=True)
class _Change:
    """The quantised student minus the same in float32, of one record."""

    seed: int
    example_names: tuple[str, ...]
    """Empty without per-example results."""
    values: NDArray[np.float64]
    """(examples,), or (1,) without per-example results; of logarithms where the metric is compared as a ratio."""
    compared: Compared = "difference"


def _student_changes(
    precision: Precision, metric: str, records: Sequence[Record], exports: Sequence[Export]
) -> tuple[list[_Change], list[str]]:
    """The changes of the students, and why others have none."""
    finished = {(record.label, record.seed): record for record in records if record.status == "finished"}
    changes, reasons = [], []
    for export in exports:
        record, artefact = finished.get((export.label, export.seed)), export.artefacts.get(precision)  # type: ignore[arg-type]
        if record is None or artefact is None or not export.is_of(record):
            continue
        if metric not in artefact.metrics or metric not in record.metrics:
            reasons.append(artefact.failure or artefact.unmeasured or f"{metric} was not measured")
        elif not comparable(artefact.metrics[metric], record.metrics[metric].compared):
            reasons.append(f"{metric} is {artefact.metrics[metric]:.3g}, which has no logarithm")
        else:
            changes.append(_change(metric, record, artefact))
    return changes, reasons


def _change(metric: str, record: Record, artefact: Artefact) -> _Change:
    if metric in artefact.examples and metric in record.examples:
        values = np.subtract(artefact.examples[metric], record.examples[metric])
        return _Change(record.seed, record.example_names, values)
    compared = record.metrics[metric].compared
    after, before = on_scale((artefact.metrics[metric], record.metrics[metric].value), compared)
    return _Change(record.seed, (), np.array([after - before]), compared)


def _notes(timings: Sequence[Timing], rows: Sequence[SpeedRow]) -> tuple[str, ...]:
    notes = [note for row in rows for note in row.notes]
    notes += _launch_notes([timing for timing in timings if timing.launches])
    processors = dict.fromkeys(f"{_processor(t)}, {_count(t.condition.threads, 'thread')}" for t in timings)
    notes.append(f"timed on {'; '.join(processors)}")
    return tuple(dict.fromkeys((*notes, *_disturbances(timings))))


def _launch_notes(timed: Sequence[Timing]) -> list[str]:
    """In how many launches, and pairs of each, the times were taken."""
    if not timed:
        return []
    launches = sorted({len(timing.launches) for timing in timed})
    pairs = min(len(launch.seconds["student"]) for timing in timed for launch in timing.launches)
    count = f"{launches[0]}" if len(launches) == 1 else f"{launches[0]} to {launches[-1]}"
    return [f"{count} launch{'es' * (count != '1')} of at least {pairs} pairs"]


def _processor(timing: Timing) -> str:
    return timing.environment.get("gpu") or description(timing.environment)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number > 1)


def _disturbances(timings: Sequence[Timing]) -> Iterator[str]:
    """What the machine reported meanwhile, once for each kind, which stands before the note's colon."""
    kinds: dict[str, dict[str, None]] = {}
    for note in (note for timing in timings for note in timing.notes):
        kinds.setdefault(note.partition(":")[0], {})[note] = None
    for first, *more in kinds.values():
        yield f"while it was timed: {first}" + (f", and {len(more)} times more" if more else "")
