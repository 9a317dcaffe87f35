"""Arguments and options that several commands share, and where they print."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distillbench.common.errors import UserError, did_you_mean
from distillbench.common.paths import folder_option, results_folder
from distillbench.common.signals import CLOSED, Stopped

if TYPE_CHECKING:
    from rich.console import Console

    from distillbench.bench.suite.resolve import Suite

MOST_SEEDS = 10_000


class Format(StrEnum):
    terminal = "terminal"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"


class Split(StrEnum):
    test = "test"
    validation = "validation"


def _suites(incomplete: str) -> list[str]:
    from distillbench.bench.suite.file import shipped

    return [name for name in shipped() if name.startswith(incomplete)]


def _of(kind: str) -> Any:
    def complete(incomplete: str) -> list[str]:
        from distillbench.bench.suite.registry import METHODS, TASKS

        names = (METHODS if kind == "methods" else TASKS).names()
        *done, last = incomplete.split(",")
        return [",".join([*done, name]) for name in names if name.startswith(last)]

    return complete


def names(option: str, texts: list[str] | None) -> list[str]:
    """Of an option that may be repeated, and takes several at once: ['gan,vae', 'denoising'].

    Raises UserError where it is given and names nothing, as by a variable that is not set: that is not all of them.
    """
    found = [name.strip() for text in texts or () for name in text.split(",") if name.strip()]
    if texts and not found:
        raise UserError(f"{option}: is empty (give a name, or leave it out)")
    return found


def chosen(option: str, texts: list[str] | None, allowed: tuple[str, ...]) -> list[str]:
    """Those of the allowed names that an option gives, in their order; all where it is not given. Raises UserError."""
    found = names(option, texts)
    for name in found:
        if name not in allowed:
            raise UserError(f"{option}: unknown name {name!r}{did_you_mean(name, allowed)}")
    return [name for name in allowed if name in found] if found else list(allowed)


def numbers(option: str, texts: list[str] | None) -> list[int]:
    """Likewise of seeds, also as ranges: ['0-2', '7'] is 0, 1, 2, 7. Raises UserError."""
    found: list[int] = []
    for text in names(option, texts):
        first, dash, last = text.partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise UserError(f"{option}: {text!r} is no seed (allowed: whole numbers and ranges, as in 0,1,2 or 0-4)")
        seeds = range(int(first), int(last or first) + 1)
        if not 0 < len(seeds) <= MOST_SEEDS:
            raise UserError(f"{option}: {text!r} is {len(seeds)} seeds (allowed: 1 to {MOST_SEEDS})")
        found += seeds
    return found


def loaded(
    suite: str,
    tasks: list[str] | None,
    methods: list[str] | None,
    seeds: list[str] | None,
    set_: list[str] | None,
    device: str | None,
    tuned: bool = True,
) -> Suite:
    """The suite that a command is given, with what its options say. Raises UserError."""
    from distillbench.bench.suite.resolve import load

    return load(
        suite,
        set_ or (),
        names("--tasks", tasks),
        names("--methods", methods),
        numbers("--seeds", seeds),
        device,
        tuned,
    )


def console() -> Console:
    """Where commands print."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise Stopped(CLOSED)

    terminal = Output(highlight=False)
    # A pipe or a log is no terminal of 80 columns: do not cut tables there.
    return terminal if terminal.is_terminal else Output(highlight=False, width=240)


def _data_root(folder: Path | None) -> Path | None:
    """Processes that this one starts inherit it."""
    from distillbench.tasks.data.sets import ROOT

    if folder is not None:
        os.environ[ROOT] = str(folder.absolute())
    return folder


SuiteName = Annotated[
    str,
    typer.Argument(
        metavar="SUITE", help="A shipped suite (quick, mnist, cifar10, smoke) or a .toml file.", autocompletion=_suites
    ),
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
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        parser=folder_option("--data", must_exist=True),
        callback=_data_root,
        metavar="DIR",
        help="Where standard sets lie; default: $DISTILLBENCH_DATA.",
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes, one thread each; default: one a core it may use.")]
