"""``distillbench tune``: choose hyperparameters, with the same budget for every method."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import UserError
from bench.paths import regular_file, results_folder

if TYPE_CHECKING:
    from bench.runner import Plan
    from bench.suite import Cell


class Format(StrEnum):
    terminal = "terminal"
    markdown = "markdown"


def tune(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A shipped suite (quick, smoke) or a .toml file.")],
    tasks: Annotated[list[str] | None, typer.Option("--task", "-t", help="Only this task.")] = None,
    trials: Annotated[int, typer.Option(help="Of each method on each pair; its default is one of them.")] = 7,
    seeds: Annotated[str, typer.Option(help="The best trial is picked by these.")] = "100",
    confirm: Annotated[str, typer.Option(help="It is compared with the default by these.")] = "101,102,103,104",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", parser=results_folder, help="Results folder; default: runs/SUITE.tune."),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="A setting.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; overrides the suite's.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes, one thread each; default: one a core.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where trained teachers are kept; default: that of run, runs/SUITE/cache.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace trials of another configuration.")] = False,
    format_: Annotated[Format, typer.Option("--format", "-f", help="How to print what was found.")] = Format.terminal,
    output: Annotated[
        Path | None, typer.Option(help="The chosen values (TOML); default: SUITE.tuned.toml in the results.")
    ] = None,
) -> None:
    """Choose each method's hyperparameters on the held-out split: as many trials for every one."""
    from bench import runner
    from bench.cli import _console, _headline, _load
    from bench.report.progress import Live
    from bench.report.trials import markdown, origin, terminal
    from bench.tune import Budget, as_toml
    from bench.tune import tune as decide
    from tasks.data.atomic import write_atomically

    budget = Budget(trials, tuple(map(int, seeds.split(","))), tuple(map(int, confirm.split(","))))
    loaded, _ = _load(suite, out, set_, device, tasks)
    folder = out or Path("runs", f"{loaded.name}.tune")
    target = regular_file(output or folder / f"{loaded.name}.tuned.toml", "--output")
    kept = cache or Path("runs", loaded.name, "cache")
    console = _console()

    def run(cells: Sequence[Cell]) -> Plan:
        before = runner.plan(loaded, folder, cells)
        if before.to_do:
            runner.prepare(loaded, folder, kept)
        if cells:
            console.print(_headline(before, workers, kept, overwrite), markup=False, soft_wrap=True)
        with Live(console) as live:
            return runner.run(loaded, folder, kept, workers, overwrite, live, cells)

    decisions = decide(loaded, folder, budget, run)
    table = markdown(decisions, budget)
    try:
        write_atomically(target, as_toml(decisions, origin(loaded.name, budget)).encode())
        write_atomically(folder / "trials.md", table.encode())
    except OSError as error:
        raise UserError(f"{error.filename or target}: cannot be written ({error.strerror})") from error
    console.print(terminal(decisions, budget) if format_ is Format.terminal else table, markup=False)
    console.print(f"chosen: {target}; every trial: distillbench table {folder} --split held_out", soft_wrap=True)
    if any(decision.best is None for decision in decisions):
        raise typer.Exit(1)
