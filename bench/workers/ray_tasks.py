"""The tasks of a run on a Ray cluster, as the driver sees them."""

from __future__ import annotations

import pickle
import random
import socket
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distillbench.bench.workers.executor import Event, Execute, JobEnd, JobProgress, PortableJob, WorkerLoss
from distillbench.bench.workers.job_queue import JobQueue
from distillbench.bench.workers.ray_worker import Fate, Mailbox, work
from distillbench.bench.workers.software import software
from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError

LOOK_EVERY = 1.0
"""Seconds between two looks at how far the jobs are, where none ends."""
HEAD_ANSWERS_WITHIN = 15.0
"""Seconds that the head may be silent; after 60 Ray would end the driver."""
AHEAD, WAITING = 16, 2
"""Tasks at Ray, so many and so many for each core of the cluster, so that none idles until the driver looks again."""
NODES_LOST = 3
"""So many nodes a job may lose that it does not answer for; one that loses more may be what kills them."""
NODE_LOST = (exceptions.NodeDiedError, exceptions.ObjectLostError, exceptions.TaskUnschedulableError)


class Tasks:
    """One task a job."""

    def __init__(
        self,
        jobs: Sequence[PortableJob],
        execute: Execute[Any, Any],
        gpus: float,
        workers: int | None,
        whole_node: bool = False,
    ) -> None:
        """Prepare the tasks; ``events`` starts them.

        Args:
            jobs: In the order in which they start where several can.
            execute: Does a job.
            gpus: What a job takes of a GPU.
            workers: How many run at once, at most; None: as many as the cluster has room for.
            whole_node: Whether a job takes all cores of a node, of those that have the most.
        """
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        mailbox: Any = ray.remote(Mailbox)
        self._mailbox = mailbox.options(num_cpus=0, scheduling_strategy=here, max_restarts=-1).remote()
        self._asked: list[ray.ObjectRef[Any]] = []
        """What the mailbox was asked and has not answered yet."""
        cores = max(_cores(gpus)) if whole_node else 1
        self._work = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=0)(work)
        self._head, self._head_answered = ray.get_runtime_context().gcs_address, time.monotonic()
        self._execute, self._most = execute, workers
        self._room, self._software = workers or _room(), software()
        self._waiting: JobQueue[PortableJob] = JobQueue(jobs)
        self._running: dict[ray.ObjectRef[Any], PortableJob] = {}
        """By the reference of what a task returns."""
        self._files: dict[Path, ray.ObjectRef[bytes]] = {}
        """In the object store, as long as some job reads them."""
        self._readers = Counter(path for job in jobs for path in job.reads())
        self._nodes_lost: Counter[str] = Counter()
        self._avoided: dict[str, str] = {}
        """By job, the node on which a worker died of it."""

    def events(self) -> Generator[Event[Any], None, None]:
        """Run every job after those it needs, and yield what happens.

        Raises:
            UserError: The head of the cluster is lost.
        """
        last = time.monotonic()
        while self._waiting or self._running:
            yield from self._waiting.blocked()
            self._submit()
            for reference in self._ended():
                event = self._end(reference)
                self._waiting.update(event)
                yield event
            if time.monotonic() - last >= LOOK_EVERY:
                last = time.monotonic()
                if self._head_answers():  # else a question would wait until Ray ends the driver
                    self._room = self._most or _room()
                    yield from self._progress()

    def _submit(self) -> None:
        while len(self._running) < self._room and (job := self._waiting.take()) is not None:
            files = [self._file(path) for path in job.reads()] + [_state(path) for path in job.states()]
            task = self._work.options(scheduling_strategy=self._elsewhere(job.id))
            message = pickle.dumps((self._execute, job))
            self._running[task.remote(job.id, message, files, self._software, self._mailbox)] = job

    def _ended(self) -> list[Any]:
        """The tasks that have ended, after a moment."""
        if not self._running:
            return []
        waited = list(self._running)
        ended, _ = ray.wait(waited, timeout=LOOK_EVERY)
        return ray.wait(waited, num_returns=len(waited), timeout=0)[0] if ended else []

    def _head_answers(self) -> bool:
        host, _, port = self._head.rpartition(":")
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), LOOK_EVERY):
            self._head_answered = time.monotonic()
            return True
        if time.monotonic() - self._head_answered > HEAD_ANSWERS_WITHIN:
            raise UserError(f"the head of the cluster, {self._head}, is lost; what was finished is kept", "--address")
        return False

    def _progress(self) -> Iterator[JobProgress]:
        """How far the jobs are; the states that they have kept are written where they will be looked for."""
        running = {job.id: job for job in self._running.values()}
        if not self._asked:
            self._asked = [box.remote({*running}) for box in (self._mailbox.steps, self._mailbox.states)]
        if len(ray.wait(self._asked, num_returns=2, timeout=0)[0]) < 2:
            return
        asked, self._asked = self._asked, []
        try:
            steps, states = ray.get(asked)
        except exceptions.RayError:  # it was lost, and begins anew
            return
        for id_, contents in states.items():
            for index, content in contents.items() if id_ in running else ():
                write_atomically(running[id_].states()[index], content)
        yield from (JobProgress(id_, *step) for id_, step in steps.items() if id_ in running)

    def _elsewhere(self, id_: str) -> Any:
        """Any node; where a worker has died of the job before, another one, if there is one."""
        others = [node["NodeID"] for node in ray.nodes() if node["Alive"]] if id_ in self._avoided else []
        others = [node for node in others if node != self._avoided[id_]]
        return NodeAffinitySchedulingStrategy(random.choice(others), soft=True) if others else "DEFAULT"

    def _file(self, path: Path) -> list[Any]:
        """The reference of a file, in a list, so that a node gets it only where it lacks it; empty if there is none."""
        if path not in self._files and path.exists():
            self._files[path] = ray.put(path.read_bytes())
        return [self._files[path]] if path in self._files else []

    def _end(self, reference: Any) -> Event[Any]:
        job = self._running.pop(reference)
        try:
            end, contents = ray.get(reference)
        except NODE_LOST as lost:
            return self._node_lost(job, lost)
        except exceptions.RayError as lost:
            return self._worker_lost(job, lost)
        for path, content in zip(job.writes(), contents, strict=bool(contents)):
            if content is not None:
                write_atomically(path, content)
                self._files.pop(path, None)  # others get what is there now, and not what could not be used
        for path in job.states():
            path.unlink(missing_ok=True)
        self._forget(job)
        return JobEnd(job.id, *pickle.loads(end))

    def _node_lost(self, job: PortableJob, lost: BaseException) -> Event[Any]:
        """The job starts once more as it is: it does not answer for its node, unless that happens too often."""
        self._nodes_lost[job.id] += 1
        if self._nodes_lost[job.id] > NODES_LOST:
            return self._worker_lost(job, lost)
        return WorkerLoss(job.id, "its node was lost", (job,))

    def _worker_lost(self, job: PortableJob, lost: BaseException) -> Event[Any]:
        try:
            fate: Fate = ray.get(self._mailbox.fate.remote(job.id), timeout=LOOK_EVERY)
        except exceptions.RayError:
            fate = Fate()
        event = self._waiting.loss(job.id, fate.cause or f"the worker process died ({_words(lost)})")
        if isinstance(event, WorkerLoss):
            self._readers.update(path for part in event.parts for path in part.reads())
            self._avoided |= {part.id: fate.node for part in event.parts}
        self._forget(job)
        return event

    def _forget(self, job: PortableJob) -> None:
        """Drop the files that no other job reads."""
        for path in job.reads():
            self._readers[path] -= 1
            if not self._readers[path]:
                self._files.pop(path, None)


def _state(path: Path) -> list[Any]:
    """The reference of a state that was kept, as of now; empty if there is none."""
    try:
        return [ray.put(path.read_bytes())]
    except OSError:
        return []


def _cores(gpus: float) -> list[int]:
    """The cores of each node that has so many GPUs."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [int(has.get("CPU", 0)) for has in nodes if has.get("GPU", 0.0) >= gpus]


def _room() -> int:
    """How many tasks Ray is given at once: a few more than the cluster does at the moment, as nodes come and go."""
    return AHEAD + WAITING * int(ray.cluster_resources().get("CPU", 1))


def _words(error: BaseException) -> str:
    match error:
        case exceptions.OutOfMemoryError():
            return "its node was out of memory"
        case exceptions.WorkerCrashedError():
            return "killed, or out of memory"
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
