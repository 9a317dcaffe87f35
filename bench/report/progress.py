"""What runs, how far it is, and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.errors import at_most
from bench.estimate import seconds_of
from bench.jobs import Job
from bench.records import Record
from bench.runner import Listener, Plan, estimate
from bench.stopping import check_reader

LINE_EVERY = 30
"""Seconds between two lines where there is no terminal to draw on."""


class Live(Listener):
    """Bars on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
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
        self.cost: dict[str, float] = {}
        self.share: dict[str, float] = {}
        self.finished: set[str] = set()
        self.running: dict[str, TaskID] = {}
        self.cells = self.expected = 0
        self.start = self.last_line = time.monotonic()
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
        self.start = self.last_line = time.monotonic()
        self.cost = {job.id: seconds_of(job) for job in jobs}
        self.expected = sum(len(job.cells) for job in jobs)
        self.total = self.bars.add_task("cells", total=self.expected, left="")

    def progressed(self, job: Job, step: int, steps: int) -> None:
        if job.id not in self.running:
            self.running[job.id] = self.bars.add_task(job.id, total=steps, left="")
        self.bars.update(self.running[job.id], completed=step, total=steps)
        self.share[job.id] = step / steps
        self._tell()

    def lost(self, job: Job, reason: str) -> None:
        self.console.print(f"{job.id}: {reason}; it is tried once more", markup=False, highlight=False, soft_wrap=True)

    def done(self, job: Job, records: Sequence[Record]) -> None:
        self.finished.add(job.id)
        self.cells += len(records)
        if (bar := self.running.pop(job.id, None)) is not None:
            self.bars.remove_task(bar)
        for record in records:
            if record.failure is not None:
                self.console.print(
                    f"failed: {record.name}: {record.failure.reason}",
                    markup=False,
                    highlight=False,
                )
        self._tell()

    def _tell(self) -> None:
        check_reader()
        left = self._left()
        if self.total is not None:
            self.bars.update(self.total, completed=self.cells, left=left)
        if not self.console.is_terminal and time.monotonic() - self.last_line > LINE_EVERY:
            self.last_line = time.monotonic()
            running = ", ".join(self.running)
            self.console.print(
                f"{self.cells}/{self.expected} cells, {left}; now: {running}", markup=False, soft_wrap=True
            )

    def _left(self) -> str:
        """From the estimate, scaled by how it has held so far."""
        done = sum(c * (1.0 if k in self.finished else self.share.get(k, 0.0)) for k, c in self.cost.items())
        elapsed = time.monotonic() - self.start
        if done < 0.03 * sum(self.cost.values()) or done == 0:
            return ""
        seconds = elapsed * (sum(self.cost.values()) - done) / done
        return f"about {format_seconds(seconds)} left"


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


def headline(todo: Plan, workers: int | None, cache: Path | None = None, overwrite: bool = False) -> str:
    """'quick: 192 cells, 0 finished, about 8 min on 2 workers'."""
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
    return f"{text}, about {format_seconds(seconds)} on {count} worker{'s' if count > 1 else ''}"


def format_seconds(seconds: float) -> str:
    """'40 s', '8 min', '3.5 h'."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
