"""The site of a results folder: what is written where. It opens from a file system, and asks no network."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillbench.bench.analysis.notes import DETECTABLE, machine_name, revision_name
from distillbench.bench.analysis.results import summaries as summaries_of
from distillbench.bench.analysis.summary import Summary
from distillbench.bench.report import charts
from distillbench.bench.report.charts import Chart, HeatMap
from distillbench.bench.report.page import interactive, printed
from distillbench.bench.report.page.rendering import Files, assets, renderer, script, slug
from distillbench.bench.report.suite_of_record import suite_file
from distillbench.bench.report.tables import CAPTION, heading, notes_of, text_frame
from distillbench.bench.statistics import mean_interval
from distillbench.bench.store import figures
from distillbench.bench.store.records import Record, Store
from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError
from distillbench.common.text import csv_frame

MARK = ".distillbench-page"
"""A folder that has this file may be written again."""
PREFIXES = {"k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Entry:
    """A cell of an HTML table. order: what it is sorted by, where that is not its text."""

    text: str
    header: bool = False
    order: float | None = None
    best: bool = False


def build(results: Path, out: Path) -> list[Path]:
    """Write the site; its files. UserError where there is nothing to show, or ``out`` holds something else."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise UserError(f"{out}: is not a page of distillbench (allowed: a new or empty folder, or such a page)")
    made = site(results)
    for name, content in made.items():
        write_atomically(out / name, content)
    return [out / name for name in made]


def site(results: Path) -> Files:
    """Every file of the site by its place."""
    scan = Store(results).scan()
    summaries, records = summaries_of(results, scan=scan), scan.records
    hashes = {record.config_hash for record in records}
    drawn_of = {(drawing.task, drawing.pair): drawing for drawing in figures.usable(results, hashes)}
    names = {summary.task: slug(summary.task) for summary in summaries}
    render = renderer(names, _origin(records))
    overview = charts.of_all(summaries)
    made: Files = {MARK: b"", **assets()}
    made["index.html"] = render(
        "index.html", "index", results.resolve().name, **_overview(summaries, records, overview, names)
    )
    for chart in overview:
        made |= _figure_files(chart)
    for summary in summaries:
        drawn = charts.of_task(summary)
        for chart in (chart for its in drawn.values() for chart in its):
            made |= _figure_files(chart)
        mine = [record for record in records if record.task == summary.task]
        made[f"{names[summary.task]}.html"] = render(
            "task.html",
            summary.task,
            summary.task.replace("_", " "),
            table=_table(summary),
            notes=[CAPTION, *notes_of(summary)],
            charts={pair: [_drawn(chart) for chart in its] for pair, its in drawn.items()},
            drawings={pair: drawn_of.get((summary.task, pair)) for pair in drawn},
            primary_metric=summary.primary_metric.replace("_", " "),
            cells=[_cell(record) for record in mine],
        )
    places, packed = _packed(records)
    made["cell.html"] = render("cell.html", "cell", "A cell", files=places)
    made |= packed
    for drawing in drawn_of.values():
        names_of = (f"{figures.FOLDER}/{picture.file}" for picture in drawing.figures)
        made |= {name: (results / name).read_bytes() for name in names_of}
    return made


def _origin(records: Sequence[Record]) -> str:
    machines = dict.fromkeys(machine_name(record.environment) for record in records)
    revisions = dict.fromkeys(revision_name(record.revision) for record in records)
    return f"Made at revision {', '.join(revisions)} on {'; '.join(machines)}."


def _overview(
    summaries: Sequence[Summary], records: Sequence[Record], drawn: Sequence[Chart | HeatMap], names: Mapping[str, str]
) -> dict[str, Any]:
    columns = {charts.column_name(s, pair): s.task for s in summaries for pair in charts.pairs(s)}
    rows = [(summary, row) for summary in summaries for row in summary.rows]
    lacking = [
        f"{summary.task}, {row.pair}, {row.name}: {row.failed} failed, {row.missing} missing"
        for summary, row in rows
        if row.failed or row.missing
    ]
    lacking += dict.fromkeys(f"left out: {problem}" for summary in summaries for problem in summary.problems)
    days = sorted(record.created.date().isoformat() for record in records)
    students = [record for record in records if record.kind == "student"]
    facts = {
        "tasks": ", ".join(summary.task.replace("_", " ") for summary in summaries),
        "methods": ", ".join(dict.fromkeys(record.label for record in students)),
        "seeds": ", ".join(str(seed) for seed in sorted({record.seed for record in students})),
        "records": f"{len(records)}, of {days[0]}" + (f" to {days[-1]}" if days[0] != days[-1] else ""),
    }
    return {
        "facts": facts,
        "lacking": lacking,
        "heat_maps": [chart for chart in drawn if isinstance(chart, HeatMap)],
        "links": {column: f"{names[task]}.html" for column, task in columns.items()},
        "charts": [_drawn(chart) for chart in drawn if isinstance(chart, Chart)],
        "detectable": [f"{s.task}: {note}" for s in summaries for note in s.notes if DETECTABLE in note],
    }


def _drawn(chart: Chart) -> dict[str, Any]:
    return {"chart": chart, "figure": interactive.figure(chart)}


def _figure_files(chart: Chart | HeatMap) -> Files:
    made = {**printed.files(chart), "csv": csv_frame(charts.frame(chart)).encode()}
    return {f"figures/{slug(chart.name)}.{form}": content for form, content in made.items()}


def _table(summary: Summary) -> dict[str, Any]:
    frame = text_frame(summary, lambda text: text)
    metric = summary.metrics.get(summary.primary_metric)
    best = heading(summary.primary_metric, metric) if metric else ""
    rows = [
        {
            "kind": row.kind,
            "cells": [
                Entry(text, header=column == "method", order=_order(text), best=row.best and column == best)
                for column, text in zip(frame.columns, texts, strict=True)
            ],
        }
        for row, texts in zip(summary.rows, frame.itertuples(index=False), strict=True)
    ]
    return {"caption": "Each column sorts the table", "columns": list(frame.columns), "rows": rows}


def _order(text: str) -> float | None:
    """The number that a text begins with, its prefix counted: '9.61k' is 9610."""
    found = re.match(r"[+-]?\d[\d.]*", text)
    return float(found.group()) * PREFIXES.get(text[found.end() :][:1], 1.0) if found else None


def _cell(record: Record) -> dict[str, Any]:
    value = record.metrics.get(record.primary_metric)
    return {
        "pair": record.pair,
        "label": record.label,
        "seed": "" if record.kind == "baseline" else record.seed,
        "status": record.status,
        "value": f"{value.value:.{value.decimals}f}" if value else "see",
        "place": _place(record),
    }


def _place(record: Record) -> str:
    return record.path.relative_to("records").with_suffix("").as_posix()


def _packed(records: Sequence[Record]) -> tuple[dict[str, str], Files]:
    """Records by task and pair: {'task/pair': file}, and the files."""
    groups: dict[str, dict[str, Any]] = {}
    for record in records:
        widths = {name: mean_interval(values).half_width for name, values in record.examples.items()}
        content = {
            "record": record.model_dump(mode="json"),
            "suite": suite_file(record),
            "intervals": {name: width for name, width in widths.items() if math.isfinite(width)},
        }
        groups.setdefault(f"{record.task}/{record.pair}", {})[_place(record)] = content
    names = {group: slug(group.replace("/", "--")) for group in groups}
    made = {f"data/{names[g]}.js": script(names[g], json.dumps(cells).encode()) for g, cells in groups.items()}
    return names, made
