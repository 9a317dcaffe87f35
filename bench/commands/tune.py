"""``distillbench tune``: choose hyperparameters, with the same budget for every method."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import (
    Data,
    Device,
    Methods,
    Settings,
    SuiteName,
    Tasks,
    Workers,
    console,
    loaded,
    numbers,
)
from distillbench.common.errors import UserError
from distillbench.common.paths import expanded, regular_file, results_folder

if TYPE_CHECKING:
    from distillbench.bench.run.plan import Plan
    from distillbench.bench.suite.cells import Cell


class Format(StrEnum):
    terminal = "terminal"
    markdown = "markdown"


def tune(
    suite: SuiteName,
    tasks: Tasks = None,
    methods: Methods = None,
    trials: Annotated[int, typer.Option(help="Of each method on each pair; its default is the first.")] = 8,
    seeds: Annotated[
        str, typer.Option(metavar="SEEDS", help="All trials run with these; the best is picked.")
    ] = "100,101",
    confirm: Annotated[
        str, typer.Option(metavar="SEEDS", help="The best and the default run with these: is it better?")
    ] = "102-106",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", parser=results_folder, metavar="PATH", help="Folder of trials; default: runs/SUITE.tune."
        ),
    ] = None,
    set_: Settings = None,
    device: Device = None,
    data: Data = None,
    workers: Workers = None,
    cache: Annotated[
        Path | None,
        typer.Option(parser=expanded, metavar="PATH", help="Where trained teachers are kept; default: as of run."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace trials of another configuration.")] = False,
    format_: Annotated[Format, typer.Option("--format", "-f", help="How to print what was found.")] = Format.terminal,
    output: Annotated[
        Path | None,
        typer.Option(
            parser=expanded,
            metavar="FILE",
            help="Where to write the chosen values; default: SUITE.tuned.toml among the trials.",
        ),
    ] = None,
) -> None:
    """Choose hyperparameters on the validation split, with as many trials for every method.

    A suite includes the file of chosen values by its key "tuned".
    """
    screen = console()
    with screen.status(f"{suite}: reading"):
        from distillbench.bench.report.trials import markdown, origin, terminal
        from distillbench.bench.run import runner
        from distillbench.bench.run.plan import plan
        from distillbench.bench.run.preconditions import check_device_and_folders
        from distillbench.bench.run.progress import ProgressDisplay, summary_line
        from distillbench.bench.run.tune import Budget, as_toml, decisions
        from distillbench.common.atomic import write_atomically

        budget = Budget(trials, tuple(numbers("--seeds", [seeds])), tuple(numbers("--confirm", [confirm])))
        chosen = loaded(suite, tasks, methods, None, set_, device, tuned=False)
        folder = out if out is not None else Path("runs", f"{chosen.name}.tune")
        kept = cache if cache is not None else Path("runs", chosen.name, "cache")
        target = regular_file(output or folder / f"{chosen.name}.tuned.toml", "--output")

    def run(cells: Sequence[Cell]) -> Plan:
        before = plan(chosen, folder, kept, cells)
        if before.to_do:
            check_device_and_folders(chosen, folder, kept)
        screen.print(summary_line(before, workers, overwrite), markup=False, soft_wrap=True)
        with ProgressDisplay(screen) as display:
            return runner.run(before, workers, overwrite, display)

    found = decisions(chosen, folder, budget, run)
    table = markdown(found, budget)
    try:
        write_atomically(target, as_toml(found, origin(chosen.name, budget)).encode())
        write_atomically(folder / "trials.md", table.encode())
    except OSError as error:
        raise UserError(f"{error.filename or target}: cannot be written ({error.strerror})") from error
    if format_ is Format.markdown:
        screen.print(table, markup=False, soft_wrap=True)
    else:
        screen.print(terminal(found, budget))
    screen.print(f"chosen: {target}; each trial: distillbench table {folder} --split validation", soft_wrap=True)
    if any(decision.best is None for decision in found):
        raise typer.Exit(1)
