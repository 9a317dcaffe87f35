"""``distillbench table``: the results of a folder, one table per task."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import (
    Format,
    Output,
    Results,
    Split,
    Tasks,
    Wide,
    console,
    deliver,
    named_tasks,
    output_file,
    table_width,
)
from distillbench.common.errors import at_most

if TYPE_CHECKING:
    from distillbench.bench.analysis.rows import Summary

MOST_PROBLEMS = 5
"""So many files that are left out are named on standard error."""


def table(
    results: Results,
    tasks: Tasks = None,
    format_: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = Format.terminal,
    split: Annotated[
        Split,
        typer.Option(help="Split of the metrics: test is for reporting, validation for choosing hyperparameters."),
    ] = Split.test,
    output: Output = None,
    wide: Wide = False,
) -> None:
    """Show the results as one table per task: teacher, controls, methods and baselines."""
    from distillbench.bench.report.summaries import tables
    from distillbench.bench.report.terminal import terminal
    from distillbench.bench.report.writers import FORMATS

    target = output_file(output, format_, Format)
    summaries = _summaries(results, split, tasks)
    if format_ is Format.terminal:
        screen = console()
        screen.print(terminal(tables(summaries), table_width(screen, wide)), soft_wrap=wide)
        return
    if format_ is Format.csv:  # which has no place for them
        left_out = dict.fromkeys(f"left out: {problem}" for summary in summaries for problem in summary.problems)
        for line in at_most(MOST_PROBLEMS, list(left_out)):
            print(line, file=sys.stderr)
    deliver(FORMATS[format_.value](tables(summaries)), target)


def _summaries(results: Path, split: Split, tasks: list[str] | None) -> list[Summary]:
    from distillbench.bench.analysis.results import summaries, tasks_of
    from distillbench.bench.store.documents import kept_to_the_end

    chosen = named_tasks(results, tasks, tasks_of(results)) if tasks else None
    with kept_to_the_end():
        return summaries(results, "validation" if split is Split.validation else "test", tasks=chosen)
