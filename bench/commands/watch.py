"""``distillbench watch``: a results folder while it fills."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import console
from distillbench.common.paths import expanded

if TYPE_CHECKING:
    from distillbench.bench.report.sinks.base import Sink


def watch(
    results: Annotated[Path, typer.Argument(parser=expanded, metavar="RESULTS", help="A results folder.")],
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Show what there is, and end.")] = False,
    tensorboard: Annotated[
        Path | None,
        typer.Option(parser=expanded, metavar="LOGDIR", help="Write each record as TensorBoard events, too."),
    ] = None,
    mlflow: Annotated[str | None, typer.Option(metavar="URI", help="Write each record to MLflow, too.")] = None,
    experiment: Annotated[str, typer.Option(help="Of MLflow.")] = "distillbench",
) -> None:
    """Progress, curves and the table so far, until the run ends. It reads the folder alone, from any shell."""
    from rich.live import Live

    from distillbench.bench.report.watching import Watcher, drawn, summary_line
    from distillbench.common.signals import check_reader

    screen = console()
    sinks = _sinks(tensorboard, mlflow, experiment)
    watcher, told = Watcher(results), ""
    width = screen.width if screen.is_terminal else None
    with Live(console=screen, auto_refresh=False, transient=True, vertical_overflow="visible") as live:
        while True:
            start = time.monotonic()
            view, changed = watcher.look()
            if changed:
                for sink in sinks:
                    for record in view.records:
                        sink.write(record)
            going_on = view.status is not None and not once
            if going_on and screen.is_terminal:
                live.update(drawn(view, width), refresh=True)
            elif going_on and changed and (line := summary_line(view)) != told:
                told = line
                screen.print(line, markup=False, soft_wrap=True)
            if not going_on:
                break
            check_reader()
            # A folder of many records takes a while to read: most of the time is the run's.
            time.sleep(max(every, 3 * (time.monotonic() - start)))
    screen.print(drawn(view, width), soft_wrap=width is None)


def _sinks(tensorboard: Path | None, mlflow: str | None, experiment: str) -> list[Sink]:
    from distillbench.bench.report.sinks.mlflow import MLflow
    from distillbench.bench.report.sinks.tensorboard import TensorBoard

    found: list[Sink] = []
    if tensorboard is not None:
        found.append(TensorBoard(tensorboard))
    if mlflow is not None:
        found.append(MLflow(mlflow, experiment))
    return found
