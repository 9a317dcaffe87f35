"""Timings as tables: how fast teachers and students are, each way that they were run, and what quantisation costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from distillbench.bench.analysis.series import Estimate
from distillbench.bench.analysis.speeds import BatchTimes, SpeedRow, SpeedTable
from distillbench.bench.report.formatting import (
    ABSENT,
    estimate_text,
    finite,
    heading,
    milli_text,
    ratio_text,
)
from distillbench.bench.report.table import Cell, Column, Field, Row, Table, cells, columns, words
from distillbench.bench.statistics import Ratio
from distillbench.bench.store.records import MetricValue

CAPTION = (
    "95% intervals over launches (processes); × teacher: how many times as fast as the teacher run the same way; "
    "× eager: as the student itself in eager float32; the two were timed interleaved"
)


def tables(speeds: Iterable[SpeedTable]) -> list[Table]:
    """A table for each task."""
    return [table(speed) for speed in speeds]


def table(speeds: SpeedTable) -> Table:
    """One task: a row for each network and backend; columns of which nothing is known are left out."""
    fields = _fields(speeds)
    return Table(
        title=speeds.task,
        columns=columns(fields),
        rows=tuple(Row(cells(fields, line), section=f"{line.pair} {line.network}") for line in speeds.rows),
        caption=CAPTION,
        notes=speeds.notes,
        data=tuple(_data(speeds)),
        facts={"task": speeds.task, "notes": speeds.notes},
    ).filled()


def _fields(speeds: SpeedTable) -> list[Field[SpeedRow]]:
    several = len({line.pair for line in speeds.rows}) > 1
    pair: Field[SpeedRow] = (words("pair"), lambda line: Cell(line.pair))
    return [
        *([pair] if several else []),
        (words("network"), lambda line: Cell(line.network)),
        (words("backend"), lambda line: Cell(line.condition)),
        *(field for size in speeds.batch_sizes for field in _batch_fields(size)),
        (Column(_change_title(speeds), 3), lambda line: Cell(_change(line.quality_change, speeds.metric))),
    ]


def _batch_fields(size: int) -> Iterator[Field[SpeedRow]]:
    """The columns of one batch size; a size of 1 has latencies, a larger one has rates."""
    single, suffix = size == 1, "" if size == 1 else f", batch {size}"

    def field(column: Column, text: Callable[[BatchTimes], str], absent: str = "") -> Field[SpeedRow]:
        def cell(line: SpeedRow) -> Cell:
            return Cell(text(line.batches[size]) if size in line.batches else absent)

        return column, cell

    if single:
        yield field(Column("latency (ms)", 1), lambda batch: _latency(batch.seconds), ABSENT)
        yield field(Column("p90 (ms)", 7), lambda batch: milli_text(batch.p90))
        yield field(Column("p99 (ms)", 7), lambda batch: milli_text(batch.p99))
    else:
        yield field(Column(f"examples/s{suffix}", 4), lambda batch: _rate(size, batch.seconds), ABSENT)
    yield field(Column(f"× teacher{suffix}", 2 if single else 7), lambda batch: ratio_text(batch.speedup_over_teacher))
    yield field(Column(f"× eager{suffix}", 5 if single else 7), lambda batch: ratio_text(batch.speedup_over_eager))
    yield field(Column(f"memory (MB){suffix}", 6 if single else 7), lambda batch: _megabytes(batch.memory))
    yield field(Column(f"energy (mJ/example){suffix}", 7), lambda batch: milli_text(batch.energy))


def _latency(seconds: Ratio) -> str:
    """'0.295 ± 1.2%': the half-width relative to the value."""
    return f"{milli_text(seconds.value)}{_half_width(seconds)}"


def _rate(size: int, seconds: Ratio) -> str:
    """Examples a second, '6,021 ± 1.2%', of a batch of this size."""
    rate = size / seconds.value
    return f"{f'{rate:,.0f}' if rate >= 1000 else f'{rate:.3g}'}{_half_width(seconds)}"


def _half_width(ratio: Ratio) -> str:
    if math.isnan(ratio.low):
        return ""
    percent = 50 * (ratio.high - ratio.low) / ratio.value
    return f" ± {percent:.{0 if percent >= 10 else 1}f}%"


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f}"


def _change_title(speeds: SpeedTable) -> str:
    return f"Δ {heading(speeds.quality_metric, speeds.metric)}" if speeds.metric else "Δ quality"


def _change(quality: Estimate | None, metric: MetricValue | None) -> str:
    """By how much quantisation changes the quality, with one decimal more than the metric has."""
    if quality is None or metric is None:
        return ""
    return estimate_text(quality, metric.model_copy(update={"decimals": metric.decimals + 1}), signed=True)


def _data(speeds: SpeedTable) -> Iterator[dict[str, Any]]:
    """One flat row for each network, backend and batch size, as numbers; None for what is missing."""
    for line in speeds.rows:
        for size, batch in line.batches.items():
            yield {
                "task": line.task,
                "pair": line.pair,
                "network": line.network,
                "backend": line.condition,
                "batch_size": size,
                **_ends("seconds", batch.seconds),
                "p90_seconds": batch.p90,
                "p99_seconds": batch.p99,
                **_ends("speedup_over_teacher", batch.speedup_over_teacher),
                **_ends("speedup_over_eager", batch.speedup_over_eager),
                "memory_bytes": batch.memory,
                "energy_joules_per_example": batch.energy,
                "quality": speeds.quality_metric,
                "quality_change": line.quality_change.shown.value if line.quality_change else None,
            }


def _ends(name: str, ratio: Ratio | None) -> dict[str, float | None]:
    """A ratio, and the ends of its interval."""
    values = (ratio.value, ratio.low, ratio.high) if ratio else (math.nan,) * 3
    return {key: finite(value) for key, value in zip((name, f"{name}_low", f"{name}_high"), values, strict=True)}


def overview(speeds: Iterable[SpeedTable]) -> Table:
    """The students alone, one input at a time: a row for each pair, a column for each backend."""
    speeds = list(speeds)
    backends = dict.fromkeys(line.condition for speed in speeds for line in speed.rows if line.network == "student")
    rows = []
    for speed in speeds:
        for pair in dict.fromkeys(line.pair for line in speed.rows):
            students = {line.condition: line for line in speed.rows if (line.pair, line.network) == (pair, "student")}
            texts = [f"{speed.task}, {pair}", *(_brief(students.get(backend), speed) for backend in backends)]
            rows.append(Row(tuple(map(Cell, texts))))
    # Each cell has its own units, as a sentence has.
    titles = [words("student"), *(Column(backend, align="left") for backend in backends)]
    return Table("", tuple(titles), tuple(rows))


def _brief(line: SpeedRow | None, speeds: SpeedTable) -> str:
    """'0.295 ms ± 1.2%; 2.48 [2.46, 2.50] × teacher'."""
    batch = line.batches.get(1) if line else None
    if line is None or batch is None:
        return ABSENT
    latency, _, half_width = _latency(batch.seconds).partition(" ")
    parts = [f"{latency} ms {half_width}".strip(), f"{ratio_text(batch.speedup_over_teacher)} × teacher"]
    if change := _change(line.quality_change, speeds.metric):
        unit = f" {speeds.metric.unit}" if speeds.metric and speeds.metric.unit else ""
        parts.append(f"Δ {speeds.quality_metric.replace('_', ' ')} {change}{unit}")
    return "; ".join(parts)
