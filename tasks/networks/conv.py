"""A convolutional generator of small images."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from distillbench.tasks.networks.base import Ends, Network


class Conv(Network):
    """A linear map to a small grid, then nearest upsampling and 3×3 convolutions (Odena et al. 2016), to [0, 1]."""

    name: Literal["conv"] = "conv"
    kinds: ClassVar[frozenset[str]] = frozenset({"generator"})
    width: int = Field(32, ge=1, description="channels of the last stage, doubled towards the latent code")

    def build(self, ends: Ends) -> nn.Module:
        channels, height, width = ends.shape
        stages = 0
        while height % 2 == 0 and width % 2 == 0 and min(height, width) > 4:
            height, width, stages = height // 2, width // 2, stages + 1
        widths = [self.width * min(2**i, 4) for i in range(stages, -1, -1)]
        layers: list[nn.Module] = [
            nn.Linear(ends.code, widths[0] * height * width),
            nn.Unflatten(1, (widths[0], height, width)),
            nn.ReLU(),
        ]
        for before, after in pairwise(widths):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        return nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Sigmoid())
