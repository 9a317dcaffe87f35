"""The jobs of a run that wait: for a worker, or for the jobs they need."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Any, Generic

from distillbench.bench.workers.executor import Event, ExhaustedError, J, JobEnd, WorkerLoss


class JobQueue(Generic[J]):
    """Jobs by priority, each given out after those it needs, in logarithmic time.

    What an executor yields must pass through ``update``, which lets the jobs go on that waited for it.
    """

    def __init__(self, jobs: Sequence[J]) -> None:
        """Line up some jobs.

        Args:
            jobs: In the order in which they start where several can.
        """
        self._jobs = {job.id: job for job in jobs}
        self._rank = {job.id: rank for rank, job in enumerate(jobs)}
        self._lacking = {job.id: len(set(job.needs)) for job in jobs}
        self._dependents: dict[str, list[str]] = defaultdict(list)
        for job in jobs:
            for need in set(job.needs):
                self._dependents[need].append(job.id)
        self._waiting = set(self._jobs)
        self._ready = [(self._rank[job.id], job.id) for job in jobs if not job.needs]
        self._blocked: deque[JobEnd[Any]] = deque()
        self._retried: set[str] = set()

    def __len__(self) -> int:
        """The number of jobs that nobody has taken, with those that fail since they need a failed one."""
        return len(self._waiting) + len(self._blocked)

    def take(self) -> J | None:
        """Take out the first job that has all it needs; None where there is none now."""
        if not self._ready:
            return None
        _, id_ = heapq.heappop(self._ready)
        self._waiting.discard(id_)
        return self._jobs[id_]

    def blocked(self) -> Iterator[JobEnd[Any]]:
        """Take out the ends of jobs that need a failed one: they fail too."""
        while self._blocked:
            end = self._blocked.popleft()
            self.update(end)
            yield end

    def loss(self, id_: str, reason: str) -> JobEnd[Any] | WorkerLoss:
        """Return what the death of a job's worker means: that its parts start once more, or, the second time, its end.

        Args:
            id_: The job's.
            reason: Why the worker died.
        """
        if id_ in self._retried:
            return JobEnd(id_, None, RuntimeError(f"{reason}, twice"))
        parts = self._jobs[id_].parts()
        self._retried |= {part.id for part in parts}
        return WorkerLoss(id_, reason, parts)

    def ended(self, end: JobEnd[Any]) -> Event[Any]:
        """Return what the end of a job means: a loss, where its worker had no memory for it."""
        return self.loss(end.id, str(end.error)) if isinstance(end.error, ExhaustedError) else end

    def update(self, event: Event[Any]) -> None:
        """Note the end of a job, and line up the parts of one whose worker died."""
        if isinstance(event, WorkerLoss):
            self._lost(event)
        elif isinstance(event, JobEnd) and event.error is None:
            self._finished(event.id)
        elif isinstance(event, JobEnd):
            self._failed(event.id, event.error)

    def _lost(self, loss: WorkerLoss) -> None:
        dependents = self._dependents.pop(loss.id, [])
        for dependent in dependents:
            self._lacking[dependent] += len(loss.parts) - 1
        for part in loss.parts:
            self._jobs[part.id], self._rank[part.id] = part, self._rank[loss.id]
            self._dependents[part.id] = list(dependents)
            self._waiting.add(part.id)
            heapq.heappush(self._ready, (self._rank[part.id], part.id))

    def _finished(self, id_: str) -> None:
        for dependent in self._dependents.pop(id_, ()):
            self._lacking[dependent] -= 1
            if not self._lacking[dependent] and dependent in self._waiting:
                heapq.heappush(self._ready, (self._rank[dependent], dependent))

    def _failed(self, id_: str, error: BaseException | None) -> None:
        for dependent in self._dependents.pop(id_, ()):
            if dependent in self._waiting:
                self._waiting.discard(dependent)
                failure = RuntimeError(f"{id_} failed: {error}")
                failure.__cause__ = error
                self._blocked.append(JobEnd(dependent, None, failure))
