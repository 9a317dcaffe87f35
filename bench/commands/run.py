"""``distillbench run``: run the cells of a suite that are not finished."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from distillbench.bench.commands.options import (
    Address,
    Cache,
    Data,
    Device,
    Executor,
    GpusPerJob,
    JobHours,
    JobMemory,
    Methods,
    Out,
    Seeds,
    Settings,
    SuiteName,
    Tasks,
    Workers,
    console,
    execution_of,
    loaded,
)
from distillbench.common.errors import UserError, at_most


def run(
    suite: SuiteName,
    tasks: Tasks = None,
    methods: Methods = None,
    seeds: Seeds = None,
    out: Out = None,
    set_: Settings = None,
    device: Device = None,
    data: Data = None,
    workers: Workers = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only the I-th of N parts of about equal cost, for as many runs.")
    ] = None,
    executor: Executor = "local",
    address: Address = None,
    gpus_per_job: GpusPerJob = 1.0,
    job_hours: JobHours = None,
    job_memory: JobMemory = None,
    cache: Cache = None,
    share: Annotated[
        bool, typer.Option("--share", help="Work beside other runs on one results folder, each on different jobs.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace records that were made with another configuration.")
    ] = False,
) -> None:
    """Run every cell of a suite that is not finished yet, and show the progress."""
    start = time.monotonic()
    output = console()
    with output.status(f"{suite}: reading"):
        from distillbench.bench.run import runner
        from distillbench.bench.run.figures.missing import missing_figures
        from distillbench.bench.run.plan import plan
        from distillbench.bench.run.preconditions import check_device_and_folders
        from distillbench.bench.run.progress import (
            Listeners,
            ProgressDisplay,
            StatusFile,
            summary_line,
        )
        from distillbench.bench.run.shard import parsed, part_of
        from distillbench.bench.store.documents import kept_to_the_end
        from distillbench.bench.suite.tuned import warn_of_outdated
        from distillbench.common.durations import format_seconds

        execution = execution_of(executor, workers, address, gpus_per_job, job_hours, job_memory, share)
        chosen = loaded(suite, tasks, methods, seeds, set_, device)
        warn_of_outdated(chosen)
        folder = out if out is not None else Path("runs", chosen.name)
        part = None if shard is None else parsed(shard)
        with kept_to_the_end():
            before = plan(chosen, folder, cache)
        if part is not None:
            before = part_of(before, part)
        if before.to_do:
            check_device_and_folders(chosen, folder, cache, execution.elsewhere)
        line = summary_line(before, execution, overwrite)
    for text in (line, *(before.undefined if before.to_do else ())):
        output.print(text, markup=False, soft_wrap=True)
    with StatusFile(folder) as status, ProgressDisplay(output) as display:
        after = runner.run(before, execution, overwrite, Listeners(display, status))
    if part is not None:  # others answer for what they have made
        after = part_of(after, part)
    if missing_figures(after):
        from distillbench.bench.run.figures.drawing import draw_figures

        try:
            problems = draw_figures(after)
        except OSError as error:
            raise UserError(f"figures cannot be written: {error.strerror or error}", folder) from error
        for problem in at_most(5, problems):
            output.print(problem, markup=False, soft_wrap=True)
    if before.to_do or before.stale:
        took = format_seconds(time.monotonic() - start)
        counts = f"{len(after.finished)} finished, {len(after.failed)} failed"
        output.print(f"{counts} after {took}; distillbench table {folder}", markup=False, soft_wrap=True)
    if after.failed:
        raise typer.Exit(1)
