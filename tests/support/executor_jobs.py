"""Jobs for tests of the executor; a module of its own, since workers import it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from distillbench.bench.workers.executor import UNLIMITED, ExhaustedError, Limits
from distillbench.common.atomic import write_atomically


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
        limits: What it may use.
        actions: Of its parts, where it is tried once more by these.
        files: Folder of files that hold the names of all jobs that one came after, where it is to leave any.
    """

    id: str
    action: str
    folder: Path
    needs: tuple[str, ...] = ()
    limits: Limits = UNLIMITED
    actions: tuple[str, ...] = ()
    files: Path = Path("nowhere")

    def parts(self) -> tuple[Job, ...]:
        """Return one job an action, or the job itself."""
        parts = (replace(self, id=f"{self.id}.{i}", action=action, actions=()) for i, action in enumerate(self.actions))
        return tuple(parts) or (self,)

    def reads(self) -> tuple[Path, ...]:
        """Return what the jobs have written that it needs."""
        return tuple(self.files / need for need in self.needs)

    def writes(self) -> tuple[Path, ...]:
        """Return its file."""
        return (self.files / self.id,)

    def states(self) -> tuple[Path, ...]:
        """Return the file of its count."""
        return (self.files / f"{self.id}.state",)

    def moved(self, folder: Path) -> Job:
        """Return the job with its files in another folder."""
        return replace(self, files=folder / "files")


def environment_of(job: Job, report: Callable[[int, int], None]) -> dict[str, str]:
    """Return the environment variables of the worker."""
    return dict(os.environ)


def nothing(job: Job, report: Callable[[int, int], None]) -> None:
    """Do nothing."""


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
        case "chatter":
            until = time.monotonic() + 8
            while time.monotonic() < until:
                report(1, 2)
                time.sleep(0.01)
        case "hang":
            time.sleep(600)
        case "wait":
            while not (job.folder / "go").exists():
                time.sleep(0.05)
        case "mark":
            report(1, 2)
            while True:
                with (job.folder / job.id).open("a") as marks:
                    marks.write("x")
                time.sleep(0.1)
        case "count":
            return count(job, first)
        case "lack":
            raise ExhaustedError(f"no memory in {os.getpid()}")
        case "eat":
            eaten = bytearray(os.urandom(4096) * 2**17)
            time.sleep(600)
            del eaten
        case "file":
            job.writes()[0].parent.mkdir(parents=True, exist_ok=True)
            job.writes()[0].write_text("".join(path.read_text() for path in job.reads()) + job.id)
    report(1, 2)
    return f"{job.id} done"


def count(job: Job, first: bool) -> str:
    """Count to ten from where it was, and die at seven the first time; returns where it began."""
    (state,) = job.states()
    begun = int(state.read_text()) if state.exists() else 0
    for number in range(begun + 1, 11):
        time.sleep(0.4)
        write_atomically(state, str(number).encode())
        if number == 7 and first:
            time.sleep(3)
            os.kill(os.getpid(), signal.SIGKILL)
    state.unlink()
    return f"{job.id} went on from {begun}"
