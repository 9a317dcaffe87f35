"""Mixed precision: passes of networks in bfloat16, their outputs in float32.

Losses and comparisons are in float32 alone: a small divergence is a difference of large numbers. bfloat16 has the range
of float32, so that no loss need be scaled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]
T = TypeVar("T")


def in_precision(precision: Precision, device: torch.device, call: Callable[[], T]) -> T:
    """Return the output of a pass in float32: tensors, alone or in tuples, lists and mappings of any depth.

    Autocast caches no weights: they change from one part's step to the next.

    Args:
        precision: the precision of the pass.
        device: where it computes.
        call: the pass.
    """
    if precision == "float32":
        return call()
    with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
        result = call()
    single: T = _single(result)
    return single


def _single(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {name: _single(inner) for name, inner in value.items()}
    return type(value)(map(_single, value)) if isinstance(value, tuple | list) else value
