"""``distillbench time``: how fast teachers and students are, on each backend."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import (
    Data,
    Device,
    Out,
    Settings,
    Tasks,
    chosen,
    console,
    loaded,
    names,
    numbers,
)
from distillbench.bench.store.terms import BACKENDS, PRECISIONS
from distillbench.common.errors import UserError, at_most, did_you_mean
from distillbench.common.paths import expanded, regular_file

if TYPE_CHECKING:
    from distillbench.bench.suite.cells import Pair

MOST_PROBLEMS = 20


class Format(StrEnum):
    terminal = "terminal"
    markdown = "markdown"
    csv = "csv"
    json = "json"


def time(
    what: Annotated[
        str,
        typer.Argument(metavar="SUITE|RESULTS", help="A suite, or a results folder: its students are quantised, too."),
    ],
    tasks: Tasks = None,
    backends: Annotated[
        list[str] | None, typer.Option("--backends", "--backend", metavar="NAMES", help=f"Of {', '.join(BACKENDS)}.")
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option("--precisions", "--precision", metavar="NAMES", help=f"Of {', '.join(PRECISIONS)}."),
    ] = None,
    batches: Annotated[str, typer.Option("--batch", metavar="SIZES", help="Batch sizes.")] = "1,64",
    threads: Annotated[int, typer.Option(min=1, help="Threads of a network.")] = 1,
    launches: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that each time is taken in; default: 3, and up to 9 where they vary."),
    ] = None,
    out: Out = None,
    set_: Settings = None,
    device: Device = None,
    data: Data = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            parser=expanded, metavar="PATH", help="Where teachers and exports are kept; default: in the results."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Take other machines' times again, and what could not be.")
    ] = False,
    format_: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.terminal,
    output: Annotated[
        Path | None, typer.Option(parser=expanded, metavar="FILE", help="Write to this file in place of the terminal.")
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, whether or not it fits the terminal.")] = False,
) -> None:
    """Latency, throughput, memory and speedup of teachers and students, alone on this machine; what is there is kept.

    Of a results folder whose students are finished, each is exported to ONNX and quantised, and its quality measured.
    """
    ways, exact = chosen("--backends", backends, BACKENDS), chosen("--precisions", precisions, PRECISIONS)
    sizes = numbers("--batch", [batches])
    if min(sizes) < 1:
        raise UserError("--batch: 0 is out of range (allowed: 1 and more)")
    target = regular_file(output, "--output") if output is not None else None
    if target is not None and format_ is Format.terminal:
        raise UserError("--output: needs --format (allowed: markdown, csv, json)")
    screen = console()

    def say(line: str) -> None:
        screen.print(line, markup=False, soft_wrap=True)

    with screen.status(f"{what}: reading"):
        from distillbench.bench.export import exporter
        from distillbench.bench.machine.lock import alone_on_the_machine
        from distillbench.bench.suite.file import assigned
        from distillbench.bench.timing import timer

        timer.conditions(ways, exact, sizes, threads, "cpu")  # refused before anything is written
        folder, pairs, problems = _pairs(what, tasks, out, set_, device)
        kept, locations = cache or folder / "cache", assigned(set_ or []) if expanded(what).is_dir() else {}
        under = timer.conditions(ways, exact, sizes, threads, pairs[0].device)
        forms = exporter.forms_of(under)
        students = exporter.unexported(pairs, forms, folder)
        limits = timer.LaunchLimits() if launches is None else timer.LaunchLimits(launches, launches)
        todo = timer.timing_plan(timer.targets(pairs, kept), under, limits, folder, again=overwrite)
        if todo.stale and not overwrite:
            many = f"{len(todo.stale)} of {todo.conditions + todo.finished} timings"
            raise UserError(f"{todo.stale[0]} ({many}; choose another folder with --out, or --overwrite)")
    if students or todo.missing:
        with alone_on_the_machine():
            if students:
                say(f"{len(students)} students to export and quantise")
                problems += exporter.convert(students, forms, folder, kept, locations, say)
            if todo.missing:
                say(f"{todo.conditions} conditions to time, {limits}; {todo.finished} are there")
                problems += timer.measure(todo, limits, folder, kept, say)
    mine = {(pair.task, pair.pair) for pair in pairs}
    _print(folder, mine, format_, target, None if wide or not screen.is_terminal else screen.width)
    for line in at_most(MOST_PROBLEMS, problems):
        print(f"distillbench: {line}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def _pairs(
    what: str, tasks: list[str] | None, out: Path | None, set_: list[str] | None, device: str | None
) -> tuple[Path, list[Pair], list[str]]:
    """The results folder, the pairs to time, and why some cannot be. Raises UserError where there are none."""
    from dataclasses import replace

    from distillbench.bench.run.preconditions import check_device_and_folders
    from distillbench.bench.store.records import Store
    from distillbench.bench.suite.file import assigned
    from distillbench.bench.suite.resolve import pairs as pairs_of_suite
    from distillbench.bench.timing.timer import pairs_of

    if not (expanded(what) / "records").is_dir():
        if expanded(what).is_dir():
            raise UserError(f"{what}: holds no records")
        suite = loaded(what, tasks, None, None, set_, device)
        folder = out if out is not None else Path("runs", suite.name)
        check_device_and_folders(suite, folder)
        return folder, pairs_of_suite(suite), []
    if out is not None:
        raise UserError("--out: a results folder keeps its own timings (leave it out)")
    records, wanted = Store(expanded(what)).scan().records, names("--tasks", tasks)
    for name in wanted:
        if name not in (there := {record.task for record in records}):
            raise UserError(f"--tasks: {what} has no task {name!r}{did_you_mean(name, there)}")
    mine = [record for record in records if not wanted or record.task in wanted]
    found, problems = pairs_of(mine, assigned(set_ or []))
    found = [replace(pair, device=device or pair.device) for pair in found]
    if not found:
        raise UserError(problems[0] if problems else f"{what}: holds no finished student")
    return expanded(what), found, problems


def _print(folder: Path, mine: set[tuple[str, str]], format_: Format, target: Path | None, width: int | None) -> None:
    from distillbench.bench.analysis.results import speeds as speeds_of
    from distillbench.bench.report import speeds
    from distillbench.common.atomic import write_atomically

    tables = speeds_of(folder, mine)
    if not tables:
        return
    if format_ is Format.terminal:
        console().print(speeds.terminal(tables, width), soft_wrap=width is None)
        return
    text = speeds.FORMATS[format_.value](tables)
    if target is None:
        print(text, end="")
    else:
        write_atomically(target, text.encode())
