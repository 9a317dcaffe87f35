"""``distillbench compare``: whether a candidate is worse or slower than a baseline, within margins."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import (
    Output,
    Settings,
    Tasks,
    chosen,
    console,
    deliver,
    names,
    output_file,
    seconds_of,
    table_width,
)
from distillbench.bench.store.terms import BACKENDS
from distillbench.common.errors import UserError
from distillbench.common.paths import expanded

if TYPE_CHECKING:
    from distillbench.bench.compare.findings import Report
    from distillbench.bench.compare.margins import Margins


class GateFormat(StrEnum):
    terminal = "terminal"
    github = "github"
    json = "json"
    junit = "junit"


def compare(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BASELINE CANDIDATE",
            help="Two results folders, or two JSON files of pytest-benchmark; with --revisions, one SUITE.",
        ),
    ] = None,
    revisions: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="BASE HEAD", help="Measure two git revisions on this machine, interleaved."),
    ] = None,
    quality_margin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MARGIN",
            help="Tolerated loss of quality: 1% of the baseline (default), or psnr=0.1 in its unit. Repeatable.",
        ),
    ] = None,
    speed_margin: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Tolerated slowdown. Default: 5%, or 1% with --revisions."),
    ] = None,
    least_seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="Slowdown of a call that is tolerated in any case.")
    ] = 2e-6,
    metrics: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Metrics to compare, or all. Default: the primary metrics."),
    ] = None,
    tasks: Tasks = None,
    repository: Annotated[
        Path | None,
        typer.Option(
            parser=expanded, metavar="DIR", help="Git repository of the revisions. Default: that of the current folder."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Time limit in minutes for measuring revisions. Default: 10."),
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "--backends",
            "--backend",
            metavar="NAMES",
            help=f"Backends whose times are compared: {', '.join(BACKENDS)}.",
        ),
    ] = None,
    set_: Settings = None,
    format_: Annotated[GateFormat, typer.Option("--format", "-f", help="Output format.")] = GateFormat.terminal,
    output: Output = None,
    allow_inconclusive: Annotated[
        bool, typer.Option("--allow-inconclusive", help="Exit with 0 if comparisons are inconclusive.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also list the comparisons that pass.")] = False,
) -> None:
    """Check that a candidate is as good and as fast as a baseline, within margins.

    With --revisions BASE HEAD -- SUITE, check that the suite's students are as small and as fast at revision HEAD as
    at BASE. Exit codes: 0 pass, 1 regressed, 3 incomplete, 4 inconclusive.
    """
    target = output_file(output, format_, GateFormat)
    margins = _margins(quality_margin or [], speed_margin, least_seconds, stored=revisions is None)
    texts = [text for text in subjects or () if text]  # an empty one, of a variable that is not set, is none
    if revisions is None:
        only = {"--repository": repository, "--minutes": minutes, "--set": set_}
        _without(only, "needs --revisions")
        if len(texts) != 2:
            raise UserError(f"expected BASELINE CANDIDATE, or --revisions and a SUITE (got {len(texts)})", "compare")
        ways = chosen("--backends", backends, BACKENDS) if backends else []
        sides = expanded(texts[0]), expanded(texts[1])
        report = _stored(*sides, margins, names("--metrics", metrics), names("--tasks", tasks), ways)
    else:
        of_quality = {"--quality-margin": quality_margin, "--metrics": metrics}
        _without(of_quality, "cannot be used with --revisions, where nothing is trained")
        if len(texts) != 1:
            raise UserError(f"expected one SUITE after -- (got {len(texts)})", "--revisions")
        report = _measured(
            revisions,
            texts[0],
            margins,
            repository=repository or Path(),
            seconds=600 if minutes is None else seconds_of(minutes),
            backends=chosen("--backends", backends or ["eager"], BACKENDS),
            set_=tuple(set_ or ()),
            tasks=tuple(names("--tasks", tasks)),
        )
    _write(report, format_, target, verbose)
    raise typer.Exit(report.exit_code(allow_inconclusive))


def _without(options: Mapping[str, object], why: str) -> None:
    for option, value in options.items():
        if value is not None and value != []:
            raise UserError(why, option)


def _stored(
    baseline: Path, candidate: Path, margins: Margins, metrics: list[str], tasks: list[str], backends: list[str]
) -> Report:
    from distillbench.bench.compare.benchmarks import compare_benchmarks, files
    from distillbench.bench.compare.results import compare_results

    for side in (baseline, candidate):
        if not side.exists():
            raise UserError("no such results folder or file", side)
    of_benchmarks = [bool(files(side)) for side in (baseline, candidate)]
    if all(of_benchmarks):
        _without({"--metrics": metrics, "--tasks": tasks, "--backends": backends}, "needs results folders")
        return compare_benchmarks(baseline, candidate, margins)
    if any(of_benchmarks):
        raise UserError(
            f"not the same kind as {baseline}", candidate, allowed="two results folders, or two files of benchmarks"
        )
    return compare_results(baseline, candidate, margins, metrics, tasks, backends)


def _measured(
    revisions: tuple[str, str],
    suite: str,
    margins: Margins,
    *,
    repository: Path,
    seconds: float,
    backends: list[str],
    set_: tuple[str, ...],
    tasks: tuple[str, ...],
) -> Report:
    from distillbench.bench.compare.launches import Budget
    from distillbench.bench.compare.revisions import compare_revisions

    return compare_revisions(
        *revisions,
        suite,
        repository=repository,
        set_=set_,
        tasks=tasks,
        backends=tuple(backends),
        speed_margin=margins.speed,
        least_seconds=margins.seconds,
        budget=Budget(seconds=seconds),
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )


def _write(report: Report, format_: GateFormat, target: Path | None, verbose: bool) -> None:
    from distillbench.bench.compare import formats

    if format_ is GateFormat.terminal:
        screen = console()
        width = table_width(screen)
        screen.print(formats.terminal(report, width, verbose), soft_wrap=width is None)
    else:
        deliver(formats.FORMATS[format_.value](report), target)


def _margins(quality: list[str], speed: str | None, seconds: float, stored: bool) -> Margins:
    from distillbench.bench.compare.margins import INTERLEAVED_SPEED, STORED_SPEED, Margins

    relative, of_metric = 0.01, {}
    for text in quality:
        name, equals, value = text.partition("=")
        if equals and name:
            of_metric[name] = _number("--quality-margin", text, value)
        else:
            relative = _percent("--quality-margin", text, "1% or psnr=0.1")
    if not 0 <= seconds < math.inf:
        raise UserError(f"invalid time {seconds}", "--least-seconds", allowed="0 and more, such as 2e-6")
    default = STORED_SPEED if stored else INTERLEAVED_SPEED
    return Margins(relative, of_metric, default if speed is None else _percent("--speed-margin", speed, "1%"), seconds)


def _percent(option: str, text: str, example: str) -> float:
    if not text.endswith("%"):
        raise UserError(f"invalid margin {text!r}", option, allowed=f"0 and more, such as {example}")
    return _number(option, text, text[:-1], example) / 100


def _number(option: str, text: str, digits: str, example: str = "psnr=0.1") -> float:
    try:
        value = float(digits)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UserError(f"invalid margin {text!r}", option, allowed=f"0 and more, such as {example}")
    return value
