"""SNGAN's residual discriminator of small images."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.patch import normalised
from distillbench.tasks.networks.sngan import glorot


class SNGANDiscriminator(Network):
    """Miyato et al. 2018, table 4: four spectrally normalised residual blocks, the first two halving; one logit."""

    name: Literal["sngan_discriminator"] = "sngan_discriminator"
    kinds: ClassVar[frozenset[str]] = frozenset({"discriminator"})
    width: int = Field(128, ge=1, description="channels of all layers")

    @property
    def least_side(self) -> int:
        return 8

    def build(self, ends: Ends) -> nn.Module:
        return SNGANLogit(ends.shape[0], self.width)


class SNGANLogit(nn.Module):
    """(batch, channels, h, w) in [0, 1] -> (features (batch, width, h // 4, w // 4), logits (batch, 1, 1, 1))."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Block(channels, width, halves=True, first=True),
            Block(width, width, halves=True),
            Block(width, width, halves=False),
            Block(width, width, halves=False),
            nn.ReLU(),
        )
        self.head = normalised(glorot(nn.Linear(width, 1)))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(2 * images - 1)
        return features, self.head(features.sum((2, 3)))[:, :, None, None]


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut, a 1×1 convolution where the map is halved by the mean over 2×2."""

    def __init__(self, before: int, after: int, halves: bool, first: bool = False) -> None:
        super().__init__()
        activation: list[nn.Module] = [] if first else [nn.ReLU()]
        pool: list[nn.Module] = [nn.AvgPool2d(2)] if halves else []
        self.body = nn.Sequential(
            *activation, _convolution(before, after, 3), nn.ReLU(), _convolution(after, after, 3), *pool
        )
        # A mean commutes with a 1×1 convolution, which then takes a quarter of the compute.
        self.shortcut = nn.Sequential(*pool, _convolution(before, after, 1)) if halves else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.body(features) + self.shortcut(features)
        return out


def _convolution(before: int, after: int, kernel: int) -> nn.Module:
    layer = nn.Conv2d(before, after, kernel, padding=kernel // 2)
    return normalised(glorot(layer, 1.0 if kernel == 1 else sqrt(2)))
