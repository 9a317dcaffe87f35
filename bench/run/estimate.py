"""About how long a job takes, from the compute of its steps.

The constants were measured on one core of a server of the 2020s, but for a GPU's; the display of a run corrects them as
it goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from distillbench.bench.run.jobs import Job
from distillbench.bench.suite.cells import Pair
from distillbench.bench.training.learner import losses
from distillbench.bench.training.loop import initial
from distillbench.methods.base import Method
from distillbench.tasks.base import Role, Task
from distillbench.tasks.networks.interfaces import ROLES

FLOPS_PER_SECOND = {"cpu": 8e10, "cuda": 4e12}
"""That of a GPU was not measured: it is what small convolutions in float32 leave of 10 to 20 TFLOP/s at best."""
STEP_OVERHEAD = 2e-3
"""Seconds of a step and part (a GAN has two) of even the smallest network: Python, kernel launches, optimiser."""
EXTRACTOR_SECONDS = 7.0
EVALUATION_SECONDS = 1.0
BASELINE_SECONDS = 6.0
"""Of a baseline that needs a package of its own, a test example: BM3D of 481×321 pixels."""
START_SECONDS = 15.0
PROBE = 2
"""Examples whose compute is counted, to extrapolate to a batch."""


@lru_cache(maxsize=8)
def probe_task(pair: Pair, cache: Path) -> Task:
    """Build a pair's task on the CPU with an untrained feature extractor: compute does not depend on weights.

    Args:
        pair: Of networks.
        cache: Folder of decoded images; where it does not exist nothing is kept.
    """
    return pair.build(cache if cache.is_dir() else None, "untrained", device="cpu")


@lru_cache(maxsize=64)
def step_seconds(pair: Pair, role: Role, cache: Path) -> float:
    """Estimate the seconds of one training step of one network: forward once, backward twice as much.

    Args:
        pair: Of networks.
        role: Of the network.
        cache: Folder of decoded images.
    """
    task = probe_task(pair, cache)
    model = initial(task, role, 0)
    model.eval()  # a pretrained teacher may compute something else in train mode
    count = min(task.examples("train"), PROBE)
    counter = FlopCounterMode(display=False)
    with torch.no_grad():
        inputs = task.shared_inputs(range(count), torch.Generator().manual_seed(0))
        # Once uncounted: what is computed once and kept is not part of a step.
        losses(task, model, inputs, task.forward(model, inputs))
        with counter:
            updates = len(losses(task, model, inputs, task.forward(model, inputs)))
    flops = float(counter.get_total_flops()) * task.settings.batch_size / count
    return 3 * flops / FLOPS_PER_SECOND[pair.device.partition(":")[0]] + STEP_OVERHEAD * updates


def seconds_of(job: Job) -> float:
    """Estimate the seconds of a job on one worker."""
    if job.kind == "extractor":
        return EXTRACTOR_SECONDS
    task = probe_task(job.pair, job.cache)
    if job.kind == "baseline":
        return sum(
            BASELINE_SECONDS * task.examples("test") if cell.package else EVALUATION_SECONDS for cell in job.cells
        )
    step = {role: step_seconds(job.pair, role, job.cache) for role in ROLES}
    if job.kind == "teacher":
        trained = not (job.pair.settings.pretrained or job.loads_teacher)
        return EVALUATION_SECONDS + trained * task.steps("teacher") * step["teacher"]
    if job.kind == "self teacher":
        return EVALUATION_SECONDS + task.steps("student") * step["student"]
    methods = [cell.method for cell in job.cells if cell.method is not None]
    return EVALUATION_SECONDS * len(methods) + _training_seconds(task, methods, step)


ANSWER = 1 / 3
"""The share of a training step that a forward pass alone takes."""


def _training_seconds(task: Task, methods: Sequence[Method], step: Mapping[Role, float]) -> float:
    """The seconds of a group of students: their steps, what frozen teachers answer, and teachers trained beside them.

    A teacher answers once a step, for all who train for as many and do not feed back to it.
    """
    steps = {role: task.steps(role) for role in ROLES}
    rows = 1 + task.settings.transfer_rows / task.settings.batch_size
    students = [steps[m.steps_of] * (1 if m.teacher == "none" else rows) * step["student"] for m in methods]
    frozen = {(m.teacher, m.steps_of) for m in methods if m.teacher not in ("none", "own")}
    answers = [
        ANSWER * steps[role] * rows * step["student" if teacher == "self" else "teacher"]
        for teacher, role in sorted(frozen)
    ]
    own = [m for m in methods if m.teacher == "own"]
    shared = {m.steps_of: m for m in own if not m.feeds_back}
    beside = [
        max(steps["teacher"], steps[m.steps_of]) + (ANSWER + m.feeds_back) * steps[m.steps_of] * rows
        for m in (*shared.values(), *(m for m in own if m.feeds_back))
    ]
    return sum(students) + sum(answers) + sum(beside) * step["teacher"]


def longest_first(jobs: Sequence[Job]) -> list[Job]:
    """Sort jobs by the time from their start to the end of the longest chain of jobs that need them, longest first.

    A long job that starts last would leave all other workers idle.

    Args:
        jobs: Each after those it needs.
    """
    remaining: dict[str, float] = {}
    for job in reversed(jobs):
        remaining[job.id] = remaining.get(job.id, 0.0) + seconds_of(job)
        for need in job.needs:
            remaining[need] = max(remaining.get(need, 0.0), remaining[job.id])
    return sorted(jobs, key=lambda job: -remaining[job.id])


def wall_seconds(costs: list[float], workers: int) -> float:
    """Estimate the seconds of jobs on some workers: the start, and their sum shared out, but at least the longest.

    Args:
        costs: Seconds of each job.
        workers: How many there are.
    """
    return START_SECONDS + max([sum(costs) / workers, *costs]) if costs else 0.0
