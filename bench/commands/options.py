"""Arguments and options that several commands share, and where they print."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import UserError
from bench.paths import results_folder
from bench.stopping import CLOSED, Stopped

if TYPE_CHECKING:
    from rich.console import Console

if TYPE_CHECKING:
    pass


class Format(StrEnum):
    terminal = "terminal"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"


class Split(StrEnum):
    test = "test"
    held_out = "held_out"


def _suites(incomplete: str) -> list[str]:
    from bench.suite_file import shipped

    return [name for name in shipped() if name.startswith(incomplete)]


def _of(kind: str) -> Any:
    def complete(incomplete: str) -> list[str]:
        from bench.registry import METHODS, TASKS

        names = (METHODS if kind == "methods" else TASKS).names()
        *done, last = incomplete.split(",")
        return [",".join([*done, name]) for name in names if name.startswith(last)]

    return complete


def names(texts: list[str] | None) -> list[str]:
    """Of an option that may be repeated, and takes several at once: ['gan,vae', 'denoising']."""
    return [name.strip() for text in texts or () for name in text.split(",") if name.strip()]


def numbers(texts: list[str] | None) -> list[int]:
    """Likewise of seeds, also as ranges: ['0-2', '7'] is 0, 1, 2, 7. Raises UserError."""
    found: list[int] = []
    for text in names(texts):
        first, dash, last = text.partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise UserError(f"--seeds: {text!r} is no seed (allowed: whole numbers and ranges, as in 0,1,2 or 0-4)")
        found += range(int(first), int(last or first) + 1)
    return found


def console() -> Console:
    """Where commands print."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise Stopped(CLOSED)

    terminal = Output(highlight=False)
    # A pipe or a log is no terminal of 80 columns: do not cut tables there.
    return terminal if terminal.is_terminal else Output(highlight=False, width=240)


SuiteName = Annotated[
    str,
    typer.Argument(metavar="SUITE", help="A shipped suite (quick, smoke) or a .toml file.", autocompletion=_suites),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", parser=results_folder, metavar="PATH", help="Results folder; default: runs/SUITE."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="A setting, over the suite's, e.g. tasks.gan.steps=200."),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--tasks", "--task", "-t", metavar="NAMES", help="Only these tasks of the suite.", autocompletion=_of("tasks")
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--methods", "--method", "-m", metavar="NAMES", help="These methods alone.", autocompletion=_of("methods")
    ),
]
Seeds = Annotated[
    list[str] | None,
    typer.Option("--seeds", "--seed", metavar="SEEDS", help="These seeds alone, e.g. 0,1,2 or 0-4."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; overrides the suite's.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes, one thread each; default: one a core.")]
