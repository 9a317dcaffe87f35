"""The progress of a run: what runs, how far it is, and about how long it still takes."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from distillbench.bench.run.estimate import FLOPS_PER_SECOND, seconds_of
from distillbench.bench.run.execution import LOCAL, Execution
from distillbench.bench.run.jobs import Job
from distillbench.bench.run.plan import Plan
from distillbench.bench.run.runner import Listener, estimate
from distillbench.bench.store import status
from distillbench.bench.store.records import Record
from distillbench.common.durations import format_seconds
from distillbench.common.errors import at_most
from distillbench.common.signals import check_reader

LINE_EVERY = 30
"""Seconds between two lines where the output is not a terminal."""
BEAT_EVERY = 5
"""Seconds between two updates of the status file's time."""
STATUS_EVERY = 1
"""Fewest seconds between two writings of the status file."""


class RunProgress(Listener):
    """The progress of a run.

    Attributes:
        cost: Estimated seconds by job.
        running: Step and number of steps by job that runs.
        finished: The jobs that have ended.
        cells: How many cells are done.
        failed: How many of these failed.
        expected: How many cells there are.
        start: By the monotonic clock.
    """

    def __init__(self) -> None:
        self.cost: dict[str, float] = {}
        self.running: dict[str, tuple[int, int]] = {}
        self.finished: set[str] = set()
        self.cells = self.failed = self.expected = 0
        self.start = time.monotonic()

    def planned(self, jobs: Sequence[Job]) -> None:
        self.start = time.monotonic()
        self.cost = {job.id: seconds_of(job) for job in jobs}
        self.finished.clear()
        self.expected = self.cells + sum(len(job.cells) for job in jobs)

    def progressed(self, job: Job, step: int, steps: int) -> None:
        self.running[job.id] = step, steps

    def lost(self, job: Job, reason: str, parts: Sequence[Job]) -> None:
        self.running.pop(job.id, None)
        del self.cost[job.id]
        self.cost |= {part.id: seconds_of(part) for part in parts}

    def postponed(self, job: Job, reason: str) -> None:
        self.running.pop(job.id, None)
        del self.cost[job.id]

    def done(self, job: Job, records: Sequence[Record]) -> None:
        self.finished.add(job.id)
        self.running.pop(job.id, None)
        self.cells += len(records)
        self.failed += sum(record.failure is not None for record in records)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end, from the estimate scaled by the time so far; None before that is meaningful."""
        share = {job: step / steps for job, (step, steps) in self.running.items()} | dict.fromkeys(self.finished, 1.0)
        done, total = sum(c * share.get(k, 0.0) for k, c in self.cost.items()), sum(self.cost.values())
        return self.seconds * (total - done) / done if done > 0 and done >= 0.03 * total else None


class StatusFile(RunProgress):
    """Writes the progress into the results folder, and deletes it at the end; a full disk does not end the run."""

    def __init__(self, results: Path) -> None:
        super().__init__()
        self.results = results
        self.written = -math.inf
        self.over = threading.Event()
        self.pulse = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> StatusFile:
        self.pulse.start()
        try:
            self._write()
        except BaseException:  # an interrupt may come when the file is just there
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.pulse.join()
        with suppress(OSError):
            status.remove(self.results)

    def _beat(self) -> None:
        """Show that the run continues: an evaluation may report nothing for minutes."""
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
            left=self.seconds_left,
            running=self.running,
        )
        with suppress(OSError):
            status.write(self.results, now)


class ProgressDisplay(RunProgress):
    """Shows the progress: bars on a terminal, elsewhere a line now and then."""

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
        self.postponements: set[str] = set()

    def __enter__(self) -> ProgressDisplay:
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
        if self.total is None:
            self.total = self.bars.add_task("cells", total=self.expected, left="")
        self.bars.update(self.total, total=self.expected)

    def progressed(self, job: Job, step: int, steps: int) -> None:
        super().progressed(job, step, steps)
        if job.id not in self.bar_of:
            self.bar_of[job.id] = self.bars.add_task(job.id, total=steps, left="")
        self.bars.update(self.bar_of[job.id], completed=step, total=steps)
        self._show()

    def lost(self, job: Job, reason: str, parts: Sequence[Job]) -> None:
        super().lost(job, reason, parts)
        self._remove_bar(job)
        again = (
            "it is tried once more" if len(parts) == 1 else f"its {len(parts)} cells are tried once more, each alone"
        )
        self.console.print(f"{job.id}: {reason}; {again}", markup=False, highlight=False, soft_wrap=True)

    def postponed(self, job: Job, reason: str) -> None:
        super().postponed(job, reason)
        self._remove_bar(job)
        if reason not in self.postponements:
            self.postponements.add(reason)
            self.console.print(f"{reason}; its results are waited for", markup=False, highlight=False, soft_wrap=True)

    def done(self, job: Job, records: Sequence[Record]) -> None:
        super().done(job, records)
        self._remove_bar(job)
        for record in records:
            if record.failure is not None:
                self.console.print(f"failed: {record.name}: {record.failure.reason}", markup=False, highlight=False)
        self._show()

    def _remove_bar(self, job: Job) -> None:
        if (bar := self.bar_of.pop(job.id, None)) is not None:
            self.bars.remove_task(bar)

    def _show(self) -> None:
        check_reader()
        if self.total is not None:
            self.bars.update(self.total, completed=self.cells, left=time_left(self.seconds_left))
        if not self.console.is_terminal and time.monotonic() - self.last_line > LINE_EVERY:
            self.last_line = time.monotonic()
            line = progress_line(self.cells, self.expected, self.seconds_left, self.running)
            self.console.print(line, markup=False, soft_wrap=True)


class Listeners(Listener):
    """Passes on what happens to several listeners."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def planned(self, jobs: Sequence[Job]) -> None:
        for listener in self.listeners:
            listener.planned(jobs)

    def progressed(self, job: Job, step: int, steps: int) -> None:
        for listener in self.listeners:
            listener.progressed(job, step, steps)

    def lost(self, job: Job, reason: str, parts: Sequence[Job]) -> None:
        for listener in self.listeners:
            listener.lost(job, reason, parts)

    def postponed(self, job: Job, reason: str) -> None:
        for listener in self.listeners:
            listener.postponed(job, reason)

    def done(self, job: Job, records: Sequence[Record]) -> None:
        for listener in self.listeners:
            listener.done(job, records)

    def unreadable(self, problems: Sequence[str]) -> None:
        for listener in self.listeners:
            listener.unreadable(problems)


def progress_line(cells: int, expected: int, seconds_left: float | None, running: Iterable[str]) -> str:
    """Format progress as '34/227 cells, about 6 min left; now: students gan/dense_128_16 seed 0'.

    Args:
        cells: How many are done.
        expected: How many there are.
        seconds_left: None before it is known.
        running: The ids of the jobs that run.
    """
    line = ", ".join(filter(None, [f"{cells}/{expected} cells", time_left(seconds_left)]))
    jobs = ", ".join(running)
    return f"{line}; now: {jobs}" if jobs else line


def time_left(seconds: float | None) -> str:
    """Format the remaining time as 'about 6 min left'; '' where it is None."""
    return "" if seconds is None else f"about {format_seconds(seconds)} left"


class CellCounter(Listener):
    """Calls a function with how many cells are done, and how many there are."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self.report, self.cells, self.expected = report, 0, 0

    def planned(self, jobs: Sequence[Job]) -> None:
        self.expected = self.cells + sum(len(job.cells) for job in jobs)
        self.report(self.cells, self.expected)

    def done(self, job: Job, records: Sequence[Record]) -> None:
        self.cells += len(records)
        self.report(self.cells, self.expected)


def summary_line(plan: Plan, execution: Execution = LOCAL, overwrite: bool = False) -> str:
    """Format a plan as 'quick: 192 cells, 0 finished, about 8 min on 2 workers'.

    Args:
        plan: The plan.
        execution: By which executor.
        overwrite: Whether records of another configuration are replaced.

    Raises:
        UserError: Data or networks do not fit the settings of a pair.
    """
    counts: dict[str, Sequence[object]] = {
        "failed before": plan.failed,
        "unreadable": plan.reasons("unreadable"),
        "of another configuration": plan.stale,
        "of other shards": plan.elsewhere,
    }
    text = f"{plan.suite.name}: {len(plan.cells)} cells, {len(plan.finished)} finished"
    text += "".join(f", {len(cells)} {name}" for name, cells in counts.items() if cells)
    if not plan.to_do and not plan.stale:
        return f"{text}: nothing to do"
    seconds, workers = estimate(plan, execution, overwrite)
    where = f"{workers} worker{'s' if workers > 1 else ''}" if execution.workers_for(plan.suite) else "a single core"
    # A GPU's speed is unknown before it has run.
    device = "" if plan.suite.device == "cpu" else f" at {FLOPS_PER_SECOND['cuda'] / 1e12:g} TFLOP/s (not measured)"
    return f"{text}, about {format_seconds(seconds)} on {where}{device}"
