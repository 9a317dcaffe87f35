"""Jobs for tests of the executor; a module of its own, since workers import it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class StubbornError(Exception):
    """Cannot be pickled: its constructor needs two arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


@dataclass(frozen=True)
class Job:
    """A job.

    Attributes:
        id: Its name.
        action: What it does.
        folder: Where it leaves a mark for each time that it starts.
        needs: The names of the jobs that come before it.
    """

    id: str
    action: str
    folder: Path
    needs: tuple[str, ...] = ()


def environment_of(job: Job, report: Callable[[int, int], None]) -> dict[str, str]:
    """Return the environment variables of the worker."""
    return dict(os.environ)


def execute(job: Job, report: Callable[[int, int], None]) -> str:
    """Do what the action of a job says."""
    with (job.folder / job.id).open("a") as marks:
        marks.write("x")
    first = (job.folder / job.id).stat().st_size == 1
    match job.action:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "die once" if first:
            os.kill(os.getpid(), signal.SIGKILL)
        case "leave":
            os._exit(3)
        case "raise":
            raise StubbornError("no", "way")
        case "print":
            print("noise on standard output")
        case "sleep":
            time.sleep(0.3)
    report(1, 2)
    return f"{job.id} done"
