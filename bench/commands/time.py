"""``distillbench time``: how fast teachers and students are, on each backend."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import (
    Address,
    Cache,
    Data,
    Device,
    Executor,
    Out,
    Output,
    Settings,
    Tasks,
    Wide,
    chosen,
    console,
    deliver,
    execution_of,
    loaded,
    named_tasks,
    numbers,
    output_file,
    table_width,
)
from distillbench.bench.store.terms import BACKENDS, PRECISIONS
from distillbench.common.errors import UserError, at_most
from distillbench.common.paths import expanded

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
        typer.Argument(
            metavar="SUITE|RESULTS", help="A suite, or a results folder, whose students are quantised, too."
        ),
    ],
    tasks: Tasks = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "--backends", "--backend", metavar="NAMES", help=f"Backends to time: {', '.join(BACKENDS)}. Default: all."
        ),
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option(
            "--precisions",
            "--precision",
            metavar="NAMES",
            help=f"Precisions to time: {', '.join(PRECISIONS)}. Default: all.",
        ),
    ] = None,
    batches: Annotated[str, typer.Option("--batch", metavar="SIZES", help="Batch sizes, e.g. 1,64.")] = "1,64",
    threads: Annotated[int, typer.Option(min=1, help="Number of threads that a network runs on.")] = 1,
    launches: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of processes in which each time is measured. Default: 3, or up to 9 where the times vary.",
        ),
    ] = None,
    out: Out = None,
    set_: Settings = None,
    device: Device = None,
    data: Data = None,
    executor: Executor = "local",
    address: Address = None,
    cache: Cache = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Measure again what another machine timed and what could not be timed.")
    ] = False,
    format_: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = Format.terminal,
    output: Output = None,
    wide: Wide = False,
) -> None:
    """Measure latency, throughput, memory and speedup of teachers and students, alone on this machine.

    Finished timings are kept. The finished students of a results folder are also exported to ONNX and quantised, and
    the quality of the quantised ones is measured.
    """
    backend_names, precision_names = (
        chosen("--backends", backends, BACKENDS),
        chosen("--precisions", precisions, PRECISIONS),
    )
    sizes = numbers("--batch", [batches], "batch size")
    if min(sizes) < 1:
        raise UserError("invalid batch size 0", "--batch", allowed="1 and more")
    target = output_file(output, format_, Format)
    execution = execution_of(executor, None, address)
    screen = console()

    def say(line: str) -> None:
        screen.print(line, markup=False, soft_wrap=True)

    with screen.status(f"{what}: reading"):
        from distillbench.bench.export import exporter
        from distillbench.bench.machine.lock import alone_on_the_machine
        from distillbench.bench.suite.file import assigned
        from distillbench.bench.timing import timer

        timer.conditions(backend_names, precision_names, sizes, threads, "cpu")  # refused before anything is written
        folder, pairs, problems = _pairs(what, tasks, out, set_, device, execution.elsewhere)
        kept, locations = cache or folder / "cache", assigned(set_ or []) if expanded(what).is_dir() else {}
        conditions = timer.conditions(backend_names, precision_names, sizes, threads, pairs[0].device)
        forms = exporter.forms_of(conditions)
        students = exporter.unexported(pairs, forms, folder)
        limits = timer.LaunchLimits() if launches is None else timer.LaunchLimits(launches, launches)
        targets = timer.targets(pairs, kept)
        todo = timer.timing_plan([] if execution.elsewhere else targets, conditions, limits, folder, again=overwrite)
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
    if execution.elsewhere:
        from distillbench.bench.timing import node_timing

        places = tuple(timer.places(targets, conditions))
        say(f"{len(places)} condition{'s' * (len(places) > 1)}, {limits}, on one node that does nothing else")
        job = node_timing.NodeTiming(tuple(pairs), tuple(conditions), limits, folder, kept, overwrite, places)
        problems += node_timing.measure(job, address, 0.0 if pairs[0].device == "cpu" else 1.0, say)
    timed = {(pair.task, pair.pair) for pair in pairs}
    _print(folder, timed, format_, target, table_width(screen, wide))
    for line in at_most(MOST_PROBLEMS, problems):
        print(f"distillbench: {line}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def _pairs(
    what: str,
    tasks: list[str] | None,
    out: Path | None,
    set_: list[str] | None,
    device: str | None,
    elsewhere: bool,
) -> tuple[Path, list[Pair], list[str]]:
    """The results folder, the pairs to time, and why some cannot be timed. Raises UserError if there are none."""
    from dataclasses import replace

    from distillbench.bench.run.preconditions import check_device_and_folders
    from distillbench.bench.store.records import Store
    from distillbench.bench.suite.file import assigned
    from distillbench.bench.timing.timer import pairs_of

    if not (expanded(what) / "records").is_dir():
        if expanded(what).is_dir():
            raise UserError("holds no records", what)
        suite = loaded(what, tasks, None, None, set_, device)
        folder = out if out is not None else Path("runs", suite.name)
        check_device_and_folders(suite, folder, elsewhere=elsewhere)
        return folder, list(suite.pairs), []
    if out is not None:
        raise UserError("a results folder keeps its own timings (leave it out)", "--out")
    records = Store(expanded(what)).scan().records
    selected = named_tasks(Path(what), tasks, (record.task for record in records))
    records = [record for record in records if not selected or record.task in selected]
    pairs, problems = pairs_of(records, assigned(set_ or []))
    if not pairs:
        raise UserError(problems[0]) if problems else UserError("holds no finished student", what)
    return expanded(what), [replace(pair, device=device or pair.device) for pair in pairs], problems


def _print(folder: Path, timed: set[tuple[str, str]], format_: Format, target: Path | None, width: int | None) -> None:
    from distillbench.bench.analysis.results import speed_tables
    from distillbench.bench.report.speeds import tables
    from distillbench.bench.report.terminal import terminal
    from distillbench.bench.report.writers import FORMATS

    timed_tables = tables(speed_tables(folder, timed))
    if timed_tables and format_ is Format.terminal:
        console().print(terminal(timed_tables, width), soft_wrap=width is None)
    elif timed_tables:
        deliver(FORMATS[format_.value](timed_tables), target)
