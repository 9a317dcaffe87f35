"""The ``distillbench`` command: the commands of ``bench/commands``, and how a command ends.

Exit codes: 0 done; 1 some cells failed; 2 bad input, and one line says what is wrong; 130 interrupted (Ctrl-C);
143 terminated (SIGTERM); 141 the output is no longer read (``| head -1``). ``compare``: 1 a regression, 3 incomplete or
nothing to compare, 4 inconclusive. ``validate``: 1 refused. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated

import typer

from distillbench.bench.commands.check import check
from distillbench.bench.commands.compare import compare
from distillbench.bench.commands.config import config
from distillbench.bench.commands.data import app as data
from distillbench.bench.commands.export import export
from distillbench.bench.commands.leaderboard import leaderboard
from distillbench.bench.commands.list import list_
from distillbench.bench.commands.plan import plan
from distillbench.bench.commands.plot import plot
from distillbench.bench.commands.report import report
from distillbench.bench.commands.run import run
from distillbench.bench.commands.selftest import selftest
from distillbench.bench.commands.show import show
from distillbench.bench.commands.table import table
from distillbench.bench.commands.time import time
from distillbench.bench.commands.tune import tune
from distillbench.bench.commands.validate import validate
from distillbench.bench.commands.watch import watch
from distillbench.common.errors import UserError, warn_in_one_line
from distillbench.common.signals import CLOSED, Stopped, signals, silence

RESUMED = ("run", "tune", "time")
"""Commands that keep their finished work, and resume."""

app = typer.Typer(
    name="distillbench",
    help="A benchmark of knowledge distillation: train, measure and compare methods on six tasks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("list")(list_)
COMMANDS: tuple[Callable[..., None], ...] = (
    *(plan, run, watch, tune, table, time, report, leaderboard, plot),
    *(show, check, compare, export, config, selftest, validate),
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(data, help="List, check and download the standard data sets.")


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print(f"distillbench {version('distillbench')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """``--debug`` is remembered by ``main``, which reads it from the command line."""


def main() -> None:
    """Run the command line; a user's mistake ends it with one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a locale without ± gets a question mark, not a traceback
    warn_in_one_line()
    try:
        with signals():
            try:
                app(standalone_mode=True)
            finally:
                sys.stdout.flush()  # here, where a failure can still be reported
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
            command_name = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
            kept = "; finished work is kept, run the command again to resume" if command_name in RESUMED else ""
            print(f"distillbench: {what}{kept}", file=sys.stderr)
        sys.exit(stop.code)


if __name__ == "__main__":
    main()
