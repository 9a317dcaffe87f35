"""Local processes, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.2
_reports: Any = None


class Named(Protocol):
    """What an executor must know of a job."""

    @property
    def id(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]: ...


J = TypeVar("J", bound=Named)


@dataclass(frozen=True)
class Done(Generic[T]):
    """A job that ended: with a result, or with an error."""

    id: str
    result: T | None
    error: BaseException | None


@dataclass(frozen=True)
class Progress:
    """A job that goes on."""

    id: str
    step: int
    steps: int


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    jobs: Sequence[J], execute: Callable[[J, Callable[[int, int], None]], T], workers: int
) -> Iterator[Done[T] | Progress]:
    """Run every job after those it needs, yielding what happens. A job whose need failed is not run, and fails too.

    A worker that dies (killed, out of memory) fails the jobs that were running; the others go on in new workers.
    Closing the iterator stops the workers.
    """
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    waiting, failures, finished = list(jobs), dict[str, BaseException](), set[str]()
    running: dict[Future[T], J] = {}
    pool: ProcessPoolExecutor | None = None
    # Read by the libraries when a worker loads them: one thread a worker, whatever the machine has.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        while waiting or running:
            if pool is None:
                pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(reports,))
            for job in [job for job in waiting if set(job.needs) & failures.keys()]:
                waiting.remove(job)
                need = next(need for need in job.needs if need in failures)
                failures[job.id] = RuntimeError(f"{need} failed: {failures[need]}")
                yield Done(job.id, None, failures[job.id])
            for job in [job for job in waiting if set(job.needs) <= finished][: 2 * workers - len(running)]:
                waiting.remove(job)
                running[pool.submit(_work, execute, job)] = job
            if not running:
                continue
            done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            while True:
                try:
                    yield Progress(*reports.get_nowait())
                except queue.Empty:
                    break
            for future in done:
                job = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    pool = None
                    error = RuntimeError("the worker process died (killed, or out of memory)")
                if error is not None:
                    failures[job.id] = error
                else:
                    finished.add(job.id)
                yield Done(job.id, None if error else future.result(), error)
    finally:
        if pool is not None:
            processes = list((pool._processes or {}).values()) if running else []
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
        reports.close()


def _start(reports: Any) -> None:
    global _reports
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means


def _work(execute: Callable[[J, Callable[[int, int], None]], T], job: J) -> T:
    _reports.put((job.id, 0, 1))  # it has begun; what comes next may report no steps
    return execute(job, lambda step, steps: _reports.put((job.id, step, steps)))
