"""What runs, how far it is, and how long it still takes."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from distillbench.bench.run.estimate import seconds_of
from distillbench.bench.run.jobs import Job
from distillbench.bench.run.runner import Listener, Plan, estimate
from distillbench.bench.store import status
from distillbench.bench.store.records import Record
from distillbench.common.errors import at_most
from distillbench.common.signals import check_reader

LINE_EVERY = 30
"""Seconds between two lines where there is no terminal to draw on."""
BEAT_EVERY = 5
"""Seconds between two signs of life."""
STATUS_EVERY = 1
"""Seconds between two writings of the status, at least."""


class Course(Listener):
    """How far a run is, from what it tells. running: {job: (step, steps)}."""

    def __init__(self) -> None:
        self.cost: dict[str, float] = {}
        self.running: dict[str, tuple[int, int]] = {}
        self.finished: set[str] = set()
        self.cells = self.failed = self.expected = 0
        self.start = time.monotonic()

    def planned(self, jobs: Sequence[Job]) -> None:
        self.start = time.monotonic()
        self.cost = {job.id: seconds_of(job) for job in jobs}
        self.expected = sum(len(job.cells) for job in jobs)

    def progressed(self, job: Job, step: int, steps: int) -> None:
        self.running[job.id] = step, steps

    def done(self, job: Job, records: Sequence[Record]) -> None:
        self.finished.add(job.id)
        self.running.pop(job.id, None)
        self.cells += len(records)
        self.failed += sum(record.failure is not None for record in records)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    @property
    def left(self) -> float | None:
        """Seconds, from the estimate, scaled by how it has held so far; None as long as that says little."""
        share = {job: step / steps for job, (step, steps) in self.running.items()} | dict.fromkeys(self.finished, 1.0)
        done, total = sum(c * share.get(k, 0.0) for k, c in self.cost.items()), sum(self.cost.values())
        return self.seconds * (total - done) / done if done > 0 and done >= 0.03 * total else None


class StatusFile(Course):
    """Writes how far the run is into its folder, and takes that away when it ends. A disk that is full ends no run."""

    def __init__(self, results: Path) -> None:
        super().__init__()
        self.results = results
        self.written = -math.inf
        self.over = threading.Event()
        self.pulse = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> StatusFile:
        self._write()
        self.pulse.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.pulse.join()
        with suppress(OSError):
            status.remove(self.results)

    def _beat(self) -> None:
        """An evaluation may be silent for minutes."""
        while not self.over.wait(BEAT_EVERY):
            with suppress(OSError):
                status.touch(self.results)

    def planned(self, jobs: Sequence[Job]) -> None:
        super().planned(jobs)
        self._write()

    def progressed(self, job: Job, step: int, steps: int) -> None:
        super().progressed(job, step, steps)
        self._write()

    def done(self, job: Job, records: Sequence[Record]) -> None:
        super().done(job, records)
        self._write()

    def _write(self) -> None:
        if time.monotonic() - self.written < STATUS_EVERY:
            return
        self.written = time.monotonic()
        now = status.Status(
            cells=self.cells,
            failed=self.failed,
            expected=self.expected,
            seconds=self.seconds,
            left=self.left,
            running=self.running,
        )
        with suppress(OSError):
            status.write(self.results, now)


class Live(Course):
    """Bars on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.bar_of: dict[str, TaskID] = {}
        self.last_line = time.monotonic()
        self.total: TaskID | None = None

    def __enter__(self) -> Live:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def unreadable(self, problems: Sequence[str]) -> None:
        for line in at_most(5, [f"{problem}; it is made again" for problem in problems]):
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def planned(self, jobs: Sequence[Job]) -> None:
        super().planned(jobs)
        self.last_line = self.start
        self.total = self.bars.add_task("cells", total=self.expected, left="")

    def progressed(self, job: Job, step: int, steps: int) -> None:
        super().progressed(job, step, steps)
        if job.id not in self.bar_of:
            self.bar_of[job.id] = self.bars.add_task(job.id, total=steps, left="")
        self.bars.update(self.bar_of[job.id], completed=step, total=steps)
        self._warn_once()

    def lost(self, job: Job, reason: str) -> None:
        self.console.print(f"{job.id}: {reason}; it is tried once more", markup=False, highlight=False, soft_wrap=True)

    def done(self, job: Job, records: Sequence[Record]) -> None:
        super().done(job, records)
        if (bar := self.bar_of.pop(job.id, None)) is not None:
            self.bars.remove_task(bar)
        for record in records:
            if record.failure is not None:
                self.console.print(
                    f"failed: {record.name}: {record.failure.reason}",
                    markup=False,
                    highlight=False,
                )
        self._warn_once()

    def _warn_once(self) -> None:
        check_reader()
        if self.total is not None:
            self.bars.update(self.total, completed=self.cells, left=time_left(self.left))
        if not self.console.is_terminal and time.monotonic() - self.last_line > LINE_EVERY:
            self.last_line = time.monotonic()
            self.console.print(
                course_line(self.cells, self.expected, self.left, self.running), markup=False, soft_wrap=True
            )


class Together(Listener):
    """Several who watch one run."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def planned(self, jobs: Sequence[Job]) -> None:
        for listener in self.listeners:
            listener.planned(jobs)

    def progressed(self, job: Job, step: int, steps: int) -> None:
        for listener in self.listeners:
            listener.progressed(job, step, steps)

    def lost(self, job: Job, reason: str) -> None:
        for listener in self.listeners:
            listener.lost(job, reason)

    def done(self, job: Job, records: Sequence[Record]) -> None:
        for listener in self.listeners:
            listener.done(job, records)

    def unreadable(self, problems: Sequence[str]) -> None:
        for listener in self.listeners:
            listener.unreadable(problems)


def course_line(cells: int, expected: int, left: float | None, running: Iterable[str]) -> str:
    """'34/227 cells, about 6 min left; now: students gan/dense_128_16 seed 0'; ``left``: None before it is known."""
    course = ", ".join(filter(None, [f"{cells}/{expected} cells", time_left(left)]))
    now = ", ".join(running)
    return f"{course}; now: {now}" if now else course


def time_left(seconds: float | None) -> str:
    return "" if seconds is None else f"about {format_seconds(seconds)} left"


class Counter(Listener):
    """Tells a function how many cells are done, of how many."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self.tell, self.cells, self.expected = tell, 0, 0

    def planned(self, jobs: Sequence[Job]) -> None:
        self.expected = sum(len(job.cells) for job in jobs)
        self.tell(0, self.expected)

    def done(self, job: Job, records: Sequence[Record]) -> None:
        self.cells += len(records)
        self.tell(self.cells, self.expected)


def summary_line(todo: Plan, workers: int | None, cache: Path | None = None, overwrite: bool = False) -> str:
    """'quick: 192 cells, 0 finished, about 8 min on 2 workers'. Of a GPU nothing is known before it has run."""
    text = f"{todo.suite.name}: {len(todo.cells)} cells, {len(todo.finished)} finished"
    if todo.failed:
        text += f", {len(todo.failed)} failed before"
    if todo.unreadable:
        text += f", {len(todo.unreadable)} unreadable"
    if todo.other:
        text += f", {len(todo.other)} of another configuration"
    if not todo.to_do and not todo.other:
        return f"{text}: nothing to do"
    seconds, count = estimate(todo, workers, cache, overwrite)
    unseen = "" if todo.suite.device == "cpu" else f" of a CPU ({todo.suite.device} was not looked at)"
    return f"{text}, about {format_seconds(seconds)} on {count} worker{'s' if count > 1 else ''}{unseen}"


def format_seconds(seconds: float) -> str:
    """'40 s', '8 min', '3.5 h'."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
