"""How the jobs of a run are done: by which executor, and what each may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from distillbench.bench.machine.limits import cores
from distillbench.bench.suite.resolve import Suite
from distillbench.bench.workers.executor import UNLIMITED, Executor, Limits
from distillbench.bench.workers.local import LocalExecutor
from distillbench.bench.workers.ray_cluster import RayExecutor
from distillbench.common.errors import UserError


@dataclass(frozen=True)
class Execution:
    """How the jobs of a run are done.

    Attributes:
        executor: A key of ``EXECUTORS``.
        workers: How many jobs run at once, at most; default: on this machine one a core, or a single one for a GPU, on
            a cluster as many as it has room for.
        address: Of a cluster.
        gpus_per_job: What a job takes of a GPU on a cluster, where the suite's device is one.
        limits: What a job may use.
        share: Whether other runs may work on the same results folder at the same time.
    """

    executor: str = "local"
    workers: int | None = None
    address: str | None = None
    gpus_per_job: float = 1.0
    limits: Limits = UNLIMITED
    share: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UserError(f"{self.workers} is out of range", "--workers", allowed="1 and more")
        if self.executor not in EXECUTORS:
            raise UserError(f"{self.executor!r} is no executor", "--executor", allowed=", ".join(EXECUTORS))
        if self.address is not None and not self.elsewhere:
            raise UserError("is of a cluster (give --executor ray, too)", "--address")
        if self.share and self.elsewhere:
            raise UserError("needs a folder that all workers see (allowed: with --executor local)", "--share")

    @property
    def elsewhere(self) -> bool:
        """Whether other machines do the jobs."""
        return self.executor != "local"

    def workers_for(self, suite: Suite) -> int | None:
        """Return how many jobs of a suite run at once; None where a cluster decides that."""
        if self.workers is not None or self.elsewhere:
            return self.workers
        return cores() if suite.device == "cpu" else 1

    def executor_for(self, suite: Suite) -> Executor:
        """Return what runs the jobs of a suite."""
        return EXECUTORS[self.executor](self, suite)


def _local(execution: Execution, suite: Suite) -> Executor:
    workers = execution.workers_for(suite)
    assert workers is not None
    return LocalExecutor(workers)


def _ray(execution: Execution, suite: Suite) -> Executor:
    gpus = 0.0 if suite.device == "cpu" else execution.gpus_per_job
    return RayExecutor(execution.address, gpus, execution.workers)


EXECUTORS: Mapping[str, Callable[[Execution, Suite], Executor]] = {"local": _local, "ray": _ray}

LOCAL = Execution()
"""On this machine, one worker a core."""
