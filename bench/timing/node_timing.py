"""Timing on a node of a cluster: all launches that are missing, on one node, which does nothing else meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from distillbench.bench.machine.lock import alone_on_the_machine
from distillbench.bench.store.timings import Condition
from distillbench.bench.suite.cells import Pair
from distillbench.bench.timing import timer
from distillbench.bench.timing.timer import LaunchLimits
from distillbench.bench.workers.executor import JobEnd, JobProgress, Whole
from distillbench.bench.workers.ray_cluster import RayExecutor
from distillbench.common.errors import UserError


@dataclass(frozen=True)
class NodeTiming(Whole):
    """The timings of some pairs, as one job; a machine that others were timed on is another one.

    Attributes:
        pairs: Of networks.
        conditions: Under which each is timed.
        launches: How many launches a timing has.
        results: The results folder.
        cache: Folder of exports.
        again: Whether to time again what another machine has timed, and to try once more what could not be timed.
        places: Where the timings lie in the results folder.
        id: Its name, of this call alone.
        needs: Nothing.
    """

    pairs: tuple[Pair, ...]
    conditions: tuple[Condition, ...]
    launches: LaunchLimits
    results: Path
    cache: Path
    again: bool
    places: tuple[Path, ...]
    id: str = field(default_factory=lambda: f"timing-{uuid4().hex}")
    needs: tuple[str, ...] = ()

    def reads(self) -> tuple[Path, ...]:
        """Return the documents of the timings, which launches are added to."""
        return tuple(self.results / place for place in self.places)

    def writes(self) -> tuple[Path, ...]:
        """Return the same documents."""
        return self.reads()

    def states(self) -> tuple[Path, ...]:
        """Return nothing: a launch is short."""
        return ()

    def moved(self, folder: Path) -> NodeTiming:
        """Return the job with its folders in another one, which no other call has used."""
        return replace(self, results=folder / self.id, cache=folder / "cache")


def execute(job: NodeTiming, report: Callable[[int, int], None]) -> list[str]:
    """Make the launches that are missing; returns why some failed, one line each.

    Raises:
        UserError: Another machine has timed some, and ``again`` does not say that they are replaced.
    """
    job.cache.mkdir(parents=True, exist_ok=True)
    plan = timer.timing_plan(timer.targets(job.pairs, job.cache), job.conditions, job.launches, job.results, job.again)
    if plan.stale and not job.again:
        first = plan.stale[0].replace(f"{job.results}/", "")
        raise UserError(f"{first} (choose another folder with --out, or --overwrite)")
    lines = list[str]()

    def log(line: str) -> None:
        lines.append(line)
        report(len(lines), len(lines) + 1)

    with alone_on_the_machine():
        return timer.measure(plan, job.launches, job.results, job.cache, log)


def measure(job: NodeTiming, address: str | None, gpus: float, log: Callable[[str], None]) -> list[str]:
    """Time on the first node of a cluster that is free.

    Args:
        job: What to time.
        address: Of the cluster; None: one of this machine alone.
        gpus: GPUs that the node must have.
        log: Called with a line after each launch.

    Returns:
        Why some launches failed, one line each.
    """
    for event in RayExecutor(address, gpus, whole_node=True).run([job], execute):
        if isinstance(event, JobProgress) and event.step:
            log(f"{event.step} launches")
        if isinstance(event, JobEnd):
            if event.error is not None:
                raise event.error
            return event.result or []
    return []
