"""The executor of this machine: worker processes of one thread each."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from distillbench.bench.machine.process import resident
from distillbench.bench.workers.executor import UNLIMITED, Event, Execute, ExhaustedError, J, JobEnd, Runnable, T
from distillbench.bench.workers.job_queue import JobQueue
from distillbench.bench.workers.pipes import receive, send

DEFAULTS = {"OMP_NUM_THREADS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Environment of a worker, read by libraries when it loads them: one thread, whatever the machine has; on a GPU sums in
the same order each time."""
PATIENCE = 2.0
"""Seconds that a worker has to end when its input closes, before it is killed."""
LOOK_EVERY = 0.5
"""Seconds between two looks at whether a worker is beyond a limit of its job."""


@dataclass(frozen=True)
class LocalExecutor:
    """Runs jobs in processes of this machine; see ``Executor``.

    Attributes:
        workers: How many processes run at once, at most.
    """

    workers: int

    def run(self, jobs: Sequence[J], execute: Execute[J, T]) -> Generator[Event[T], None, None]:
        """Run every job after those it needs, and yield what happens; see ``Executor.run``."""
        waiting: JobQueue[J] = JobQueue(jobs)
        pool = _Pool(self.workers, execute, waiting)
        try:
            while waiting or pool.busy:
                yield from waiting.blocked()
                pool.start()
                if pool.busy and (event := pool.next_event()) is not None:
                    waiting.update(event)
                    yield event
        finally:
            pool.close()


class _Pool:
    """The worker processes."""

    def __init__(self, size: int, execute: Execute[Any, Any], waiting: JobQueue[Any]) -> None:
        self._size, self._execute, self._waiting = size, execute, waiting
        self._workers: list[_Worker] = []
        self._messages: queue.SimpleQueue[tuple[_Worker, bytes | None]] = queue.SimpleQueue()
        self._looked = time.monotonic()

    @property
    def busy(self) -> bool:
        return any(worker.job for worker in self._workers)

    def start(self) -> None:
        """Give jobs that are ready to idle workers, and to new ones while there is room."""
        idle = [worker for worker in self._workers if worker.idle]
        while idle or len(self._workers) < self._size:
            if (job := self._waiting.take()) is None:
                return
            if not idle:
                idle = [_Worker(self._messages)]
                self._workers += idle
            idle.pop().start(self._execute, job)

    def next_event(self) -> Event[Any] | None:
        """Wait for what a worker reports; None where an idle one has died, or time has passed."""
        limited = any(worker.limited for worker in self._workers)
        if limited and time.monotonic() - self._looked >= LOOK_EVERY:  # however much others report
            self._looked = time.monotonic()
            for worker in self._workers:
                worker.enforce_limits()
        try:
            worker, message = self._messages.get(timeout=LOOK_EVERY if limited else None)
        except queue.Empty:
            return None
        if worker not in self._workers:  # one that was ended
            return None
        if message is None:
            self._workers.remove(worker)
            return self._waiting.loss(worker.job.id, worker.cause_of_death()) if worker.job else None
        event: Event[Any] = pickle.loads(message)
        if not isinstance(event, JobEnd):
            return event
        worker.job = None
        if isinstance(event.error, ExhaustedError):  # what it holds of the memory is free for the next try
            self._workers.remove(worker)
            worker.close()
            worker.join()
        return self._waiting.ended(event)

    def close(self) -> None:
        """End the workers, whatever they do."""
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.join()


class _Worker:
    """A process and its job, None while it is idle. Its messages go to a queue; None in place of one is its death."""

    def __init__(self, messages: queue.SimpleQueue[tuple[_Worker, bytes | None]]) -> None:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
        environment = DEFAULTS | os.environ | {"PYTHONPATH": path}
        with _without_signal(signal.SIGINT):
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "distillbench.bench.workers.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
        self.job: Any = None
        self._started, self._beyond = 0.0, ""
        self._messages = messages
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, execute: Execute[Any, Any], job: Runnable) -> None:
        self.job, self._started = job, time.monotonic()
        assert self.process.stdin is not None
        with suppress(OSError):  # the death of a worker is reported by its output
            send(self.process.stdin, (job.id, pickle.dumps((execute, job))))  # type: ignore[arg-type]

    @property
    def idle(self) -> bool:
        """Whether it can be given a job: one that was killed as its job ended cannot."""
        return self.job is None and not self._beyond

    @property
    def limited(self) -> bool:
        """Whether it does a job that has limits."""
        return self.job is not None and self.job.limits != UNLIMITED

    def enforce_limits(self) -> None:
        """Kill it where its job is beyond a limit; its output tells its death."""
        if not self.limited or self._beyond:
            return
        self._beyond = self.job.limits.exceeded(time.monotonic() - self._started, resident(self.process.pid))
        if self._beyond:
            self.process.kill()

    def cause_of_death(self) -> str:
        """Say why it died, once it has."""
        code = self.process.wait()
        cause = f"by {signal.Signals(-code).name}, or out of memory" if code < 0 else f"exit code {code}"
        return self._beyond or f"the worker process died ({cause})"

    def _listen(self) -> None:
        try:
            while True:
                self._messages.put((self, receive(self.process.stdout)))  # type: ignore[arg-type]
        except Exception:  # closed, or cut off in the middle of a message: the worker is dead either way
            self._messages.put((self, None))

    def close(self) -> None:
        """Close its input, on which it ends at once."""
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
def _without_signal(number: signal.Signals) -> Iterator[None]:
    """Start processes that never get a signal: Ctrl-C goes to all, but the driver decides what it means."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
