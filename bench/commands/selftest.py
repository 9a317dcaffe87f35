"""``distillbench selftest``: whether this machine can detect a change in speed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated

import typer

from distillbench.bench.commands.options import console, seconds_of


def selftest(
    quick: Annotated[bool, typer.Option("--quick", help="Make fewer comparisons, in under two minutes.")] = False,
    minutes: Annotated[
        float | None, typer.Option(help="Time limit in minutes. Default: 10, or 2 with --quick.")
    ] = None,
) -> None:
    """Check whether this machine can detect a slowdown of 5%.

    It times a network against itself, and against itself with 5% more work. Exit codes: 0 yes, 1 no, 4 inconclusive.
    """
    start = time.perf_counter()
    seconds = None if minutes is None else seconds_of(minutes)
    screen = console()
    with screen.status("selftest: preparing"):
        from distillbench.bench.machine.environment import environment
        from distillbench.bench.machine.load import look
        from distillbench.bench.machine.lock import alone_on_the_machine
        from distillbench.bench.machine.processor import description
        from distillbench.bench.timing.selftest import FULL, QUICK, network, workloads
        from distillbench.bench.timing.selftest import selftest as measure

    design = QUICK if quick else FULL
    if seconds is not None:
        design = replace(design, seconds=seconds, truth_seconds=min(design.truth_seconds, seconds / 8))
    with alone_on_the_machine():
        before = look()
        about = environment()
        limit = f"at most {design.seconds / 60:.2g} minutes"
        screen.print(f"{description(about)}, {about['cores']} cores, 1 thread; {limit}")
        for note in before.notes():
            screen.print(note)
        pair = workloads(*network(), seconds=min(8.0, design.seconds / 10))
        result = measure(*pair, design, start=start)  # no progress meanwhile: a moving bar is work, too
        for note in before.notes(after=look()):
            if note not in before.notes():
                screen.print(note)
    for line in result.lines():
        screen.print(line, soft_wrap=True)
    code = {"yes": 0, "no": 1, "inconclusive": 4}[result.answer]
    if code:
        raise typer.Exit(code)
