"""``distillbench plot``: one chart of a results folder, for a paper."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from distillbench.bench.commands.options import console
from distillbench.common.errors import UserError, did_you_mean
from distillbench.common.paths import expanded, regular_file


class Form(StrEnum):
    svg = "svg"
    png = "png"
    csv = "csv"


def plot(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="A chart's name, or list: which there are.")],
    results: Annotated[Path, typer.Argument(parser=expanded, metavar="RESULTS", help="A results folder.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", parser=expanded, metavar="FILE", help="An .svg, .png or .csv; default: KIND.svg."
        ),
    ] = None,
) -> None:
    """One chart alone, as SVG or PNG, or its data as CSV."""
    from distillbench.bench.analysis.results import summaries
    from distillbench.bench.report import charts
    from distillbench.bench.report.page import printed
    from distillbench.common.atomic import write_atomically
    from distillbench.common.text import csv_frame, visible

    found = {chart.name: chart for chart in charts.of_results(summaries(results))}
    if kind == "list":
        for name, chart in found.items():
            console().print(f"{visible(name)}: {visible(chart.alt)}", markup=False, soft_wrap=True)
        return
    if kind not in found:
        raise UserError(f"plot: {results} has no chart {kind!r}{did_you_mean(kind, found)}")
    target = regular_file(output or Path(f"{kind}.svg"), "--output")
    form = target.suffix.lstrip(".")
    if form not in list(Form):
        raise UserError(f"--output: {target.name}: {form or 'no'} format (allowed: .svg, .png, .csv)")
    chart = found[kind]
    content = csv_frame(charts.frame(chart)).encode() if form == "csv" else printed.files(chart, [form])[form]
    try:
        write_atomically(target, content)
    except OSError as error:
        raise UserError(f"--output: {target} cannot be written ({error.strerror})") from error
    console().print(f"{target}: {len(content):,} bytes", markup=False)
