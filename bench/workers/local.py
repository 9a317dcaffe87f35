"""Local processes, one thread each."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

from distillbench.bench.workers.messages import Done, Lost, Progress, receive, send

T = TypeVar("T")
DEFAULTS = {"OMP_NUM_THREADS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Of a worker's environment, read by libraries when it loads them: one thread a worker, whatever the machine has; on a
GPU sums in the same order each time."""
PATIENCE = 2.0
"""Seconds that a worker has to end when its input closes, before it is killed."""


class Named(Protocol):
    """What an executor must know of a job."""

    @property
    def id(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]: ...


J = TypeVar("J", bound=Named)


class Worker:
    """A process and the job it has, if any. What it says goes to ``events``; None is its death."""

    def __init__(self, events: queue.SimpleQueue[tuple[Worker, bytes | None]]) -> None:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
        environment = DEFAULTS | os.environ | {"PYTHONPATH": path}
        with _unheard(signal.SIGINT):
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "distillbench.bench.workers.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
        self.job: Any = None
        self.events = events
        threading.Thread(target=self._listen, daemon=True).start()

    def give(self, execute: Callable[..., Any], job: Named) -> None:
        self.job = job
        assert self.process.stdin is not None
        with suppress(OSError):  # a dead worker is heard of in another way
            send(self.process.stdin, (job.id, pickle.dumps((execute, job))))  # type: ignore[arg-type]

    def _listen(self) -> None:
        try:
            while True:
                self.events.put((self, receive(self.process.stdout)))  # type: ignore[arg-type]
        except Exception:  # closed, or cut off in the middle of a message: it is dead either way
            self.events.put((self, None))

    def dismiss(self) -> None:
        """Close its input, on which it ends at once, whatever it does."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()

    def join(self) -> None:
        """Wait until it has ended; kill it if it does not."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def _unheard(number: signal.Signals) -> Iterator[None]:
    """Processes started here never see this signal: Ctrl-C goes to all, but the driver decides what it means."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(
    jobs: Sequence[J], execute: Callable[[J, Callable[[int, int], None]], T], workers: int
) -> Iterator[Done[T] | Progress | Lost]:
    """Run every job after those it needs, yielding what happens. A job whose need failed is not run, and fails too.

    A worker that dies (killed, out of memory) takes its own job with it, which is tried once more in a new worker.
    Closing the iterator stops the workers, and so does the death of this process, however it dies.
    """
    waiting, failures, finished, lost = list(jobs), dict[str, BaseException](), set[str](), set[str]()
    events: queue.SimpleQueue[tuple[Worker, bytes | None]] = queue.SimpleQueue()
    team: list[Worker] = []
    try:
        while waiting or any(worker.job for worker in team):
            for job in [job for job in waiting if set(job.needs) & failures.keys()]:
                waiting.remove(job)
                need = next(need for need in job.needs if need in failures)
                failures[job.id] = RuntimeError(f"{need} failed: {failures[need]}")
                yield Done(job.id, None, failures[job.id])
            for job in [job for job in waiting if set(job.needs) <= finished]:
                worker = next((worker for worker in team if worker.job is None), None)
                if worker is None:
                    if len(team) == workers:
                        break
                    team.append(worker := Worker(events))
                waiting.remove(job)
                worker.give(execute, job)
            if not any(worker.job for worker in team):
                continue
            worker, message = events.get()
            if message is not None:
                event = pickle.loads(message)
            else:
                team.remove(worker)
                if worker.job is None:
                    continue
                event = _death(worker, lost)
            if isinstance(event, Lost):
                waiting.insert(0, next(job for job in jobs if job.id == event.id))
            elif isinstance(event, Done):
                worker.job = None
                if event.error is not None:
                    failures[event.id] = event.error
                else:
                    finished.add(event.id)
            yield event
    finally:
        for worker in team:
            worker.dismiss()
        for worker in team:
            worker.join()


def _death(worker: Worker, lost: set[str]) -> Done[Any] | Lost:
    """What becomes of a dead worker's job: tried once more, and failed the second time."""
    code = worker.process.wait()
    cause = f"by {signal.Signals(-code).name}, or out of memory" if code < 0 else f"exit code {code}"
    id_, reason = worker.job.id, f"the worker process died ({cause})"
    if id_ in lost:
        return Done(id_, None, RuntimeError(f"{reason}, twice"))
    lost.add(id_)
    return Lost(id_, reason)
