"""A fully connected classifier of small images."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from distillbench.tasks.networks.base import Ends, Hidden, Network


class MLP(Network):
    """Fully connected layers with ReLU."""

    name: Literal["mlp"] = "mlp"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    hidden: Hidden = Field((128,), description="units of each hidden layer; none: a linear classifier")

    def build(self, ends: Ends) -> nn.Module:
        sizes = (prod(ends.shape), *self.hidden)
        layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], ends.classes))
