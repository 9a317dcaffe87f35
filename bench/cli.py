"""The ``distillbench`` command: parses, calls, prints. Nothing heavy is imported before a command runs.

Exit codes: 0 done; 1 some cells failed; 2 bad input, one line says what; 130 interrupted (Ctrl-C), 143 terminated
(SIGTERM), 141 nobody reads the output any more (``| head -1``).
"""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import UserError, at_most, did_you_mean, warn_in_one_line
from bench.paths import regular_file
from bench.stopping import CLOSED, Stopped, signals, silence

if TYPE_CHECKING:
    from rich.console import Console

    from bench.report.summary import Summary
    from bench.runner import Plan
    from bench.suite import Suite

app = typer.Typer(
    name="distillbench",
    help="A benchmark of knowledge distillation: methods × tasks, trained, measured and compared.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Format(StrEnum):
    terminal = "terminal"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"


class Split(StrEnum):
    test = "test"
    held_out = "held_out"


SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A shipped suite (quick, smoke) or a .toml file.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Results folder; default: runs/SUITE.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a key of the suite, e.g. tasks.gan.steps=200."),
]
Only = Annotated[list[str] | None, typer.Option("--task", "-t", help="Only this task (may be repeated).")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; overrides the suite's.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes, one thread each; default: one a core.")]


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Remembered by ``main``, which reads it from the command line."""


@app.command("list")
def list_(kind: Annotated[str, typer.Argument(help="methods, tasks, suites or all.")] = "all") -> None:
    """What there is: tasks, methods and suites, built in or registered by other packages."""
    import tomllib

    from bench.registry import METHODS, TASKS
    from bench.suite import shipped

    kinds = ("tasks", "methods", "suites")
    if kind not in (*kinds, "all"):
        raise UserError(f"list: unknown kind {kind!r}{did_you_mean(kind, (*kinds, 'all'))}")
    console = _console()
    for name in kinds if kind == "all" else (kind,):
        console.print(f"[bold]{name}[/bold]")
        if name == "suites":
            lines = {suite: tomllib.loads(text).get("description", "") for suite, text in shipped().items()}
        else:
            registry = TASKS if name == "tasks" else METHODS
            lines = {n: registry.first_line(n) for n in registry.names()}
        for entry, line in lines.items():
            console.print(f"  {entry:18}{line}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def plan(
    suite: SuiteName,
    task: Only = None,
    out: Out = None,
    set_: Settings = None,
    device: Device = None,
    workers: Workers = None,
) -> None:
    """Which cells a suite has and which are already there; runs nothing."""
    from rich.table import Table

    from bench import runner

    loaded, folder = _load(suite, out, set_, device, task)
    todo = runner.plan(loaded, folder)
    console = _console()
    table = Table(title=f"{loaded.name}: {loaded.description}", title_justify="left")
    for column in ("task", "pair", "row", "seeds", "finished", "missing", "failed", "other configuration"):
        table.add_column(column, justify="left" if column in ("task", "pair", "row") else "right")
    rows: dict[tuple[str, str, str], list[int]] = {}
    for i, members in enumerate((todo.finished, todo.missing, todo.failed, [cell for cell, _ in todo.other])):
        for cell in members:
            rows.setdefault((cell.pair.task, cell.pair.pair, cell.label), [0, 0, 0, 0])[i] += 1
    for key, counts in sorted(rows.items(), key=lambda row: (row[0][0], row[0][1])):
        table.add_row(*key, str(sum(counts)), *(str(count) if count else "" for count in counts))
    console.print(table)
    console.print(_headline(todo, workers), markup=False, soft_wrap=True)


@app.command()
def run(
    suite: SuiteName,
    task: Only = None,
    out: Out = None,
    set_: Settings = None,
    device: Device = None,
    workers: Workers = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where trained teachers are kept; default: in the results.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace records of another configuration.")] = False,
) -> None:
    """Run what is missing of a suite; what is finished is not run again."""
    from bench import runner
    from bench.report.pictures import draw_pictures
    from bench.report.progress import Live, format_seconds

    start = time.monotonic()
    loaded, folder = _load(suite, out, set_, device, task)
    console = _console()
    before = runner.plan(loaded, folder)
    if before.to_do:
        runner.prepare(loaded, folder, cache)
    console.print(_headline(before, workers, cache, overwrite), markup=False, soft_wrap=True)
    with Live(console) as live:
        after = runner.run(loaded, folder, cache, workers, overwrite, live)
    if before.to_do or before.other:
        try:
            draw_pictures(after, cache or folder / "cache")
        except OSError as error:
            raise UserError(f"{folder}: pictures cannot be written: {error.strerror or error}") from error
        took = format_seconds(time.monotonic() - start)
        counts = f"{len(after.finished)} finished, {len(after.failed)} failed"
        console.print(f"{counts} after {took}; distillbench table {folder}", markup=False, soft_wrap=True)
    if after.failed:
        raise typer.Exit(1)


@app.command()
def table(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder.")],
    task: Only = None,
    format_: Annotated[Format, typer.Option("--format", "-f", help="How to write it.")] = Format.terminal,
    split: Annotated[Split, typer.Option(help="test to report; held_out to choose hyperparameters by.")] = Split.test,
    output: Annotated[Path | None, typer.Option(help="Write to this file in place of the terminal.")] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, whether or not it fits the terminal.")] = False,
) -> None:
    """A comparison table a task: teacher, controls, methods, references."""
    from bench.report import tables
    from bench.report.terminal import terminal
    from tasks.data.atomic import write_atomically

    target = regular_file(output, "--output") if output is not None else None
    summaries = _summaries(results, split.value, task)
    if format_ is Format.terminal:
        if target is not None:
            raise UserError("--output: needs --format (allowed: markdown, latex, csv, json)")
        console = _console()
        console.print(terminal(summaries, None if wide or not console.is_terminal else console.width), soft_wrap=wide)
        return
    text = tables.FORMATS[format_.value](summaries)
    if format_ is Format.csv:  # has no place for them
        left_out = dict.fromkeys(f"left out: {problem}" for summary in summaries for problem in summary.problems)
        for line in at_most(5, list(left_out)):
            print(line, file=sys.stderr)
    if target is None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise Stopped(CLOSED) from None
        return
    try:
        write_atomically(target, text.encode())
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror})") from error


@app.command()
def show(record: Annotated[Path, typer.Argument(metavar="RECORD", help="A record file (.json).")]) -> None:
    """One record in full, its per-item results left out."""
    from rich.pretty import Pretty

    from bench.records import Store

    found = Store(record.parent).read(record)
    _console().print(Pretty(found.model_dump(mode="json", exclude={"items"}, exclude_none=True), expand_all=True))


def _console() -> Console:
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise Stopped(CLOSED)

    console = Output(highlight=False)
    # A pipe or a log is no terminal of 80 columns: do not cut tables there.
    return console if console.is_terminal else Output(highlight=False, width=240)


def _load(
    name: str, out: Path | None, overrides: list[str] | None, device: str | None, tasks: list[str] | None
) -> tuple[Suite, Path]:
    from bench.suite import load

    suite = load(name, [*(overrides or ()), *([f'device="{device}"'] if device else [])], tasks or ())
    return suite, out if out is not None else Path("runs", suite.name)


def _headline(todo: Plan, workers: int | None, cache: Path | None = None, overwrite: bool = False) -> str:
    """'quick: 7 pairs, 192 cells, 0 finished, about 8 min on 2 workers'."""
    from bench.report.progress import format_seconds
    from bench.runner import estimate

    text = f"{todo.suite.name}: {len(todo.cells)} cells, {len(todo.finished)} finished"
    if todo.failed:
        text += f", {len(todo.failed)} failed before"
    if todo.unreadable:
        text += f", {len(todo.unreadable)} unreadable"
    if todo.other:
        text += f", {len(todo.other)} of another configuration"
    if not todo.to_do and not todo.other:
        return f"{text}: nothing to do"
    seconds, count = estimate(todo, workers, cache, overwrite)
    return f"{text}, about {format_seconds(seconds)} on {count} worker{'s' if count > 1 else ''}"


def _summaries(results: Path, split: str, tasks: list[str] | None) -> list[Summary]:
    from bench.report.results import summaries as of_folder

    summaries = of_folder(results, "held_out" if split == "held_out" else "test")
    for name in tasks or ():
        if name not in (names := [s.task for s in summaries]):
            raise UserError(f"--task: {results} has no task {name!r}{did_you_mean(name, names)}")
    return [s for s in summaries if not tasks or s.task in tasks]


def main() -> None:
    """Entry point: errors of the user's are one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a locale without ± gets a question mark, not a traceback
    warn_in_one_line()
    try:
        with signals():
            try:
                app(standalone_mode=True)
            finally:
                sys.stdout.flush()  # here, where what goes wrong can be said
    except BrokenPipeError:
        silence()
        sys.exit(CLOSED)
    except OSError as error:
        if error.filename is not None or "--debug" in sys.argv:
            raise
        silence()
        print(f"distillbench: standard output: cannot be written ({error.strerror})", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        print(f"distillbench: {error}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stop:
        if stop.code == CLOSED:
            silence()
        else:
            what = "interrupted" if stop.code == 130 else "terminated"
            print(f"distillbench: {what}; what was finished is kept, run again to go on", file=sys.stderr)
        sys.exit(stop.code)


if __name__ == "__main__":
    main()
