"""``distillbench selftest``: what this machine can see of a change in speed."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import console


def selftest(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer comparisons: in under two minutes.")] = False,
) -> None:
    """Can this machine see a slowdown of 5%? A network against itself, and against itself with 5% more work.

    Exit code 0: yes; 1: no; 4: inconclusive.
    """
    screen = console()
    with screen.status("selftest: preparing"):
        from bench.measure.environment import environment
        from bench.measure.load import look
        from bench.measure.lock import alone_on_the_machine
        from bench.selftest import FULL, QUICK, network, subjects
        from bench.selftest import selftest as measure

    plan = QUICK if quick else FULL
    with alone_on_the_machine():
        before = look()
        about = environment()
        screen.print(f"{about['cpu']}, {about['cores']} cores, 1 thread; at most {plan.seconds / 60 + 0.5:.0f} minutes")
        for note in before.notes():
            screen.print(note)
        found = measure(*subjects(*network()), plan)  # no progress meanwhile: a moving bar is work, too
        for note in before.notes(after=look()):
            if note not in before.notes():
                screen.print(note)
    for line in found.lines():
        screen.print(line, soft_wrap=True)
    code = {"yes": 0, "no": 1, "inconclusive": 4}[found.answer]
    if code:
        raise typer.Exit(code)
