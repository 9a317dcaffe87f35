"""Measurements without noise: parameters, compute, bytes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from distillbench.bench.store.records import Size
from distillbench.tasks.base import Task, read_only


@torch.no_grad()
def size(model: nn.Module, example: Tensor) -> Size:
    """Count a model's parameters and bytes, and the MACs of one pass: half of torch's FLOPs.

    Torch counts matrix products and convolutions, not element-wise work or interpolation.

    Args:
        model: The network, on the example's device.
        example: One input, batch size 1.
    """
    with FlopCounterMode(display=False) as counter:
        model(example)
    parameters = {id(p): p for p in model.parameters()}.values()
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}.values()
    return Size(
        parameters=sum(p.numel() for p in parameters),
        macs=counter.get_total_flops() // 2,
        bytes=sum(t.numel() * t.element_size() for t in tensors),
        input_shape=tuple(example.shape),
    )


def deployed_size(task: Task, model: nn.Module) -> Size | None:
    """Measure what is deployed of a task's model, on a copy on the CPU: the counter must see no other device or user.

    Returns:
        None for a network without parameters: what runs elsewhere, from a file of its own, is not counted.
    """
    deployed = task.deployed(model)
    if next(deployed.parameters(), None) is None:
        return None
    return size(read_only(copy.deepcopy(deployed).cpu()), task.example_input(1))
