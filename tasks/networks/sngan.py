"""SNGAN's residual generator of small images."""

from __future__ import annotations

from math import prod, sqrt
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.dcgan import halvings


class SNGAN(Network):
    """Miyato et al. 2018, table 4: residual blocks, each of which doubles the map, all of one width, to [0, 1]."""

    name: Literal["sngan"] = "sngan"
    kinds: ClassVar[frozenset[str]] = frozenset({"generator"})
    width: int = Field(256, ge=1, description="channels of all layers")

    def build(self, ends: Ends) -> nn.Module:
        return SNGANGenerator(ends, self.width)


class SNGANGenerator(nn.Module):
    """(batch, latent) -> (batch, channels, h, w), in [0, 1]."""

    def __init__(self, ends: Ends, width: int) -> None:
        super().__init__()
        stages = halvings(ends)
        grid = tuple(side >> stages for side in ends.shape[1:])
        self.body = nn.Sequential(
            glorot(nn.Linear(ends.code, width * prod(grid))),
            nn.Unflatten(1, (width, *grid)),
            *(Doubling(width) for _ in range(stages)),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            glorot(nn.Conv2d(width, ends.shape[0], 3, padding=1)),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor) -> Tensor:
        out: Tensor = (self.body(latent) + 1) / 2
        return out


class Doubling(nn.Module):
    """Normalisation, activation and a 3×3 convolution, twice, on a map twice as large; beside a 1×1 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            glorot(nn.Conv2d(width, width, 3, padding=1), sqrt(2)),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            glorot(nn.Conv2d(width, width, 3, padding=1), sqrt(2)),
        )
        # A 1×1 convolution commutes with nearest upsampling, and then takes a quarter of the compute.
        self.shortcut = nn.Sequential(glorot(nn.Conv2d(width, width, 1)), nn.Upsample(scale_factor=2))

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.body(features) + self.shortcut(features)
        return out


def glorot(layer: nn.Linear | nn.Conv2d, gain: float = 1.0) -> nn.Linear | nn.Conv2d:
    """Draw a layer's weights as the authors' implementation does (Glorot & Bengio 2010); the bias is zero."""
    nn.init.xavier_uniform_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
