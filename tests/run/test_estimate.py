"""The estimate of a run counts what torch counts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from distillbench.bench.run.estimate import FlopCounter, longest_first
from distillbench.bench.run.jobs import Job
from distillbench.bench.suite.resolve import load
from distillbench.bench.training.loop import initial
from distillbench.tasks.base import Role, Task
from support.tasks import TASK_NAMES


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize("name", TASK_NAMES)
def test_the_light_counter_agrees_with_torchs(task_of: Callable[[str], Task], name: str, role: Role) -> None:
    task = task_of(name)
    model = initial(task, role, 0)
    inputs = task.shared_inputs(range(2), torch.Generator().manual_seed(0))
    ours, theirs = FlopCounter(), FlopCounterMode(display=False)
    for counter in (nullcontext(), ours, theirs):  # the first time some things are computed that are then kept
        with torch.no_grad(), counter:
            outputs = task.forward(model, inputs)
            for part in task.parts(model):
                task.loss(model, inputs, outputs, part)
    assert ours.flops == pytest.approx(theirs.get_total_flops(), rel=0.02)


def test_what_the_most_work_waits_for_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    (pair,) = load("smoke", tasks=["vae"]).pairs
    seconds = {"teacher a": 9.0, "group a": 1.0, "teacher b": 2.0, "group b": 20.0, "references": 3.0}
    monkeypatch.setattr("distillbench.bench.run.estimate.seconds_of", lambda job: seconds[job.id])

    def job(id_: str, *needs: str) -> Job:
        return Job(id_, "group", pair, (), "shared", Path(), Path(), needs)

    jobs = [job("teacher a"), job("group a", "teacher a"), job("teacher b"), job("group b", "teacher b")]
    found = [job.id for job in longest_first([*jobs, job("references")])]
    assert found == ["teacher b", "group b", "teacher a", "references", "group a"]
