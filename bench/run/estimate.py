"""How long a job will about take, from the compute of its steps.

The constants were read off one core of a 2020s server; a run corrects them as it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from distillbench.bench.run.jobs import Job
from distillbench.bench.suite.cells import Pair
from distillbench.bench.training.learner import losses
from distillbench.bench.training.loop import initial
from distillbench.tasks.base import Role, Task

FLOPS_PER_SECOND = 3e10
STEP_OVERHEAD = 3.2e-3
"""Seconds a step and part (a GAN has two) costs however small the network: Python, kernel launches, optimiser."""
EXTRACTOR_SECONDS = 7.0
EVALUATION_SECONDS = 1.0
START_SECONDS = 15.0
PROBE = 2
"""Images whose compute is counted, for all of a batch."""


class FlopCounter(TorchFunctionMode):
    """Of matrix products and convolutions, as torch's own counter, whose import takes longer than a whole estimate."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _SUMMED_OVER:
            self.flops += 2 * _SUMMED_OVER[func](result, *args[:2])
        return result


def _product(result: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> int:
    return result.numel() * left.shape[-1]


def _convolution(result: torch.Tensor, image: torch.Tensor, weight: torch.Tensor) -> int:
    return result.numel() * weight[0].numel()


def _transposed(result: torch.Tensor, image: torch.Tensor, weight: torch.Tensor) -> int:
    return image.numel() * weight[0].numel()


_SUMMED_OVER: dict[Any, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], int]] = {
    torch.nn.functional.linear: _product,
    torch.matmul: _product,
    torch.Tensor.matmul: _product,
    torch.Tensor.__matmul__: _product,
    torch.bmm: _product,
    torch.conv2d: _convolution,
    torch.conv_transpose2d: _transposed,
}


@lru_cache(maxsize=8)
def probe_task(pair: Pair, cache: Path) -> Task:
    """The task on the CPU with an untrained extractor: compute does not depend on weights."""
    return pair.build(cache if cache.is_dir() else None, "untrained", device="cpu")


@lru_cache(maxsize=64)
def step_seconds(pair: Pair, role: Role, cache: Path) -> float:
    """One training step of one network: forward once, backward twice as much. Writes nothing into a new cache."""
    task = probe_task(pair, cache)
    model = initial(task, role, 0)
    model.eval()  # a teacher that is trained already may say something else in train mode
    count = min(task.training_examples, PROBE)
    counter = FlopCounter()
    with torch.no_grad():
        inputs = task.shared_inputs(range(count), torch.Generator().manual_seed(0))
        # Once uncounted: what is computed once and kept is no part of a step.
        losses(task, model, inputs, task.forward(model, inputs))
        with counter:
            updates = len(losses(task, model, inputs, task.forward(model, inputs)))
    flops = counter.flops * task.settings.batch_size / count
    return 3 * flops / FLOPS_PER_SECOND + STEP_OVERHEAD * updates


def seconds_of(job: Job) -> float:
    """Of one job on one worker."""
    if job.kind == "extractor":
        return EXTRACTOR_SECONDS
    if job.kind == "baseline":
        return EVALUATION_SECONDS * len(job.cells)
    task = probe_task(job.pair, job.cache)
    if job.kind == "teacher":
        steps = 0 if job.pair.settings.pretrained else task.steps("teacher")
        return EVALUATION_SECONDS + steps * step_seconds(job.pair, "teacher", job.cache)
    student_steps = task.steps("student")
    teacher_step = step_seconds(job.pair, "teacher", job.cache)
    methods = [cell.method for cell in job.cells if cell.method is not None]
    a_step = sum(
        step_seconds(job.pair, "student", job.cache) + (method.teacher == "own") * teacher_step for method in methods
    )
    frozen = {method.teacher for method in methods} & {"trained", "untrained"}
    return EVALUATION_SECONDS * len(methods) + student_steps * (a_step + len(frozen) * teacher_step / 3)


def longest_first(jobs: Sequence[Job]) -> list[Job]:
    """Jobs by what must still come when one begins: it, and the longest chain of those that need it.

    jobs: each after those it needs. A long job that begins last would leave all other workers idle.
    """
    ahead: dict[str, float] = {}
    for job in reversed(jobs):
        ahead[job.id] = ahead.get(job.id, 0.0) + seconds_of(job)
        for need in job.needs:
            ahead[need] = max(ahead.get(need, 0.0), ahead[job.id])
    return sorted(jobs, key=lambda job: -ahead[job.id])


def wall_seconds(costs: list[float], workers: int) -> float:
    """Of jobs on some workers: their sum shared out, but never less than the longest; and the start."""
    return START_SECONDS + max([sum(costs) / workers, *costs]) if costs else 0.0
