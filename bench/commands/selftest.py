"""``distillbench selftest``: what this machine can see of a change in speed."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Annotated

import typer

from distillbench.bench.commands.options import console
from distillbench.common.errors import UserError


def selftest(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer comparisons: in under two minutes.")] = False,
    minutes: Annotated[
        float | None, typer.Option(help="Say by then what can be said; default: 10, with --quick 2.")
    ] = None,
) -> None:
    """Can this machine see a slowdown of 5%? A network against itself, and against itself with 5% more work.

    Exit code 0: yes; 1: no; 4: inconclusive.
    """
    start = time.perf_counter()
    if minutes is not None and not 0 < minutes < math.inf:
        raise UserError(f"--minutes: {minutes} is no time (allowed: above 0)")
    screen = console()
    with screen.status("selftest: preparing"):
        from distillbench.bench.machine.environment import environment
        from distillbench.bench.machine.load import look
        from distillbench.bench.machine.lock import alone_on_the_machine
        from distillbench.bench.machine.processor import description
        from distillbench.bench.timing.selftest import FULL, QUICK, network, workloads
        from distillbench.bench.timing.selftest import selftest as measure

    design = QUICK if quick else FULL
    if minutes is not None:
        design = replace(design, seconds=60 * minutes, truth_seconds=min(design.truth_seconds, 60 * minutes / 8))
    with alone_on_the_machine():
        before = look()
        about = environment()
        limit = f"at most {design.seconds / 60:.2g} minutes"
        screen.print(f"{description(about)}, {about['cores']} cores, 1 thread; {limit}")
        for note in before.notes():
            screen.print(note)
        pair = workloads(*network(), seconds=min(8.0, design.seconds / 10))
        found = measure(*pair, design, start=start)  # no progress meanwhile: a moving bar is work, too
        for note in before.notes(after=look()):
            if note not in before.notes():
                screen.print(note)
    for line in found.lines():
        screen.print(line, soft_wrap=True)
    code = {"yes": 0, "no": 1, "inconclusive": 4}[found.answer]
    if code:
        raise typer.Exit(code)
