"""``distillbench table``: what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import (
    Format,
    Split,
    Tasks,
    columns,
    console,
    deliver,
    names,
    output_file,
)
from distillbench.common.errors import UserError, at_most, did_you_mean
from distillbench.common.paths import expanded

if TYPE_CHECKING:
    from distillbench.bench.analysis.summary import Summary

MOST_PROBLEMS = 5
"""So many files that are left out are named on standard error."""


def table(
    results: Annotated[Path, typer.Argument(parser=expanded, metavar="RESULTS", help="A results folder.")],
    tasks: Tasks = None,
    format_: Annotated[Format, typer.Option("--format", "-f", help="How to write it.")] = Format.terminal,
    split: Annotated[Split, typer.Option(help="test to report; validation to choose hyperparameters by.")] = Split.test,
    output: Annotated[
        Path | None, typer.Option(parser=expanded, metavar="FILE", help="Write to this file in place of the terminal.")
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, whether or not it fits the terminal.")] = False,
) -> None:
    """A comparison table a task: teacher, controls, methods, baselines."""
    from distillbench.bench.report.summaries import tables
    from distillbench.bench.report.terminal import terminal
    from distillbench.bench.report.writers import FORMATS

    target = output_file(output, format_, Format)
    summaries = _summaries(results, split.value, names("--tasks", tasks))
    if format_ is Format.terminal:
        screen = console()
        screen.print(terminal(tables(summaries), columns(screen, wide)), soft_wrap=wide)
        return
    if format_ is Format.csv:  # which has no place for them
        left_out = dict.fromkeys(f"left out: {problem}" for summary in summaries for problem in summary.problems)
        for line in at_most(MOST_PROBLEMS, list(left_out)):
            print(line, file=sys.stderr)
    deliver(FORMATS[format_.value](tables(summaries)), target)


def _summaries(results: Path, split: str, tasks: list[str]) -> list[Summary]:
    from distillbench.bench.analysis.results import summaries as of_folder

    summaries = of_folder(results, "validation" if split == "validation" else "test")
    for name in tasks:
        if name not in (there := [s.task for s in summaries]):
            raise UserError(f"--tasks: {results} has no task {name!r}{did_you_mean(name, there)}")
    return [s for s in summaries if not tasks or s.task in tasks]
