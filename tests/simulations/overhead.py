"""What a job costs beside its work: ``python tests/simulations/overhead.py [--jobs 10000]``.

Gives jobs that do nothing to the executor of this machine and to that of a Ray cluster of this machine, and tasks that
do nothing to Ray itself. Prints the milliseconds of each, from the first end to the last.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import ray
import typer

from distillbench.bench.machine.limits import cores
from distillbench.bench.workers.executor import Executor, JobEnd
from distillbench.bench.workers.local import LocalExecutor
from distillbench.bench.workers.ray_cluster import RayExecutor
from support.executor_jobs import Job, nothing


def main(jobs: Annotated[int, typer.Option(help="How many.")] = 10_000) -> None:
    """Print the milliseconds of a job."""
    for name, executor in {"this machine": LocalExecutor(cores()), "Ray": RayExecutor()}.items():
        print(f"{name}: {1e3 * seconds(executor, jobs):.2f} ms a job", flush=True)
    print(f"Ray itself: {1e3 * bare_seconds(jobs):.2f} ms a task")


def seconds(executor: Executor, jobs: int) -> float:
    """Return the seconds of each of many jobs that do nothing."""
    with TemporaryDirectory() as folder:
        ends = [
            time.perf_counter()
            for event in executor.run([Job(str(i), "", Path(folder)) for i in range(jobs)], nothing)
            if isinstance(event, JobEnd)
        ]
    return (ends[-1] - ends[0]) / (jobs - 1)


def bare_seconds(tasks: int) -> float:
    """Return the seconds of each of many tasks of Ray that do nothing."""
    ray.init(log_to_driver=False, logging_level=logging.CRITICAL)
    task = ray.remote(lambda: None)
    ray.get(task.remote())
    start = time.perf_counter()
    ray.get([task.remote() for _ in range(tasks)])
    took = time.perf_counter() - start
    ray.shutdown()
    return took / tasks


if __name__ == "__main__":
    typer.run(main)
