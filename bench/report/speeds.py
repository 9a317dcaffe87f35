"""Timings as tables: how fast teachers and students are, each way that they were run, and what quantisation costs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType

from distillbench.bench.analysis.series import Estimate
from distillbench.bench.analysis.speeds import SpeedRow, SpeedTable
from distillbench.bench.report import layout
from distillbench.bench.report.tables import ABSENT, ARROWS
from distillbench.bench.statistics import Ratio
from distillbench.bench.store.records import MetricValue

CAPTION = (
    "95% intervals over launches (processes); × teacher: how many times as fast as the teacher run the same way; "
    "× eager: as the student itself in eager float32; each was timed in turns with it"
)


def text_frame(table: SpeedTable) -> pd.DataFrame:
    """Every cell as a reader sees it; columns of which nothing is known are left out."""
    several = len({line.pair for line in table.rows}) > 1
    rows = []
    for line in table.rows:
        cells = {"pair": line.pair} if several else {}
        cells |= {"network": line.network, "backend": line.condition}
        for size in table.batch_sizes:
            batch = line.batches.get(size)
            at = "" if size == 1 else f", batch {size}"
            if size == 1:
                cells["latency (ms)"] = _milliseconds(batch.seconds) if batch else ABSENT
                cells["p90 (ms)"] = f"{1000 * batch.p90:.3g}" if batch and batch.p90 else ""
                cells["p99 (ms)"] = f"{1000 * batch.p99:.3g}" if batch and batch.p99 else ""
            else:
                cells[f"items/s{at}"] = _rate(size, batch.seconds) if batch else ABSENT
            cells[f"× teacher{at}"] = _times(batch.speedup_over_teacher if batch else None)
            cells[f"× eager{at}"] = _times(batch.speedup_over_eager if batch else None)
            cells[f"memory (MB){at}"] = f"{batch.memory / 1e6:.1f}" if batch and batch.memory is not None else ""
            cells[f"energy (mJ/item){at}"] = f"{1000 * batch.energy:.3g}" if batch and batch.energy else ""
        cells[_change(table)] = _difference(line.quality_change, table.metric)
        rows.append(cells)
    frame = pd.DataFrame(rows).fillna("")
    return frame[[column for column in frame.columns if (frame[column] != "").any()]]


def _change(table: SpeedTable) -> str:
    if table.metric is None:
        return "Δ quality"
    unit = f" ({table.metric.unit})" if table.metric.unit else ""
    return f"Δ {table.quality_metric.replace('_', ' ')} {ARROWS[table.metric.direction]}{unit}"


def _milliseconds(seconds: Ratio) -> str:
    """'0.295 ± 1.2%': the half-width relative to the value."""
    if math.isnan(seconds.low):
        return f"{1000 * seconds.value:.3g}"
    return f"{1000 * seconds.value:.3g} ± {_percent(seconds)}"


def _rate(size: int, seconds: Ratio) -> str:
    rate = size / seconds.value
    text = f"{rate:,.0f}" if rate >= 1000 else f"{rate:.3g}"
    return text if math.isnan(seconds.low) else f"{text} ± {_percent(seconds)}"


def _percent(ratio: Ratio) -> str:
    percent = 50 * (ratio.high - ratio.low) / ratio.value
    return f"{percent:.0f}%" if percent >= 10 else f"{percent:.1f}%"


def _times(ratio: Ratio | None) -> str:
    """'2.48 [2.46, 2.50]'."""
    if ratio is None:
        return ""
    digits = 2 if ratio.value < 10 else 1 if ratio.value < 100 else 0
    value = f"{ratio.value:.{digits}f}"
    return value if math.isnan(ratio.low) else f"{value} [{ratio.low:.{digits}f}, {ratio.high:.{digits}f}]"


def _difference(estimate: Estimate | None, metric: MetricValue | None) -> str:
    if estimate is None or metric is None:
        return ""
    interval, digits = estimate.interval, metric.decimals + 1
    mean = f"{interval.mean:+.{digits}f}"
    return mean if math.isnan(interval.half_width) else f"{mean} ± {interval.half_width:.{digits}f}"


def terminal(tables: Sequence[SpeedTable], width: int | None) -> Group:
    """A table a task, then its notes. width: columns of the terminal; None: show everything, however wide."""
    parts: list[RenderableType] = []
    shared = [note for note in tables[0].notes if all(note in table.notes for table in tables)]
    for table in tables:
        frame = text_frame(table)
        importance = _by_importance(frame)
        chosen = importance if width is None else layout.fitting(frame, importance, width)
        columns = [column for column in frame.columns if column in chosen]
        left_out = [column for column in frame.columns if column not in columns]
        notes = [note for note in table.notes if note not in shared]
        notes += [f"not shown: {', '.join(left_out)}; see them with --wide"] if left_out else []
        lines = table.rows
        ends = [
            i
            for i, line in enumerate(lines)
            if i + 1 == len(lines) or (lines[i + 1].pair, lines[i + 1].network) != (line.pair, line.network)
        ]
        parts += [layout.table(table.task, frame[columns], width, (), ends), layout.notes(notes)]
    return Group(*parts, layout.notes([CAPTION, *shared]))


def _by_importance(frame: pd.DataFrame) -> list[str]:
    first = ["pair", "network", "backend", "latency (ms)", "× teacher"]
    delta = [column for column in frame.columns if column.startswith("Δ")]
    rates = [column for column in frame.columns if column.startswith("items/s")]
    order = [*first, *delta, *rates, "× eager", "memory (MB)", *frame.columns]
    return list(dict.fromkeys(column for column in order if column in frame.columns))


def markdown(tables: Sequence[SpeedTable]) -> str:
    """GitHub Markdown, a section a task."""
    parts = []
    for table in tables:
        frame = text_frame(table)
        align = ["left" if column in layout.NAMES else "right" for column in frame.columns]
        parts.append(f"### {table.task}\n\n{frame.to_markdown(index=False, colalign=align, disable_numparse=True)}\n")
        parts.append("\n".join(f"- {note}" for note in (CAPTION, *table.notes)) + "\n")
    return "\n".join(parts)


def overview(tables: Sequence[SpeedTable]) -> str:
    """The students alone, one input at a time, as one Markdown table: a row a pair, a column a way."""
    ways = list(dict.fromkeys(line.condition for table in tables for line in table.rows if line.network == "student"))
    rows = []
    for table in tables:
        for pair in dict.fromkeys(line.pair for line in table.rows):
            cells = {"student": f"{table.task}, {pair}"}
            for way in ways:
                mine = [
                    line for line in table.rows if (line.pair, line.network, line.condition) == (pair, "student", way)
                ]
                cells[way] = _brief(mine[0], table) if mine else ABSENT
            rows.append(cells)
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _brief(line: SpeedRow, table: SpeedTable) -> str:
    """'0.295 ms ± 1.2%; 2.48 [2.46, 2.50] × teacher'."""
    batch = line.batches.get(1)
    if batch is None:
        return ABSENT
    latency, _, width = _milliseconds(batch.seconds).partition(" ")
    parts = [f"{latency} ms {width}".strip(), f"{_times(batch.speedup_over_teacher)} × teacher"]
    if line.quality_change is not None and table.metric is not None:
        unit = f" {table.metric.unit}" if table.metric.unit else ""
        measure = table.quality_metric.replace("_", " ")
        parts.append(f"Δ {measure} {_difference(line.quality_change, table.metric)}{unit}")
    return "; ".join(parts)


def numbers(tables: Sequence[SpeedTable]) -> list[dict[str, Any]]:
    """One flat row a network, way and batch size, as numbers; what is not there is None."""

    def ends(name: str, ratio: Ratio | None) -> dict[str, float | None]:
        values = (ratio.value, ratio.low, ratio.high) if ratio else (math.nan,) * 3
        keys = (name, f"{name}_low", f"{name}_high")
        return {key: value if math.isfinite(value) else None for key, value in zip(keys, values, strict=True)}

    return [
        {
            "task": line.task,
            "pair": line.pair,
            "network": line.network,
            "backend": line.condition,
            "batch_size": size,
            **ends("seconds", batch.seconds),
            "p90_seconds": batch.p90,
            "p99_seconds": batch.p99,
            **ends("speedup_over_teacher", batch.speedup_over_teacher),
            **ends("speedup_over_eager", batch.speedup_over_eager),
            "memory_bytes": batch.memory,
            "energy_joules_per_item": batch.energy,
            "quality": table.quality_metric,
            "quality_change": line.quality_change.interval.mean if line.quality_change else None,
        }
        for table in tables
        for line in table.rows
        for size, batch in line.batches.items()
    ]


def as_csv(tables: Sequence[SpeedTable]) -> str:
    return pd.DataFrame(numbers(tables)).to_csv(index=False, float_format="%.6g")


def as_json(tables: Sequence[SpeedTable]) -> str:
    found = [{"task": table.task, "notes": table.notes, "rows": numbers([table])} for table in tables]
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


FORMATS = {"markdown": markdown, "csv": as_csv, "json": as_json}
