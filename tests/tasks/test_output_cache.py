"""An output is cached exactly as long as the network would give it again."""

from __future__ import annotations

import gc
from collections.abc import Callable
from weakref import ref

import pytest
import torch
from torch import nn

from distillbench.tasks.shared.output_cache import OutputCache


def step(network: nn.Module) -> None:
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(4, 2)).sum().backward()
    optimiser.step()


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "a step of training": step,
    "weights that are loaded": lambda network: network.load_state_dict(nn.BatchNorm1d(2).state_dict()),
    "another tensor in place of one": lambda network: setattr(network, "weight", nn.Parameter(torch.zeros(2))),
    "another mode": lambda network: network.train(not network.training),
    "a hook": lambda network: network.register_forward_hook(lambda *_: torch.zeros(4, 2)),
    "a hook of a part, before it": lambda network: network.part.register_forward_pre_hook(lambda *_: None),
    "running means": lambda network: network(torch.ones(4, 2)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_output_is_cached_until_the_network_changes(change: str) -> None:
    cache, network, calls = OutputCache(), nn.BatchNorm1d(2), []
    network.part = nn.Identity()

    def compute() -> int:
        calls.append(network)
        return len(calls)

    assert [cache(network, "first", compute), cache(network, "second", compute)] == [1, 2]
    assert [cache(network, "first", compute), cache(network, "second", compute)] == [1, 2]
    CHANGES[change](network)
    assert [cache(network, "first", compute), cache(network, "second", compute)] == [3, 4]


def test_outputs_die_with_the_network() -> None:
    cache, network = OutputCache(), nn.Linear(2, 2)
    weak, output = ref(network), ref(cache(network, "key", lambda: torch.zeros(3)))
    assert output() is not None
    del network
    gc.collect()
    assert weak() is output() is None
