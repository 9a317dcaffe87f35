"""DCGAN's discriminator of small images."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.dcgan import LARGEST_GRID, initialised
from distillbench.tasks.networks.patch import normalised

GRID = 4


class DCGANDiscriminator(Network):
    """Radford et al. 2016: strided convolutions down to a map of 4×4 to 7×7, and one logit for each 4×4 of it.

    By default with spectral normalisation (Miyato et al. 2018): the paper has batch normalisation, on batches of
    real or of generated images alone.
    """

    name: Literal["dcgan_discriminator"] = "dcgan_discriminator"
    kinds: ClassVar[frozenset[str]] = frozenset({"discriminator"})
    width: int = Field(64, ge=1, description="channels after the first convolution, doubled at each further one")
    spectral_norm: bool = Field(True, description="of all layers, in place of batch normalisation")

    @property
    def least_side(self) -> int:
        return 2 * GRID

    def build(self, ends: Ends) -> nn.Module:
        return DCGANLogits(ends.shape, self.width, self.spectral_norm)


class DCGANLogits(nn.Module):
    """(batch, channels, h, w) in [0, 1] -> features (batch, width · 2ⁿ, h', w'), logits (batch, 1, h' − 3, w' − 3)."""

    def __init__(self, shape: tuple[int, int, int], width: int, spectral: bool) -> None:
        super().__init__()
        before, *sides = shape
        side, layers = min(sides), list[nn.Module]()
        while side > LARGEST_GRID:
            layers.append(nn.Conv2d(before, width, 4, 2, 1, bias=spectral))
            if layers[1:] and not spectral:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(0.2))
            side, before, width = side // 2, width, 2 * width
        network = initialised(nn.Sequential(*layers, nn.Conv2d(before, 1, GRID, bias=spectral)))
        for layer in network:
            if spectral and isinstance(layer, nn.Conv2d):
                normalised(layer)
        self.body, self.head = network[:-1], network[-1]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(2 * images - 1)
        return features, self.head(features)
