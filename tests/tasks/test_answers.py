"""What a network answered is kept exactly as long as it would answer the same."""

from __future__ import annotations

import gc
from collections.abc import Callable
from weakref import ref

import pytest
import torch
from torch import nn

from distillbench.tasks.feature_extractors.answers import Answers


def step(network: nn.Module) -> None:
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(4, 2)).sum().backward()
    optimiser.step()


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "a step of training": step,
    "weights that are loaded": lambda network: network.load_state_dict(nn.BatchNorm1d(2).state_dict()),
    "another tensor in place of one": lambda network: setattr(network, "weight", nn.Parameter(torch.zeros(2))),
    "another mode": lambda network: network.train(not network.training),
    "a hook": lambda network: network.register_forward_hook(lambda *seen: torch.zeros(4, 2)),
    "a hook of a part, before it": lambda network: network.part.register_forward_pre_hook(lambda *seen: None),
    "running means": lambda network: network(torch.ones(4, 2)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_answer_is_kept_until_the_network_is_another(change: str) -> None:
    answers, network, asked = Answers(), nn.BatchNorm1d(2), []
    network.part = nn.Identity()

    def ask() -> int:
        asked.append(network)
        return len(asked)

    assert [answers(network, "first", ask), answers(network, "second", ask)] == [1, 2]
    assert [answers(network, "first", ask), answers(network, "second", ask)] == [1, 2]
    CHANGES[change](network)
    assert [answers(network, "first", ask), answers(network, "second", ask)] == [3, 4]


def test_answers_die_with_the_network() -> None:
    answers, network = Answers(), nn.Linear(2, 2)
    gone, kept = ref(network), ref(answers(network, "what", lambda: torch.zeros(3)))
    assert kept() is not None
    del network
    gc.collect()
    assert gone() is kept() is None
