"""The interface of an executor: jobs in, events out. Of a job it knows the name and what the job needs, no more."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Runnable(Protocol):
    """What an executor must know of a job, which it pickles to send it to a worker.

    Attributes:
        id: Its name, unique among the jobs of a run.
        needs: The names of the jobs that must have succeeded before it starts.
    """

    @property
    def id(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]: ...


J = TypeVar("J", bound=Runnable)
T = TypeVar("T")
Execute = Callable[[J, Callable[[int, int], None]], T]
"""Does a job in a worker and returns its result; it may call its second argument with (step, steps) meanwhile."""


@dataclass(frozen=True)
class JobProgress:
    """A job has started (step 0), or has reached a step."""

    id: str
    step: int
    steps: int


@dataclass(frozen=True)
class JobEnd(Generic[T]):
    """A job has ended: with a result, or with an error."""

    id: str
    result: T | None
    error: BaseException | None


@dataclass(frozen=True)
class WorkerLoss:
    """The worker of a job has died, and the job starts once more."""

    id: str
    reason: str


Event = JobProgress | JobEnd[T] | WorkerLoss


class Executor(Protocol):
    """Runs jobs in workers, which have the same code as the caller and see the same folders."""

    def run(self, jobs: Sequence[J], execute: Execute[J, T]) -> Generator[Event[T], None, None]:
        """Run every job after those it needs, and yield what happens.

        Each job has exactly one ``JobEnd``. Errors are yielded, not raised; a job that needs a failed one fails too,
        without being run. A job whose worker dies is tried once more. Closing the generator stops the workers, and so
        does the death of the calling process.

        Args:
            jobs: In the order in which they start where several can.
            execute: A function of a module that the workers can import.
        """
        ...
