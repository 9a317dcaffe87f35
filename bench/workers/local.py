"""The executor of this machine: worker processes of one thread each."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic

from distillbench.bench.workers.executor import Event, Execute, J, JobEnd, Runnable, T, WorkerLoss
from distillbench.bench.workers.pipes import receive, send

DEFAULTS = {"OMP_NUM_THREADS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Environment of a worker, read by libraries when it loads them: one thread, whatever the machine has; on a GPU sums in
the same order each time."""
PATIENCE = 2.0
"""Seconds that a worker has to end when its input closes, before it is killed."""


@dataclass(frozen=True)
class LocalExecutor:
    """Runs jobs in processes of this machine; see ``Executor``.

    Attributes:
        workers: How many processes run at once, at most.
    """

    workers: int

    def run(self, jobs: Sequence[J], execute: Execute[J, T]) -> Generator[Event[T], None, None]:
        """Run every job after those it needs, and yield what happens; see ``Executor.run``."""
        waiting, pool = _Queue(jobs), _Pool(self.workers, execute)
        try:
            while waiting.jobs or pool.busy:
                yield from waiting.blocked()
                pool.start(waiting)
                if pool.busy and (event := pool.next_event()) is not None:
                    waiting.update(event)
                    yield event
        finally:
            pool.close()


class _Queue(Generic[J]):
    """Jobs that wait for a worker, or for the jobs they need.

    Attributes:
        jobs: Those that wait, in the order in which they start.
    """

    def __init__(self, jobs: Sequence[J]) -> None:
        self.jobs = list(jobs)
        self._by_id = {job.id: job for job in jobs}
        self._finished: set[str] = set()
        self._failures: dict[str, BaseException] = {}

    def ready(self) -> list[J]:
        """Return the jobs that have all they need."""
        return [job for job in self.jobs if set(job.needs) <= self._finished]

    def blocked(self) -> Iterator[JobEnd[Any]]:
        """Take out the jobs that need a failed one: they fail too."""
        for job in [job for job in self.jobs if set(job.needs) & self._failures.keys()]:
            self.jobs.remove(job)
            need = next(need for need in job.needs if need in self._failures)
            self._failures[job.id] = RuntimeError(f"{need} failed: {self._failures[need]}")
            yield JobEnd(job.id, None, self._failures[job.id])

    def update(self, event: Event[Any]) -> None:
        """Note the end of a job, and put one back whose worker died."""
        if isinstance(event, WorkerLoss):
            self.jobs.insert(0, self._by_id[event.id])
        elif isinstance(event, JobEnd) and event.error is not None:
            self._failures[event.id] = event.error
        elif isinstance(event, JobEnd):
            self._finished.add(event.id)


class _Pool:
    """The worker processes. A job whose worker dies is tried once more; the second time it has failed."""

    def __init__(self, size: int, execute: Execute[Any, Any]) -> None:
        self._size, self._execute = size, execute
        self._workers: list[_Worker] = []
        self._messages: queue.SimpleQueue[tuple[_Worker, bytes | None]] = queue.SimpleQueue()
        self._retried: set[str] = set()

    @property
    def busy(self) -> bool:
        return any(worker.job for worker in self._workers)

    def start(self, waiting: _Queue[Any]) -> None:
        """Give jobs that are ready to idle workers, and to new ones while there is room."""
        for job in waiting.ready():
            if (worker := self._idle_worker()) is None:
                return
            waiting.jobs.remove(job)
            worker.start(self._execute, job)

    def _idle_worker(self) -> _Worker | None:
        idle = next((worker for worker in self._workers if worker.job is None), None)
        if idle is None and len(self._workers) < self._size:
            self._workers.append(idle := _Worker(self._messages))
        return idle

    def next_event(self) -> Event[Any] | None:
        """Wait for what a worker reports; None where an idle one has died."""
        worker, message = self._messages.get()
        if message is None:
            self._workers.remove(worker)
            return self._loss(worker) if worker.job else None
        event: Event[Any] = pickle.loads(message)
        if isinstance(event, JobEnd):
            worker.job = None
        return event

    def _loss(self, worker: _Worker) -> JobEnd[Any] | WorkerLoss:
        code = worker.process.wait()
        cause = f"by {signal.Signals(-code).name}, or out of memory" if code < 0 else f"exit code {code}"
        id_, reason = worker.job.id, f"the worker process died ({cause})"
        if id_ in self._retried:
            return JobEnd(id_, None, RuntimeError(f"{reason}, twice"))
        self._retried.add(id_)
        return WorkerLoss(id_, reason)

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
        self._messages = messages
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, execute: Execute[Any, Any], job: Runnable) -> None:
        self.job = job
        assert self.process.stdin is not None
        with suppress(OSError):  # the death of a worker is reported by its output
            send(self.process.stdin, (job.id, pickle.dumps((execute, job))))  # type: ignore[arg-type]

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
