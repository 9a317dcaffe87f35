"""A fully connected generator of small images."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from distillbench.tasks.networks.base import Ends, Hidden, Network


class Dense(Network):
    """Fully connected layers with ReLU, to [0, 1]."""

    name: Literal["dense"] = "dense"
    kinds: ClassVar[frozenset[str]] = frozenset({"generator"})
    hidden: Hidden = Field((128,), description="units of each hidden layer; none: a linear generator")

    def build(self, ends: Ends) -> nn.Module:
        sizes = (ends.code, *self.hidden)
        layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], prod(ends.shape)), nn.Sigmoid(), nn.Unflatten(1, ends.shape))
