"""The interface of an executor: jobs in, events out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from distillbench.common.durations import format_seconds


@dataclass(frozen=True)
class Limits:
    """What a job may use before its worker is killed; None where nothing is said.

    Attributes:
        seconds: Of wall-clock time.
        bytes: Of resident memory, the worker's libraries included.
    """

    seconds: float | None = None
    bytes: float | None = None

    def exceeded(self, seconds: float, memory: float) -> str:
        """Say which limit a job is beyond, '' where it is within.

        Args:
            seconds: Since its start.
            memory: The bytes that its process has.
        """
        if self.seconds is not None and seconds > self.seconds:
            return f"stopped after {format_seconds(self.seconds)}, its limit"
        if self.bytes is not None and memory > self.bytes:
            return f"stopped with {memory / 1e9:.1f} GB of memory (limit: {self.bytes / 1e9:.1f} GB)"
        return ""


UNLIMITED = Limits()


class Runnable(Protocol):
    """What an executor must know of a job, which it pickles to send it to a worker.

    Attributes:
        id: Its name, unique among the jobs of a run.
        needs: The names of the jobs that must have succeeded before it starts.
        limits: What it may use.
    """

    @property
    def id(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def limits(self) -> Limits: ...

    def parts(self) -> tuple[Self, ...]:
        """What is tried once more where its worker dies: the job itself, or its parts, with names of their own.

        One part that kills its worker takes no other with it.
        """
        ...


class Whole:
    """A job without limits, which is tried once more as it is."""

    limits: ClassVar[Limits] = UNLIMITED

    def parts(self) -> tuple[Self, ...]:
        """Return the job itself."""
        return (self,)


class PortableJob(Runnable, Protocol):
    """A job that another machine can do, with folders of its own: files go there, and come back."""

    def reads(self) -> tuple[Path, ...]:
        """The files that it may read, those that jobs write which it needs and others; each need not exist."""
        ...

    def writes(self) -> tuple[Path, ...]:
        """The files that it may write."""
        ...

    def states(self) -> tuple[Path, ...]:
        """The files in which it keeps how far it is, as long as it runs, and from which it goes on."""
        ...

    def moved(self, folder: Path) -> Self:
        """The job with all that it reads, writes and keeps in a folder: the same files in the same order."""
        ...


J = TypeVar("J", bound=Runnable)
P = TypeVar("P", bound=PortableJob)
T = TypeVar("T")
Execute = Callable[[J, Callable[[int, int], None]], T]
"""Does a job in a worker and returns its result; it may call its second argument with (step, steps) meanwhile."""


class ExhaustedError(RuntimeError):
    """What a job raises that its worker has no memory for, of the machine or a device: it counts as a loss."""


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
    """The worker of a job has died, was killed or lacked memory, and the parts of the job start once more."""

    id: str
    reason: str
    parts: tuple[Any, ...] = ()


Event = JobProgress | JobEnd[T] | WorkerLoss


class Executor(Protocol):
    """Runs jobs in workers, which have the same code as the caller."""

    def run(self, jobs: Sequence[P], execute: Execute[P, T]) -> Generator[Event[T], None, None]:
        """Run every job after those it needs, and yield what happens.

        Each job has exactly one ``JobEnd``, or a ``WorkerLoss`` and then one for each of its parts. Errors are yielded,
        not raised; a job that needs a failed one fails too, without being run. A job whose worker dies, or is killed at
        a limit, is tried once more, by its parts. Closing the generator stops the workers, and so does the death of the
        calling process.

        Args:
            jobs: In the order in which they start where several can.
            execute: A function of a module that the workers can import.
        """
        ...
