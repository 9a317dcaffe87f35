"""What runs on the nodes of a Ray cluster: the work of a job, and the mailbox of what jobs say meanwhile."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import ray

from distillbench.bench.machine.process import ProcessIdentity, resident, this_process
from distillbench.bench.workers.executor import ExhaustedError, PortableJob
from distillbench.bench.workers.software import difference, software
from distillbench.bench.workers.worker import portable
from distillbench.common.atomic import write_atomically

NOTE_EVERY = 1.0
"""Fewest seconds between two notes of a job's progress."""
LOOK_EVERY = 0.5
"""Seconds between two looks at whether a job is beyond a limit."""


@dataclass(frozen=True)
class Fate:
    """Where a job ran, and why its process stopped it: '' where it did not."""

    node: str = ""
    cause: str = ""


class Mailbox:
    """An actor that keeps the latest that each job says of itself until the driver asks."""

    def __init__(self) -> None:
        self._steps: dict[str, tuple[int, int]] = {}
        self._fates: dict[str, Fate] = {}
        self._states: dict[str, dict[int, bytes]] = {}

    def started(self, id_: str, node: str) -> None:
        """Note that a job has started on a node."""
        self._steps[id_], self._fates[id_] = (0, 1), Fate(node)

    def reached(self, id_: str, step: int, steps: int) -> None:
        """Note how far a job is."""
        self._steps[id_] = step, steps

    def kept(self, id_: str, index: int, state: bytes) -> None:
        """Keep the state of a job: the content of one of its files."""
        self._states.setdefault(id_, {})[index] = state

    def states(self, running: set[str]) -> dict[str, dict[int, bytes]]:
        """Take out the states that have come since the last time; forget those of jobs that do not run."""
        states, self._states = self._states, {}
        return {id_: state for id_, state in states.items() if id_ in running}

    def stopped(self, id_: str, cause: str) -> None:
        """Note why the process of a job ends itself."""
        self._fates[id_] = Fate(self._fates.get(id_, Fate()).node, cause)

    def steps(self, running: set[str]) -> dict[str, tuple[int, int]]:
        """Take out (step, steps) of the jobs that have gone on since the last time; forget those that do not run."""
        steps, self._steps = self._steps, {}
        self._fates = {id_: fate for id_, fate in self._fates.items() if id_ in running}
        return {id_: step for id_, step in steps.items() if id_ in running}

    def fate(self, id_: str) -> Fate:
        """Return where a job ran, and why it was stopped."""
        return self._fates.get(id_, Fate())


def work(
    id_: str, message: bytes, files: Sequence[Sequence[Any]], expected: dict[str, str], mailbox: Any
) -> tuple[bytes, Sequence[bytes | None]]:
    """Do a job in folders of this process.

    Args:
        id_: The job's.
        message: The pickled function and job.
        files: Of each file that the job reads, then of each in which it kept its state, its reference if it exists.
        expected: The software of the driver: a node may have joined after it asked all.
        mailbox: A ``Mailbox``.

    Returns:
        The pickled result and error, and the content of each file that the job writes, None where it has not.
    """
    mailbox.started.remote(id_, ray.get_runtime_context().get_node_id())
    if differs := difference(software(), expected):
        _end_process(id_, f"its node {differs}", mailbox)
    try:
        execute, job = pickle.loads(message)
        here = job.moved(folder())
        for path, reference in zip((*here.reads(), *here.states()), files, strict=True):
            if reference and not path.exists():
                write_atomically(path, ray.get(reference[0]))
        with _watched(id_, here, mailbox):
            result = execute(here, _report(id_, mailbox))
        written = [path.read_bytes() if path.exists() else None for path in here.writes()]
        for path in set(here.writes()) - set(here.reads()):  # nothing here needs it any more
            path.unlink(missing_ok=True)
        return pickle.dumps((result, None)), written
    except (ExhaustedError, OSError) as error:  # of this process or this node, as a full disk
        _end_process(id_, f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error), mailbox)
    except Exception as error:  # it fails this job, not the worker
        return pickle.dumps((None, portable(error))), ()


def _report(id_: str, mailbox: Any) -> Any:
    last = time.monotonic()

    def report(step: int, steps: int) -> None:
        nonlocal last
        if time.monotonic() - last >= NOTE_EVERY or step == steps:
            last = time.monotonic()
            mailbox.reached.remote(id_, step, steps)

    return report


@cache
def folder() -> Path:
    """Return the folder of this process; those of processes of this user on this machine that are gone are removed."""
    me = this_process()
    root = Path(tempfile.gettempdir(), f"distillbench-ray-{os.getuid()}-{me.host}")
    root.mkdir(mode=0o700, exist_ok=True)
    for other in root.iterdir():
        pid, _, started = other.name.partition("-")
        if ProcessIdentity(me.host, int(pid), float(started)).ended():
            shutil.rmtree(other, ignore_errors=True)
    own = root / f"{me.pid}-{me.started:.2f}"
    own.mkdir(exist_ok=True)
    return own


@contextmanager
def _watched(id_: str, job: PortableJob, mailbox: Any) -> Iterator[None]:
    """End this process where the job goes beyond a limit; send the states that it keeps meanwhile."""
    over = threading.Event()
    threading.Thread(target=_watch, args=(id_, job, mailbox, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(id_: str, job: PortableJob, mailbox: Any, over: threading.Event) -> None:
    start, limits, sent = time.monotonic(), job.limits, dict[Path, int]()
    while not over.wait(LOOK_EVERY):
        for index, path in enumerate(job.states()):
            with suppress(OSError):
                if (written := path.stat().st_mtime_ns) != sent.get(path):
                    mailbox.kept.remote(id_, index, path.read_bytes())
                    sent[path] = written
        if cause := limits.exceeded(time.monotonic() - start, resident(os.getpid())):
            _end_process(id_, cause, mailbox)


def _end_process(id_: str, cause: str, mailbox: Any) -> NoReturn:
    """End this process, with all that it holds; the driver learns why, and that the job is lost."""
    with suppress(Exception):  # the process ends, whether or not the driver learns why
        ray.get(mailbox.stopped.remote(id_, cause), timeout=5)
    os._exit(1)
