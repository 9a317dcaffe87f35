"""DCGAN's generator of small images."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network, UnfitError

LARGEST_GRID = 7
"""The largest shorter side, in pixels, of the map that a network begins or ends with."""


class DCGAN(Network):
    """Radford et al. 2016: transposed convolutions, each of which doubles the map, with batch normalisation, to [0, 1].

    As in PyTorch's example, their size is 4 (the paper: 5). 32×32 begins with a map of 4×4, 28×28 with one of 7×7.
    """

    name: Literal["dcgan"] = "dcgan"
    kinds: ClassVar[frozenset[str]] = frozenset({"generator"})
    width: int = Field(64, ge=1, description="channels before the image, doubled at each stage towards the latent code")

    def build(self, ends: Ends) -> nn.Module:
        return DCGANGenerator(ends, self.width)


class DCGANGenerator(nn.Module):
    """(batch, latent) -> (batch, channels, h, w), in [0, 1]."""

    def __init__(self, ends: Ends, width: int) -> None:
        super().__init__()
        stages = halvings(ends)
        channels, grid = ends.shape[0], tuple(side >> stages for side in ends.shape[1:])
        widths = [width << i for i in reversed(range(stages))]
        layers: list[nn.Module] = [
            nn.Linear(ends.code, widths[0] * prod(grid), bias=False),
            nn.Unflatten(1, (widths[0], *grid)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        for before, after in pairwise(widths):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.body = initialised(nn.Sequential(*layers))

    def forward(self, latent: Tensor) -> Tensor:
        out: Tensor = (self.body(latent) + 1) / 2
        return out


def halvings(ends: Ends) -> int:
    """Return how often both sides of an image are halved, to a map whose shorter side is 4 to 7 pixels.

    Raises:
        UnfitError: the sides cannot be halved so.
    """
    height, width = sides = ends.shape[1:]
    count = 0
    while min(height, width) > LARGEST_GRID and height % 2 == 0 and width % 2 == 0:
        height, width, count = height // 2, width // 2, count + 1
    if not count or min(height, width) > LARGEST_GRID:
        problem = f"{sides[1]}×{sides[0]} images cannot be halved to a shorter side of 4 to {LARGEST_GRID} pixels"
        raise UnfitError(f"{problem} (8, 12, 28, 32, 48 and 64 can)")
    return count


def initialised(network: nn.Sequential) -> nn.Sequential:
    """Draw the weights of a network as Radford et al. and PyTorch's example do."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    return network
