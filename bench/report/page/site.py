"""The site of a results folder: which files it has. It opens from a file system and needs no network."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillbench.bench.analysis.notes import detectable_effect_notes, machine_name, revision_name
from distillbench.bench.analysis.results import summaries as summaries_of
from distillbench.bench.analysis.rows import Summary
from distillbench.bench.report import charts
from distillbench.bench.report.chart import Chart, HeatMap, frame
from distillbench.bench.report.page import interactive, printed
from distillbench.bench.report.page.rendering import Files, assets, renderer, script, slug
from distillbench.bench.report.suite_of_record import suite_file
from distillbench.bench.report.summaries import table
from distillbench.bench.statistics import mean_interval
from distillbench.bench.store import figures
from distillbench.bench.store.records import Record, Store
from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError
from distillbench.common.text import csv_frame

MARK = ".distillbench-page"
"""A folder with this file holds a site, and may be written over."""


def build(results: Path, out: Path) -> list[Path]:
    """Write the site of a results folder.

    Args:
        results: The results folder.
        out: A new or empty folder, or one that holds a site already.

    Returns:
        The files that were written.

    Raises:
        UserError: If there are no results, or ``out`` holds something else.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise UserError("is not a page of distillbench", out, allowed="a new or empty folder, or such a page")
    files = site(results)
    for name, content in files.items():
        write_atomically(out / name, content)
    return [out / name for name in files]


def site(results: Path) -> Files:
    """Every file of the site of a results folder."""
    scan = Store(results).scan()
    summaries, records = summaries_of(results, scan=scan), scan.records
    figures_of = {(f.task, f.pair): f for f in figures.usable(results, {record.config_hash for record in records})}
    names = {summary.task: slug(summary.task) for summary in summaries}
    render = renderer(names, _origin(records))
    overview = charts.of_all(summaries)
    context = _overview(summaries, records, overview, names)
    files: Files = {MARK: b"", **assets()}
    files["index.html"] = render("index.html", "index", results.resolve().name, **context)
    for chart in overview:
        files |= _chart_files(chart)
    for summary in summaries:
        task_charts = charts.of_task(summary)
        for chart in (chart for pair_charts in task_charts.values() for chart in pair_charts):
            files |= _chart_files(chart)
        context = _task(summary, records, task_charts, figures_of)
        title = summary.task.replace("_", " ")
        files[f"{names[summary.task]}.html"] = render("task.html", summary.task, title, **context)
    places, packed = _packed(records)
    files["cell.html"] = render("cell.html", "cell", "A cell", files=places)
    images = (f"{figures.FOLDER}/{image.file}" for group in figures_of.values() for image in group.figures)
    return files | packed | {name: (results / name).read_bytes() for name in images}


def _task(
    summary: Summary,
    records: Sequence[Record],
    task_charts: Mapping[str, Sequence[Chart]],
    figures_of: Mapping[tuple[str, str], Any],
) -> dict[str, Any]:
    """What task.html shows."""
    results = table(summary)
    return {
        "table": results,
        "notes": [results.caption.format(best="bold"), *results.notes],
        "charts": {pair: [_interactive(chart) for chart in pair_charts] for pair, pair_charts in task_charts.items()},
        "figures": {pair: figures_of.get((summary.task, pair)) for pair in task_charts},
        "primary_metric": summary.primary_metric.replace("_", " "),
        "cells": [_cell(record) for record in records if record.task == summary.task],
    }


def _origin(records: Sequence[Record]) -> str:
    machines = dict.fromkeys(machine_name(record.environment) for record in records)
    revisions = dict.fromkeys(revision_name(record.revision) for record in records)
    return f"Made at revision {', '.join(revisions)} on {'; '.join(machines)}."


def _overview(
    summaries: Sequence[Summary],
    records: Sequence[Record],
    overview: Sequence[Chart | HeatMap],
    names: Mapping[str, str],
) -> dict[str, Any]:
    """What index.html shows."""
    columns = {charts.column_name(s, pair): s.task for s in summaries for pair in s.pairs}
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
        "methods": ", ".join(dict.fromkeys(record.label for record in students if not record.control)),
        "controls": ", ".join(dict.fromkeys(record.label for record in students if record.control)),
        "seeds": ", ".join(str(seed) for seed in sorted({record.seed for record in students})),
        "records": f"{len(records)}, of {days[0]}" + (f" to {days[-1]}" if days[0] != days[-1] else ""),
    }
    return {
        "facts": facts,
        "lacking": lacking,
        "heat_maps": [chart for chart in overview if isinstance(chart, HeatMap)],
        "links": {column: f"{names[task]}.html" for column, task in columns.items()},
        "charts": [_interactive(chart) for chart in overview if isinstance(chart, Chart)],
        "detectable": [f"{summary.task}: {note}" for summary in summaries for note in detectable_effect_notes(summary)],
    }


def _interactive(chart: Chart) -> dict[str, Any]:
    return {"chart": chart, "figure": interactive.figure(chart)}


def _chart_files(chart: Chart | HeatMap) -> Files:
    contents = {**printed.files(chart), "csv": csv_frame(frame(chart)).encode()}
    return {f"figures/{slug(chart.name)}.{form}": content for form, content in contents.items()}


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
    """The records as scripts, one for each task and pair: {'task/pair': script}, and the scripts."""
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
    files = {f"data/{names[g]}.js": script(names[g], json.dumps(cells).encode()) for g, cells in groups.items()}
    return names, files
