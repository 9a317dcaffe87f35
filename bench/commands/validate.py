"""``distillbench validate``: whether contributed records can be trusted."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import Address, Data, Executor, Workers, console, deliver, execution_of, loaded
from distillbench.common.errors import UserError
from distillbench.common.paths import expanded

if TYPE_CHECKING:
    from distillbench.bench.run.execution import Execution
    from distillbench.bench.validate.claimed_suite import ClaimedSuite
    from distillbench.bench.validate.submission import Submission
    from distillbench.bench.validate.violations import Report


class ReportFormat(StrEnum):
    terminal = "terminal"
    json = "json"


def validate(
    path: Annotated[
        Path,
        typer.Argument(
            parser=expanded, metavar="PATH", help="A results folder with records/, and with weights/ for --rerun."
        ),
    ],
    suite: Annotated[
        str,
        typer.Option(
            metavar="SUITE", help="The suite that the records claim to be of: a shipped suite or a .toml file."
        ),
    ] = "quick",
    rerun: Annotated[bool, typer.Option("--rerun", help="Evaluate the submitted weights again.")] = False,
    retrain: Annotated[
        str | None, typer.Option(metavar="CELL", help="Train one cell again, e.g. 'vae/mlp_256_16/mimic/seed 3'.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            parser=expanded,
            metavar="DIR",
            help="Folder of your own feature extractors and teachers, for --rerun and --retrain.",
        ),
    ] = None,
    workers: Workers = None,
    executor: Executor = "local",
    address: Address = None,
    data: Data = None,
    format_: Annotated[ReportFormat, typer.Option("--format", "-f", help="Output format.")] = ReportFormat.terminal,
    verbose: Annotated[bool, typer.Option("--verbose", help="List every finding.")] = False,
) -> None:
    """Check contributed records (docs/submitting.md).

    Exit codes: 0 passed, 1 refused, 2 bad input.
    """
    if cache is not None and not (rerun or retrain is not None):
        raise UserError("needs --rerun or --retrain", "--cache")
    if cache is not None and cache.resolve().is_relative_to(path.resolve()):
        raise UserError(f"{cache} is inside the submission, whose teachers cannot be trusted", "--cache")
    execution = execution_of(executor, workers, address)
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(TemporaryDirectory(prefix="distillbench-validate-")))
        with console().status(f"{suite}: reading") if sys.stdout.isatty() else ExitStack():
            from distillbench.bench.validate import checks
            from distillbench.bench.validate.claimed_suite import claimed_suite
            from distillbench.bench.validate.submission import read

            submission = read(path)
            claimed = claimed_suite(loaded(suite, None, None, None, None, None), folder)
            report = checks.validate(submission, claimed)
        report = _with_reruns(report, submission, claimed, folder, rerun, retrain, execution)
    _write(report, format_, verbose)
    raise typer.Exit(report.exit_code)


def _with_reruns(
    report: Report,
    submission: Submission,
    claimed: ClaimedSuite,
    cache: Path,
    rerun: bool,
    retrain: str | None,
    execution: Execution,
) -> Report:
    """The report, extended by the checks that evaluate and train again."""
    from distillbench.bench.validate import rerun as evaluating
    from distillbench.bench.validate import retrain as training

    if submission.files:
        return report
    refused = {
        v.file for check in report.checks if check.name in ("configuration", "weights") for v in check.violations
    }
    if rerun:
        check, notes = evaluating.rerun(submission, claimed, refused, cache, _report_progress)
        report = replace(report, checks=(*report.checks, check), notes=(*report.notes, *notes))
    if retrain is not None:
        record = training.find_record(submission, retrain)
        cell = training.cell_to_train(claimed, record)
        _report_progress(f"training {cell} again, and what it needs")
        check, notes = training.retrain(submission, record, cell, claimed, cache, execution)
        report = replace(report, checks=(*report.checks, check), notes=(*report.notes, *notes))
    return report


def _report_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(report: Report, format_: ReportFormat, verbose: bool) -> None:
    from distillbench.bench.validate import formats

    if format_ is ReportFormat.json:
        deliver(formats.as_json(report), None)
    else:
        console().print(formats.terminal(report, verbose), soft_wrap=True)
