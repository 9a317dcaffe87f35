"""Jobs for tests of the executor; a module of its own, since a worker imports what it is to do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


class StubbornError(Exception):
    """Cannot be copied: its constructor wants two arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


@dataclass(frozen=True)
class Job:
    """action: what to do. folder: where to leave a mark."""

    id: str
    action: str
    folder: Path
    needs: tuple[str, ...] = ()


def environment_of(job: Job, report: Callable[[int, int], None]) -> dict[str, str]:
    return dict(os.environ)


def execute(job: Job, report: Callable[[int, int], None]) -> str:
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
