"""How long a large matrix takes on many workers, from the seconds of trainings, and where its driver is the limit.

    python tests/simulations/scaling.py [--cells 100000] [--workers 1,2,4] [--driver-ms 5] [RESULTS ...]

The jobs of the published suites, with as many seeds as make so many cells, in the order in which a run starts them, are
given to simulated workers by the queue that a run uses. Each job takes the seconds of its records' trainings, shared
answers of a teacher counted once for each student, so that a group is a little longer here than it was; a worker takes
some seconds to start, and the driver some milliseconds for each job, one after the other. Without --cells: the suites
as they are.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from distillbench.bench.run.job_graph import LONG, OF_SELF
from distillbench.bench.store.records import Record, Store
from distillbench.bench.workers.executor import JobEnd, Whole
from distillbench.bench.workers.job_queue import JobQueue
from distillbench.common.durations import format_seconds
from support.paths import ROOT

EVALUATION_SECONDS = 1.0
"""Of a cell, beside its training."""
START_SECONDS = 4.0
"""Until a worker has its libraries."""


@dataclass(frozen=True)
class SimulatedJob(Whole):
    """A job of a run."""

    id: str
    seconds: float
    cells: int
    needs: tuple[str, ...] = ()


def main(
    results: Annotated[list[Path] | None, typer.Argument(help="Results folders; default: all published ones.")] = None,
    cells: Annotated[int | None, typer.Option(help="Cells of the matrix. Default: as it is.")] = None,
    workers: Annotated[str, typer.Option(help="Numbers of workers.")] = "1,4,64,1000",
    driver_ms: Annotated[float, typer.Option(help="Milliseconds of the driver a job.")] = 5.0,
) -> None:
    """Print the makespan for several numbers of workers."""
    folders = results or [ROOT / "results" / "mnist", ROOT / "results" / "quick"]
    jobs = matrix([record for folder in folders for record in Store(folder)], cells)
    work = sum(job.seconds for job in jobs) + START_SECONDS
    table = Table("workers", "makespan", "efficiency", "driver busy", box=None)
    for column in table.columns:
        column.justify = "right"
    for number in map(int, workers.split(",")):
        makespan = simulate(jobs, number, driver_ms / 1e3)
        busy = len(jobs) * driver_ms / 1e3 / makespan
        table.add_row(str(number), format_seconds(makespan), f"{work / number / makespan:.0%}", f"{busy:.0%}")
    longest = max(jobs, key=lambda job: job.seconds)
    print(f"{sum(job.cells for job in jobs)} cells, {len(jobs)} jobs, {format_seconds(work)} of work")
    print(f"the longest job: {longest.id.partition(' #')[0]}, {format_seconds(longest.seconds)}")
    Console().print(table)


def matrix(records: Sequence[Record], cells: int | None) -> list[SimulatedJob]:
    """Return the jobs of the records' suites, with more seeds until there are so many cells; the longest first.

    Args:
        records: Of finished cells.
        cells: How many there are to be; None: as there are.
    """
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.status == "finished" and record.kind != "baseline":
            groups[record.task, record.pair, _job(record)].append(record)
    jobs, made = list[SimulatedJob](), 0
    for copy in count() if cells else range(1):
        for (task, pair, name), members in sorted(groups.items(), key=lambda item: item[0][2] != "teacher"):
            if cells and made >= cells:
                break
            made += len(members)
            teacher = f"teacher {task}/{pair} #{copy}"
            seconds = sum(EVALUATION_SECONDS + (r.training.seconds if r.training else 0.0) for r in members)
            needs = () if name == "teacher" else (teacher,)
            jobs.append(SimulatedJob(f"{name} {task}/{pair} #{copy}", seconds, len(members), needs))
        if cells and made >= cells:
            break
    return sorted(jobs, key=lambda job: (bool(job.needs), -job.seconds))


def _job(record: Record) -> str:
    """The job that makes a record: 'teacher', or the students of a seed that train together."""
    if record.kind == "teacher":
        return "teacher"
    apart = OF_SELF if record.label == "self_teacher" else LONG if record.label == "scratch_long" else ""
    return f"students seed {record.seed}{apart}"


def simulate(jobs: Sequence[SimulatedJob], workers: int, driver_seconds: float) -> float:
    """Return the seconds until the last job has ended.

    Args:
        jobs: In the order in which they start where several can.
        workers: How many there are.
        driver_seconds: For which the driver is busy with each job that ends, before it gives out another.
    """
    queue: JobQueue[SimulatedJob] = JobQueue(jobs)
    by_id = {job.id: job for job in jobs}
    running: list[tuple[float, str]] = []
    idle, now, last = workers, START_SECONDS, 0.0
    while queue or running:
        while idle and (job := queue.take()) is not None:
            heapq.heappush(running, (now + by_id[job.id].seconds, job.id))
            idle -= 1
        end, id_ = heapq.heappop(running)
        now = max(now, end) + driver_seconds
        last = max(last, now)
        queue.update(JobEnd(id_, None, None))
        idle += 1
    return last


if __name__ == "__main__":
    typer.run(main)
