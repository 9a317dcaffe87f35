"""A network of another package: one file, registered by entry point."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from distillbench import Network
from distillbench.tasks.networks.base import Ends


class Shallow(Network):
    """One layer of neurons between pixels and classes."""

    name: Literal["shallow"] = "shallow"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    units: int = Field(16, ge=1, description="of the hidden layer")

    def build(self, ends: Ends) -> nn.Module:
        channels, height, width = ends.shape
        pixels = channels * height * width
        return nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, self.units), nn.Tanh(), nn.Linear(self.units, ends.classes)
        )
