"""``distillbench compare``: what changed between two sets of measurements, and whether it may."""

from __future__ import annotations

import math
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.options import Tasks, names
from bench.errors import UserError
from bench.paths import regular_file

if TYPE_CHECKING:
    from bench.gate.results import Margins


class GateFormat(StrEnum):
    terminal = "terminal"
    github = "github"
    json = "json"
    junit = "junit"


def compare(
    baseline: Annotated[
        Path, typer.Argument(metavar="BASELINE", help="A results folder, or JSON of pytest-benchmark.")
    ],
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE", help="Another one.")],
    quality_margin: Annotated[
        list[str] | None, typer.Option(metavar="MARGIN", help="1% of the baseline, or psnr=0.1 in its unit.")
    ] = None,
    speed_margin: Annotated[str, typer.Option(metavar="PERCENT", help="Slower by up to this is tolerated.")] = "1%",
    least_seconds: Annotated[float, typer.Option(help="As are so many seconds a call.")] = 2e-6,
    metrics: Annotated[
        list[str] | None, typer.Option(metavar="NAMES", help="These metrics, or all; default: the headlines.")
    ] = None,
    tasks: Tasks = None,
    format_: Annotated[GateFormat, typer.Option("--format", "-f", help="How to write it.")] = GateFormat.terminal,
    output: Annotated[Path | None, typer.Option(help="Write to this file in place of the terminal.")] = None,
    allow_inconclusive: Annotated[bool, typer.Option("--allow-inconclusive", help="Exit with 0 for these.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="List what passes as well.")] = False,
) -> None:
    """Whether a candidate is as good and as fast. Exit: 0 pass, 1 regressed, 3 incomplete, 4 inconclusive."""
    from bench.gate.benchmarks import compare_benchmarks, files
    from bench.gate.formats import FORMATS, terminal
    from bench.gate.results import compare_results
    from tasks.data.atomic import write_atomically

    target = regular_file(output, "--output") if output is not None else None
    margins = _margins(quality_margin or [], speed_margin, least_seconds)
    kinds = [bool(files(side)) for side in (baseline, candidate)]
    if all(kinds):
        report = compare_benchmarks(baseline, candidate, margins)
    elif any(kinds):
        raise UserError(
            f"{candidate}: not of the kind of {baseline} (allowed: two results folders, or two of benchmarks)"
        )
    else:
        report = compare_results(baseline, candidate, margins, names("--metrics", metrics), names("--tasks", tasks))
    text = terminal(report, verbose) if format_ is GateFormat.terminal else FORMATS[format_.value](report)
    if target is None:
        sys.stdout.write(text)
    else:
        try:
            write_atomically(target, text.encode())
        except OSError as error:
            raise UserError(f"{output}: cannot be written ({error.strerror})") from error
    raise typer.Exit(report.exit_code(allow_inconclusive))


def _margins(quality: list[str], speed: str, seconds: float) -> Margins:
    from bench.gate.results import Margins

    relative, of = 0.01, {}
    for text in quality:
        name, equals, value = text.partition("=")
        if equals and name:
            of[name] = _number("--quality-margin", text, value)
        else:
            relative = _percent("--quality-margin", text, "1% or psnr=0.1")
    if not 0 <= seconds < math.inf:
        raise UserError(f"--least-seconds: {seconds} is not a time (allowed: seconds from 0, as in 2e-6)")
    return Margins(relative, of, _percent("--speed-margin", speed, "1%"), seconds)


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
