"""A network of a teacher's, two sets of weights for it, and what comes of a file of weights."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from distillbench.bench.training.pretrained import load_pretrained
from distillbench.common.errors import UserError


def network(seed: int = 0) -> nn.Module:
    """Weights, buffers, and a counter."""
    torch.manual_seed(seed)
    layers = collections.OrderedDict(conv=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2), head=nn.Linear(2, 3))
    model = nn.Sequential(layers)
    nn.init.normal_(model.get_parameter("norm.weight"))
    model.get_buffer("norm.running_mean").normal_()
    model.get_buffer("norm.num_batches_tracked").fill_(7)
    return model


STATE: Mapping[str, Tensor] = network(1).state_dict()
EMA: Mapping[str, Tensor] = network(2).state_dict()


def state_of(path: Path, key: str | None = None, into: nn.Module | None = None) -> Mapping[str, Tensor]:
    model = into or network()
    load_pretrained(model, path, key)
    return model.state_dict()


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def refusal(path: Path, key: str | None = None, into: nn.Module | None = None) -> str:
    """What is said behind the file's name."""
    with pytest.raises(UserError) as error:
        state_of(path, key, into)
    start, line = f"teacher.weights: {path} ", str(error.value)
    assert line.startswith(start), line
    assert "\n" not in line
    return line.removeprefix(start)
