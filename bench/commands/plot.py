"""``distillbench plot``: one chart of a results folder, for a paper."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from distillbench.bench.commands.options import Results, console, deliver
from distillbench.common.errors import UserError
from distillbench.common.paths import expanded, regular_file


class Form(StrEnum):
    svg = "svg"
    png = "png"
    csv = "csv"


def plot(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a chart, or 'list' to list them all.")],
    results: Results,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=expanded,
            metavar="FILE",
            help="File to write: .svg, .png or .csv. Default: NAME.svg.",
        ),
    ] = None,
) -> None:
    """Write one chart of a results folder as SVG or PNG, or its data as CSV."""
    from distillbench.bench.analysis.results import summaries
    from distillbench.bench.report.chart import frame
    from distillbench.bench.report.charts import of_results
    from distillbench.bench.report.page import printed
    from distillbench.common.text import csv_frame, visible

    charts = {chart.name: chart for chart in of_results(summaries(results))}
    if name == "list":
        for chart in charts.values():
            console().print(f"{visible(chart.name)}: {visible(chart.alt)}", markup=False, soft_wrap=True)
        return
    if name not in charts:
        raise UserError(f"{results} has no chart {name!r}", "plot", allowed=sorted(charts), name=name)
    target = regular_file(output or Path(f"{name}.svg"), "--output")
    form = target.suffix.lstrip(".")
    if form not in list(Form):
        raise UserError(
            f"{target.name}: unknown format {form!r}", "--output", allowed=[f".{suffix}" for suffix in Form]
        )
    chart = charts[name]
    content = csv_frame(frame(chart)).encode() if form == "csv" else printed.files(chart, [form])[form]
    deliver(content, target)
    console().print(f"{target}: {len(content):,} bytes", markup=False)
