"""Arguments and options that several commands share, what their texts mean, and where commands print."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from distillbench.common.errors import UserError, check_name
from distillbench.common.paths import expanded, folder_option, regular_file, results_folder
from distillbench.common.signals import CLOSED, Stopped

if TYPE_CHECKING:
    from rich.console import Console

    from distillbench.bench.run.execution import Execution
    from distillbench.bench.suite.resolve import Suite

MOST_NUMBERS = 10_000


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


def _completion(kind: Literal["methods", "tasks"]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        from distillbench.bench.suite.registry import METHODS, TASKS

        names = (METHODS if kind == "methods" else TASKS).names()
        *complete_names, last = incomplete.split(",")
        return [",".join([*complete_names, name]) for name in names if name.startswith(last)]

    return complete


def names(option: str, texts: list[str] | None) -> list[str]:
    """The names in an option that may be repeated, and takes several at once: ['gan,vae', 'denoising'].

    Raises:
        UserError: If the option is given and names nothing, as by a variable that is not set: that is not all of them.
    """
    listed = [name.strip() for text in texts or () for name in text.split(",") if name.strip()]
    if texts and not listed:
        raise UserError("is empty (give at least one value, or leave the option out)", option)
    return listed


def chosen(option: str, texts: list[str] | None, allowed: tuple[str, ...]) -> list[str]:
    """The allowed names that an option gives, in the order of ``allowed``; all where it is not given.

    Raises:
        UserError: If the option gives another name.
    """
    listed = names(option, texts)
    for name in listed:
        check_name("name", name, allowed, option)
    return [name for name in allowed if name in listed] if listed else list(allowed)


def numbers(option: str, texts: list[str] | None, noun: str = "seed") -> list[int]:
    """The whole numbers in an option that takes ranges, too: ['0-2', '7'] is 0, 1, 2, 7.

    Args:
        option: The option's name, for messages.
        texts: What was given, once for each time that the option was.
        noun: What one of the numbers is, for messages.

    Raises:
        UserError: If a text is neither a number nor a range, or a range is empty or very long.
    """
    listed: list[int] = []
    for text in names(option, texts):
        first, dash, last = text.partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise UserError(f"invalid {noun} {text!r} (expected a number or a range such as 0-4)", option)
        values = range(int(first), int(last or first) + 1)
        if not 0 < len(values) <= MOST_NUMBERS:
            raise UserError(f"the range {text!r} has {len(values)} values", option, allowed=f"1 to {MOST_NUMBERS}")
        listed += values
    return listed


def named_tasks(where: Path, texts: list[str] | None, allowed: Iterable[str]) -> list[str]:
    """The tasks that ``--tasks`` names of a results folder.

    Raises:
        UserError: If the folder has no such task.
    """
    allowed, listed = set(allowed), names("--tasks", texts)
    for name in listed:
        if name not in allowed:
            raise UserError(f"{where} has no task {name!r}", "--tasks", allowed=sorted(allowed), name=name)
    return listed


def seconds_of(minutes: float) -> float:
    """What ``--minutes`` gives, in seconds.

    Raises:
        UserError: If that is not a positive number.
    """
    if not 0 < minutes < math.inf:
        raise UserError(f"invalid time {minutes}", "--minutes", allowed="above 0")
    return 60 * minutes


def loaded(
    suite: str,
    tasks: list[str] | None,
    methods: list[str] | None,
    seeds: list[str] | None,
    set_: list[str] | None,
    device: str | None,
    tuned: bool = True,
) -> Suite:
    """The suite that a command is given, with the settings of its options.

    Args:
        suite: A shipped suite's name, or a file.
        tasks: The texts of ``--tasks``.
        methods: The texts of ``--methods``.
        seeds: The texts of ``--seeds``.
        set_: The texts of ``--set``.
        device: Overrides the suite's.
        tuned: Whether the values that the suite includes by its key "tuned" are used.

    Raises:
        UserError: If the suite or an option is invalid.
    """
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
    """Where commands print: the terminal, or a pipe that is wide enough for every table."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise Stopped(CLOSED)

    terminal = Output(highlight=False)
    # A pipe or a log is not a terminal of 80 columns: do not cut tables there.
    return terminal if terminal.is_terminal else Output(highlight=False, width=240)


def table_width(screen: Console, wide: bool = False) -> int | None:
    """How many columns a table has to fit into; None where it may be as wide as it is (a pipe, a log, ``--wide``)."""
    return screen.width if screen.is_terminal and not wide else None


def output_file(output: Path | None, format_: StrEnum, formats: type[StrEnum]) -> Path | None:
    """The file that ``--output`` names, checked before any work is done.

    Raises:
        UserError: If it is no place for a file, or the format is only for a terminal.
    """
    if output is None:
        return None
    target = regular_file(output, "--output")
    if format_ == "terminal":
        allowed = [name for name in formats if name != "terminal"]
        raise UserError("needs --format", "--output", allowed=allowed)
    return target


def deliver(content: str | bytes, target: Path | None) -> None:
    """Write a command's output to a file, or to standard output where none is named.

    Raises:
        UserError: If the file cannot be written.
        Stopped: If nobody reads standard output any more.
    """
    from distillbench.common.atomic import write_atomically

    if target is None:
        try:
            sys.stdout.write(content if isinstance(content, str) else content.decode())
            sys.stdout.flush()
        except BrokenPipeError:  # here: typer would take it for a failure
            raise Stopped(CLOSED) from None
        return
    try:
        write_atomically(target, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})", "--output") from error


def _data_root(folder: Path | None) -> Path | None:
    """Set the data root as a variable of the environment, which worker processes inherit."""
    from distillbench.tasks.data.sets import ROOT

    if folder is not None:
        os.environ[ROOT] = str(folder.absolute())
    return folder


SuiteName = Annotated[
    str,
    typer.Argument(
        metavar="SUITE", help="A shipped suite (distillbench list suites) or a .toml file.", autocompletion=_suites
    ),
]
Results = Annotated[Path, typer.Argument(parser=expanded, metavar="RESULTS", help="A results folder.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", parser=results_folder, metavar="DIR", help="Results folder. Default: runs/SUITE."),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        parser=expanded,
        metavar="DIR",
        help="Folder that keeps trained teachers. Default: cache/ in the results folder.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Override a setting of the suite, e.g. tasks.gan.steps=200. Repeatable.",
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--tasks",
        "--task",
        "-t",
        metavar="NAMES",
        help="Only these tasks, e.g. gan,vae.",
        autocompletion=_completion("tasks"),
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--methods",
        "--method",
        "-m",
        metavar="NAMES",
        help="Only these methods, e.g. scratch,temperature.",
        autocompletion=_completion("methods"),
    ),
]
Seeds = Annotated[
    list[str] | None,
    typer.Option("--seeds", "--seed", metavar="SEEDS", help="Only these seeds, e.g. 0,1,2 or 0-4."),
]
Device = Annotated[str | None, typer.Option(help="Device to run on: cpu, cuda or cuda:N. Default: that of the suite.")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        parser=folder_option("--data", must_exist=True),
        callback=_data_root,
        metavar="DIR",
        help="Folder of the standard data sets. Default: $DISTILLBENCH_DATA.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Number of processes, with one thread each. Default: one for each available core."),
]
Executor = Annotated[
    str,
    typer.Option("--executor", metavar="NAME", help="What runs jobs: processes of this machine (local), or ray."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="HOST:PORT", help="Head of a Ray cluster, or auto. Default: one of this machine alone."
    ),
]
GpusPerJob = Annotated[
    float, typer.Option("--gpus-per-job", metavar="SHARE", help="On Ray, of a GPU: 0.25 lets four jobs share one.")
]
JobHours = Annotated[
    float | None,
    typer.Option("--job-hours", metavar="HOURS", help="Stop longer jobs. Default: 20 times the estimate, at least 1."),
]
JobMemory = Annotated[
    float | None, typer.Option("--job-memory", metavar="GB", help="Stop jobs whose process takes more memory.")
]
Output = Annotated[
    Path | None,
    typer.Option(parser=expanded, metavar="FILE", help="Write to this file instead of standard output."),
]
Wide = Annotated[bool, typer.Option("--wide", help="Show every column, even if they do not fit the terminal.")]


def execution_of(
    executor: str,
    workers: int | None,
    address: str | None,
    gpus_per_job: float = 1.0,
    job_hours: float | None = None,
    job_memory: float | None = None,
    share: bool = False,
) -> Execution:
    """How jobs are done, from the options that say so.

    Raises:
        UserError: If one is out of range.
    """
    from distillbench.bench.run.execution import Execution
    from distillbench.bench.workers.executor import Limits

    for option, number in (("--gpus-per-job", gpus_per_job), ("--job-hours", job_hours), ("--job-memory", job_memory)):
        if number is not None and not (number > 0 and math.isfinite(number)):
            raise UserError(f"{number:g} is out of range", option, allowed="above 0")
    limits = Limits(None if job_hours is None else 3600 * job_hours, None if job_memory is None else 1e9 * job_memory)
    return Execution(executor, workers, address, gpus_per_job, limits, share)
