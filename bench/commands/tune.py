"""``distillbench tune``: choose hyperparameters, with the same budget for every method."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import (
    Address,
    Data,
    Device,
    Executor,
    GpusPerJob,
    JobHours,
    JobMemory,
    Methods,
    Settings,
    SuiteName,
    Tasks,
    Workers,
    console,
    execution_of,
    loaded,
    numbers,
    table_width,
)
from distillbench.common.errors import UserError
from distillbench.common.paths import expanded, regular_file, results_folder

if TYPE_CHECKING:
    from distillbench.bench.run.plan import Plan
    from distillbench.bench.store.records import Record
    from distillbench.bench.suite.cells import Cell


SPOT_CHECK = "spot-check"
"""Folder of the trials that are made again, in that of the trials."""


class Format(StrEnum):
    terminal = "terminal"
    markdown = "markdown"


def tune(
    suite: SuiteName,
    tasks: Tasks = None,
    methods: Methods = None,
    trials: Annotated[
        int, typer.Option(help="Number of trials of each method on each pair; the first is the default.")
    ] = 8,
    seeds: Annotated[
        str, typer.Option(metavar="SEEDS", help="Seeds of all trials, by which the best is picked.")
    ] = "100,101",
    confirm: Annotated[
        str, typer.Option(metavar="SEEDS", help="Seeds with which the best is compared with the default and scratch.")
    ] = "102-106",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", parser=results_folder, metavar="DIR", help="Folder of the trials. Default: runs/SUITE.tune."
        ),
    ] = None,
    set_: Settings = None,
    device: Device = None,
    data: Data = None,
    workers: Workers = None,
    executor: Executor = "local",
    address: Address = None,
    gpus_per_job: GpusPerJob = 1.0,
    job_hours: JobHours = None,
    job_memory: JobMemory = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            parser=expanded, metavar="DIR", help="Folder that keeps trained teachers. Default: runs/SUITE/cache."
        ),
    ] = None,
    spot_check: Annotated[
        bool,
        typer.Option(
            "--spot-check",
            help="After an edit of code: make a trial of each method again; if none comes out otherwise, all count.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace trials that were made with another configuration.")
    ] = False,
    format_: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = Format.terminal,
    output: Annotated[
        Path | None,
        typer.Option(
            parser=expanded,
            metavar="FILE",
            help="File for the chosen values. Default: SUITE.tuned.toml in the folder of the trials.",
        ),
    ] = None,
) -> None:
    """Choose hyperparameters on the validation split, with the same number of trials for every method and control.

    A suite includes the file of the chosen values by its key "tuned". Every trial is in trials.csv.
    """
    screen = console()
    with screen.status(f"{suite}: reading"):
        from distillbench.bench.report.terminal import terminal
        from distillbench.bench.report.trials import FILE, origin, pair_tables, table
        from distillbench.bench.report.writers import csv, markdown
        from distillbench.bench.run import runner
        from distillbench.bench.run.plan import plan
        from distillbench.bench.run.preconditions import check_device_and_folders
        from distillbench.bench.run.progress import ProgressDisplay, summary_line
        from distillbench.bench.run.trials import Budget
        from distillbench.bench.run.tune import as_toml, decisions, expected, spot_checked
        from distillbench.bench.store.records import Store
        from distillbench.common.atomic import write_atomically

        execution = execution_of(executor, workers, address, gpus_per_job, job_hours, job_memory)
        budget = Budget(trials, tuple(numbers("--seeds", [seeds])), tuple(numbers("--confirm", [confirm])))
        resolved = loaded(suite, tasks, methods, None, set_, device, tuned=False)
        folder = out if out is not None else Path("runs", f"{resolved.name}.tune")
        kept = cache if cache is not None else Path("runs", resolved.name, "cache")
        target = regular_file(output or folder / f"{resolved.name}.tuned.toml", "--output")

    def announce(whole: Plan, again: bool) -> None:
        if whole.to_do:
            check_device_and_folders(resolved, folder, kept, execution.elsewhere)
        screen.print(summary_line(whole, execution, again), markup=False, soft_wrap=True)

    def run(cells: Sequence[Cell], where: Path = folder, again: bool = overwrite) -> Plan:
        with ProgressDisplay(screen) as display:
            return runner.run(plan(resolved, where, kept, cells), execution, again, display)

    def made_again(cells: Sequence[Cell]) -> Sequence[Record]:
        store = Store(folder / SPOT_CHECK)
        announce(plan(resolved, store.root, kept, cells), True)
        run(cells, store.root, True)
        return [store.read(store.root / cell.path) for cell in cells]

    if spot_check:
        outcome = spot_checked(resolved, folder, budget, made_again)
    else:
        announce(plan(resolved, folder, kept, expected(resolved, folder, budget)), overwrite)
        outcome = decisions(resolved, folder, budget, run)
    document = table(outcome, budget)
    try:
        write_atomically(
            target, as_toml(outcome, origin(resolved.name, budget, outcome if spot_check else ())).encode()
        )
        write_atomically(folder / "trials.md", markdown([document]).encode())
        write_atomically(folder / FILE, csv([document]).encode())
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", error.filename or target) from error
    if format_ is Format.markdown:
        screen.print(markdown([document]), markup=False, soft_wrap=True)
    else:
        screen.print(terminal(pair_tables(outcome, budget), table_width(screen), f"see {folder / 'trials.md'}"))
    screen.print(f"chosen: {target}; each trial: distillbench table {folder} --split validation", soft_wrap=True)
    if any(decision.best is None for decision in outcome):
        raise typer.Exit(1)
