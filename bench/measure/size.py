"""Figures without noise: parameters, compute, bytes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from distillbench.bench.store.records import Size


@torch.no_grad()
def size(model: nn.Module, example: Tensor) -> Size:
    """Of one model and one example input (batch size 1). MACs: half of what torch's flop counter counts.

    It counts matrix products and convolutions, not element-wise work or interpolation.
    """
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}.values()
    counter = FlopCounterMode(display=False)
    with counter:
        model(example)
    return Size(
        parameters=sum(p.numel() for p in {id(p): p for p in model.parameters()}.values()),
        macs=counter.get_total_flops() // 2,
        bytes=sum(t.numel() * t.element_size() for t in tensors),
        input_shape=tuple(example.shape),
    )
