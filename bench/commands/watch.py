"""``distillbench watch``: the progress of a run, from any shell."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import Results, console, table_width
from distillbench.common.paths import expanded

if TYPE_CHECKING:
    from distillbench.bench.report.trackers.base import Tracker


def watch(
    results: Results,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two updates.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Show the present state once and exit.")] = False,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            parser=expanded, metavar="LOGDIR", help="Also write each record as TensorBoard events to this folder."
        ),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Also write each record to this MLflow tracking server or database."),
    ] = None,
    experiment: Annotated[str, typer.Option(metavar="NAME", help="Name of the MLflow experiment.")] = "distillbench",
) -> None:
    """Show progress, validation curves and the table so far, until the run ends.

    The command only reads the folder, and works from any shell.
    """
    from rich.live import Live

    from distillbench.bench.report.watching import Watcher, layout, summary_line
    from distillbench.common.signals import check_reader

    screen = console()
    trackers = _trackers(tensorboard, mlflow, experiment)
    watcher, printed = Watcher(results), ""
    width = table_width(screen)
    with Live(console=screen, auto_refresh=False, transient=True, vertical_overflow="visible") as live:
        while True:
            start = time.monotonic()
            view, changed = watcher.look()
            if changed:
                for tracker in trackers:
                    for record in view.records:
                        tracker.write(record)
            running = view.status is not None and not once
            if running and screen.is_terminal:
                live.update(layout(view, width), refresh=True)
            elif running and changed and (line := summary_line(view)) != printed:
                printed = line
                screen.print(line, markup=False, soft_wrap=True)
            if not running:
                break
            check_reader()
            # A folder of many records takes a while to read: most of the time is the run's.
            time.sleep(max(every, 3 * (time.monotonic() - start)))
    screen.print(layout(view, width), soft_wrap=width is None)


def _trackers(tensorboard: Path | None, mlflow: str | None, experiment: str) -> list[Tracker]:
    from distillbench.bench.report.trackers.mlflow import MLflow
    from distillbench.bench.report.trackers.tensorboard import TensorBoard

    trackers: list[Tracker] = []
    if tensorboard is not None:
        trackers.append(TensorBoard(tensorboard))
    if mlflow is not None:
        trackers.append(MLflow(mlflow, experiment))
    return trackers
