"""``distillbench table``: what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import Format, Split, Tasks, console, names
from distillbench.common.errors import UserError, at_most, did_you_mean
from distillbench.common.paths import expanded, regular_file
from distillbench.common.signals import CLOSED, Stopped

if TYPE_CHECKING:
    from distillbench.bench.analysis.summary import Summary


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
    from distillbench.bench.report import tables
    from distillbench.bench.report.terminal import terminal
    from distillbench.common.atomic import write_atomically

    target = regular_file(output, "--output") if output is not None else None
    summaries = _summaries(results, split.value, names("--tasks", tasks))
    if format_ is Format.terminal:
        if target is not None:
            raise UserError("--output: needs --format (allowed: markdown, latex, csv, json)")
        screen = console()
        screen.print(terminal(summaries, None if wide or not screen.is_terminal else screen.width), soft_wrap=wide)
        return
    text = tables.FORMATS[format_.value](summaries)
    if format_ is Format.csv:  # has no place for them
        left_out = dict.fromkeys(f"left out: {problem}" for summary in summaries for problem in summary.problems)
        for line in at_most(5, list(left_out)):
            print(line, file=sys.stderr)
    if target is None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise Stopped(CLOSED) from None
        return
    try:
        write_atomically(target, text.encode())
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror})") from error


def _summaries(results: Path, split: str, tasks: list[str]) -> list[Summary]:
    from distillbench.bench.analysis.results import summaries as of_folder

    summaries = of_folder(results, "validation" if split == "validation" else "test")
    for name in tasks:
        if name not in (there := [s.task for s in summaries]):
            raise UserError(f"--tasks: {results} has no task {name!r}{did_you_mean(name, there)}")
    return [s for s in summaries if not tasks or s.task in tasks]
