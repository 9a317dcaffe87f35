"""Timings as numbers: how fast teachers and students are, each way they were run, and what quantisation costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distillbench.bench.analysis.series import Estimate, Series
from distillbench.bench.machine.processor import description, same_processor
from distillbench.bench.statistics import Ratio
from distillbench.bench.store.exports import Export
from distillbench.bench.store.records import MetricValue, Record
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
    network: str
    """'teacher' or 'student'."""
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
    """A table a task, by name. records, exports: of the students, for what quantisation costs."""
    timings, records, exports = list(timings), list(records), list(exports)
    found = []
    for task in sorted({timing.task for timing in timings}):
        mine = [timing for timing in timings if timing.task == task]
        its = [record for record in records if record.task == task and record.kind == "student"]
        made = [export for export in exports if export.task == task]
        measure = _measure(its, made)
        metric = next((record.metrics[measure] for record in its if measure in record.metrics), None)
        sizes = tuple(sorted({timing.condition.batch_size for timing in mine}))
        lines: list[SpeedRow] = []
        for pair in sorted({timing.pair for timing in mine}):
            timed = [t for t in mine if t.pair == pair]
            students, converted = [r for r in its if r.pair == pair], [e for e in made if e.pair == pair]
            lines += _lines(task, pair, measure, timed, students, converted)
        notes = _notes(mine, lines)  # of ways, too, that nothing could be timed in, and that have no line
        timed_lines = [line for line in lines if line.batches]
        found.append(SpeedTable(task, tuple(timed_lines), sizes, measure, metric, notes))
    return found


def _measure(records: Sequence[Record], exports: Sequence[Export]) -> str:
    """The primary metric, or the first that looks at what is deployed; of a VAE it is not the ELBO."""
    names = list(dict.fromkeys(name for record in records for name in (record.primary_metric, *record.metrics)))
    known = {name for export in exports for artefact in export.artefacts.values() for name in artefact.metrics}
    return next((name for name in names if name in known), names[0] if names else "")


def _lines(
    task: str,
    pair: str,
    measure: str,
    timings: Sequence[Timing],
    records: Sequence[Record],
    exports: Sequence[Export],
) -> list[SpeedRow]:
    ways: dict[str, list[Timing]] = {}
    for timing in sorted(timings, key=lambda t: _order(t.condition)):
        ways.setdefault(timing.condition.way + timing.condition.resources, []).append(timing)
    lines = []
    for network in ("teacher", "student"):
        for name, mine in ways.items():
            precision = mine[0].condition.precision
            notes = list(dict.fromkeys(f"{name}: n/a, {t.unavailable}" for t in mine if t.unavailable is not None))
            quality = None
            if network == "student" and "int8" in precision:
                beside = [e for e in exports if same_processor(e.environment, mine[0].environment)]
                quality, why = _quality(precision, measure, records, beside)
                why = OTHER_PROCESSOR if why and exports and not beside else why
                notes += [f"{pair}: {name}: no change of quality, {why}"] if why else []
            batches = {t.condition.batch_size: _batch(t, network) for t in mine if t.unavailable is None}
            lines.append(SpeedRow(task, pair, network, name, batches, quality, tuple(notes)))
    return lines


def _order(condition: Condition) -> tuple[str, int, bool, str, int]:
    return condition.device, condition.threads, condition.backend != "eager", condition.way, condition.batch_size


def _batch(timing: Timing, network: str) -> BatchTimes:
    subject: Any = network
    seconds = timing.times(subject)
    assert seconds is not None
    student = network == "student"
    return BatchTimes(
        seconds,
        timing.percentile(subject, 90),
        timing.percentile(subject, 99),
        timing.speedup("teacher") if student else None,
        timing.speedup("eager") if student else None,
        timing.memory.get(subject),
        timing.energy.get(subject),
    )


def _quality(
    form: str, measure: str, records: Sequence[Record], exports: Sequence[Export]
) -> tuple[Estimate | None, str]:
    """The metric of the quantised students less that of the same in float32, and why there is none.

    A seed's value is the mean over all methods: their students start alike and are not independent.
    """
    known = {(record.label, record.seed): record for record in records if record.status == "finished"}
    values: dict[int, list[Any]] = {}
    reasons: list[str] = []
    names: set[tuple[str, ...]] = set()
    for export in exports:
        record, artefact = known.get((export.label, export.seed)), export.artefacts.get(form)  # type: ignore[call-overload]
        if record is None or artefact is None or not export.is_of(record):
            continue
        if measure not in artefact.metrics or measure not in record.metrics:
            reasons.append(artefact.failure or artefact.unmeasured or f"{measure} was not measured")
            continue
        if measure in artefact.examples and measure in record.examples:
            names.add(record.example_names)
            difference = np.subtract(artefact.examples[measure], record.examples[measure])
        else:
            names.add(())
            difference = np.array([artefact.metrics[measure] - record.metrics[measure].value])
        values.setdefault(record.seed, []).append(difference)
    if not values:
        return None, reasons[0] if reasons else "no student was exported so"
    if len(names) != 1:
        return None, "the students were not evaluated on the same examples"
    seeds = tuple(sorted(values))
    matrix = np.array([np.mean(values[seed], axis=0) for seed in seeds])
    examples = next(iter(names))
    means = tuple(float(row.mean()) for row in matrix)
    return Series(seeds, means, examples, matrix if examples else None).estimate(), ""


def _notes(timings: Sequence[Timing], lines: Sequence[SpeedRow]) -> tuple[str, ...]:
    notes = [note for line in lines for note in line.notes]
    timed = [timing for timing in timings if timing.launches]
    if timed:
        launches = sorted({len(timing.launches) for timing in timed})
        pairs = min(len(launch.seconds["student"]) for timing in timed for launch in timing.launches)
        count = f"{launches[0]}" if len(launches) == 1 else f"{launches[0]} to {launches[-1]}"
        notes.append(f"{count} launch{'es' * (count != '1')} of at least {pairs} pairs")
    machines = dict.fromkeys(
        f"{t.environment.get('gpu') or description(t.environment)}, {t.condition.threads} thread"
        + "s" * (t.condition.threads > 1)
        for t in timings
    )
    notes.append(f"timed on {'; '.join(machines)}")
    said: dict[str, dict[str, None]] = {}
    for note in (note for timing in timings for note in timing.notes):
        said.setdefault(note.partition(":")[0], {})[note] = None
    for kind in said.values():
        first, *more = kind
        notes.append(f"while it was timed: {first}" + (f", and {len(more)} times more" if more else ""))
    return tuple(dict.fromkeys(notes))
