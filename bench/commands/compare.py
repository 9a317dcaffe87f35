"""``distillbench compare``: what changed between two sets of measurements, and whether it may."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillbench.bench.commands.options import Settings, Tasks, chosen, console, names
from distillbench.bench.store.terms import BACKENDS
from distillbench.common.errors import UserError
from distillbench.common.paths import expanded, regular_file

if TYPE_CHECKING:
    from distillbench.bench.compare.correction import Margins
    from distillbench.bench.compare.findings import Report


class GateFormat(StrEnum):
    terminal = "terminal"
    github = "github"
    json = "json"
    junit = "junit"


def compare(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BASELINE CANDIDATE", help="Results folders, or JSON of pytest-benchmark. With --revisions: SUITE."
        ),
    ] = None,
    revisions: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="BASE HEAD", help="Measure two git revisions here, in turns, as in: -- SUITE."),
    ] = None,
    quality_margin: Annotated[
        list[str] | None, typer.Option(metavar="MARGIN", help="1% of the baseline, or psnr=0.1 in its unit.")
    ] = None,
    speed_margin: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Slower by up to this is tolerated; default: 5%, with --revisions 1%."),
    ] = None,
    least_seconds: Annotated[float, typer.Option(help="As are so many seconds a call.")] = 2e-6,
    metrics: Annotated[
        list[str] | None, typer.Option(metavar="NAMES", help="These metrics, or all; default: the primary metrics.")
    ] = None,
    tasks: Tasks = None,
    repository: Annotated[
        Path | None,
        typer.Option(parser=expanded, metavar="DIR", help="Of the revisions; default: the current folder's."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="For all that the revisions take, after which it says what it knows; default: 10."),
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option("--backends", "--backend", metavar="NAMES", help=f"Times of {', '.join(BACKENDS)}."),
    ] = None,
    set_: Settings = None,
    format_: Annotated[GateFormat, typer.Option("--format", "-f", help="How to write it.")] = GateFormat.terminal,
    output: Annotated[
        Path | None, typer.Option(parser=expanded, metavar="FILE", help="Write to this file in place of the terminal.")
    ] = None,
    allow_inconclusive: Annotated[bool, typer.Option("--allow-inconclusive", help="Exit with 0 for these.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="List what passes as well.")] = False,
) -> None:
    """Whether a candidate is as good and as fast. Exit: 0 pass, 1 regressed, 3 incomplete, 4 inconclusive.

    With --revisions BASE HEAD -- SUITE, whether the suite's students are as small and as fast at HEAD as at BASE.
    """
    target = regular_file(output, "--output") if output is not None else None
    if target is not None and format_ is GateFormat.terminal:
        raise UserError("--output: needs --format (allowed: github, json, junit)")
    margins = _margins(quality_margin or [], speed_margin, least_seconds, stored=revisions is None)
    what = [text for text in given or () if text]  # an empty one, of a variable that is not set, is none
    if revisions is None:
        only = {"--repository": repository, "--minutes": minutes, "--set": set_}
        _without(only, "needs --revisions")
        if len(what) != 2:
            raise UserError(f"compare: {len(what)} given (allowed: BASELINE CANDIDATE, or --revisions and a SUITE)")
        ways = chosen("--backends", backends, BACKENDS) if backends else []
        sides = expanded(what[0]), expanded(what[1])
        report = _stored(*sides, margins, names("--metrics", metrics), names("--tasks", tasks), ways)
    else:
        of_quality = {"--quality-margin": quality_margin, "--metrics": metrics}
        _without(of_quality, "not with --revisions, where nothing is trained")
        if len(what) != 1:
            raise UserError(f"--revisions: {len(what)} given beside them (allowed: one SUITE, after --)")
        if minutes is not None and not 0 < minutes < math.inf:
            raise UserError(f"--minutes: {minutes} is no time (allowed: above 0)")
        report = _measured(
            revisions,
            what[0],
            margins,
            repository=repository or Path(),
            seconds=60 * (10 if minutes is None else minutes),
            backends=chosen("--backends", backends or ["eager"], BACKENDS),
            set_=tuple(set_ or ()),
            tasks=tuple(names("--tasks", tasks)),
        )
    _write(report, format_, target, verbose)
    raise typer.Exit(report.exit_code(allow_inconclusive))


def _without(options: Mapping[str, object], why: str) -> None:
    for option, value in options.items():
        if value is not None and value != []:
            raise UserError(f"{option}: {why}")


def _stored(
    baseline: Path, candidate: Path, margins: Margins, metrics: list[str], tasks: list[str], backends: list[str]
) -> Report:
    from distillbench.bench.compare.benchmarks import compare_benchmarks, files
    from distillbench.bench.compare.results import compare_results

    for side in (baseline, candidate):
        if not side.exists():
            raise UserError(f"{side}: no such results folder, or file")
    of_benchmarks = [bool(files(side)) for side in (baseline, candidate)]
    if all(of_benchmarks):
        _without({"--metrics": metrics, "--tasks": tasks, "--backends": backends}, "needs results folders")
        return compare_benchmarks(baseline, candidate, margins)
    if any(of_benchmarks):
        raise UserError(
            f"{candidate}: not of the kind of {baseline} (allowed: two results folders, or two of benchmarks)"
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
    from distillbench.bench.compare.revisions import Plan, compare_revisions

    return compare_revisions(
        *revisions,
        suite,
        repository=repository,
        set_=set_,
        tasks=tasks,
        backends=tuple(backends),
        speed_margin=margins.speed,
        least_seconds=margins.seconds,
        plan=Plan(seconds=seconds),
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )


def _write(report: Report, format_: GateFormat, target: Path | None, verbose: bool) -> None:
    from distillbench.bench.compare import formats
    from distillbench.common.atomic import write_atomically

    if format_ is GateFormat.terminal:
        screen = console()
        width = screen.width if screen.is_terminal else None
        screen.print(formats.terminal(report, width, verbose), soft_wrap=width is None)
        return
    text = formats.FORMATS[format_.value](report)
    if target is None:
        sys.stdout.write(text)
        return
    try:
        write_atomically(target, text.encode())
    except OSError as error:
        raise UserError(f"--output: {target} cannot be written ({error.strerror})") from error


def _margins(quality: list[str], speed: str | None, seconds: float, stored: bool) -> Margins:
    from distillbench.bench.compare.correction import IN_TURNS, STORED, Margins

    relative, of = 0.01, {}
    for text in quality:
        name, equals, value = text.partition("=")
        if equals and name:
            of[name] = _number("--quality-margin", text, value)
        else:
            relative = _percent("--quality-margin", text, "1% or psnr=0.1")
    if not 0 <= seconds < math.inf:
        raise UserError(f"--least-seconds: {seconds} is not a time (allowed: seconds from 0, as in 2e-6)")
    usual = STORED if stored else IN_TURNS
    return Margins(relative, of, usual if speed is None else _percent("--speed-margin", speed, "1%"), seconds)


def _percent(option: str, text: str, example: str) -> float:
    if not text.endswith("%"):
        raise UserError(f"{option}: {text!r} is not a margin (allowed: from 0, as in {example})")
    return _number(option, text, text[:-1], example) / 100


def _number(option: str, text: str, digits: str, example: str = "psnr=0.1") -> float:
    try:
        value = float(digits)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UserError(f"{option}: {text!r} is not a margin (allowed: from 0, as in {example})")
    return value
