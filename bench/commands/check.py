"""``distillbench check``: whether a network meets a task's contract."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from distillbench.bench.commands.options import console

MARKS = {"ok": "ok  ", "no": "[bold red]no[/]  ", "n/a": "n/a "}


def check(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of a task, as in 'distillbench list tasks'.")],
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK", help="A name from 'distillbench list networks', package.module:function, or FILE.onnx."
        ),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="KEY=VALUE", help="A setting of the network, e.g. model=resnet18. Repeatable."
        ),
    ] = None,
    task_set: Annotated[
        list[str] | None,
        typer.Option("--task-set", metavar="KEY=VALUE", help="A setting of the task, e.g. data.train=DIR. Repeatable."),
    ] = None,
) -> None:
    """Check that a network meets a task's contract: shapes, gradients, batches in eval mode, size, ONNX export.

    Exit codes: 0 it does; 1 it does not.
    """
    output = console()
    with output.status("check: looking"):
        from distillbench.bench.run.network_check import examine, pair_with
        from distillbench.bench.suite.file import assigned
        from distillbench.bench.training.determinism import settled

        settings: dict[str, Any] = {**_named(network), **assigned(set_ or [])}
        with settled():
            results = list(examine(*pair_with(task, settings, task_set or []), Path("runs", "cache")))
    width = max(len(result.name) for result in results)
    for result in results:
        output.print(f"{result.name.ljust(width)}  {MARKS[result.verdict]}", end="")
        output.print(result.text, markup=False, soft_wrap=True)
    if any(result.verdict == "no" for result in results):
        raise typer.Exit(1)


def _named(network: str) -> dict[str, Any]:
    if network.endswith(".onnx"):
        return {"name": "onnx", "file": network}
    if ":" in network:
        return {"name": "module", "factory": network}
    return {"name": network}
