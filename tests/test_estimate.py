"""The estimate of a run counts what torch counts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from conftest import TASK_NAMES
from torch.utils.flop_counter import FlopCounterMode

from bench.estimate import FlopCounter
from bench.training import initial
from tasks.base import Role, Task


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
