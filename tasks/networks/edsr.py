"""EDSR, a residual network for super-resolution."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.espcn import BICUBIC, OverBicubic


class EDSR(Network):
    """Lim et al. 2017, of luma: residual blocks without normalisation, then sub-pixel convolutions.

    The defaults are EDSR-baseline; EDSR itself has width 256, 32 blocks and a residual scaling of 0.1.
    """

    name: Literal["edsr"] = "edsr"
    kinds: ClassVar[frozenset[str]] = frozenset({"super_resolver"})
    width: int = Field(64, ge=1, description="channels of all layers")
    blocks: int = Field(16, ge=0, le=1000, description="residual blocks of two 3×3 convolutions")
    residual_scaling: float = Field(1.0, gt=0, le=1, description="factor on the output of a block's convolutions")
    bicubic: bool = Field(True, description=BICUBIC)

    def build(self, ends: Ends) -> nn.Module:
        body = [ResidualBlock(self.width, self.residual_scaling) for _ in range(self.blocks)]
        network = nn.Sequential(
            _convolution(1, self.width),
            Skip(nn.Sequential(*body, _convolution(self.width, self.width))),
            *(layer for factor in _factors(ends.scale) for layer in self._enlarged(factor)),
            _convolution(self.width, 1),
        )
        return OverBicubic(network, ends.scale) if self.bicubic else network

    def _enlarged(self, factor: int) -> list[nn.Module]:
        return [_convolution(self.width, factor**2 * self.width), nn.PixelShuffle(factor)]


class Skip(nn.Module):
    """The features plus a body's output for them times a factor."""

    def __init__(self, body: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.body, self.factor = body, factor

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = features + self.factor * self.body(features)
        return out


class ResidualBlock(Skip):
    """Two convolutions, ReLU between them."""

    def __init__(self, width: int, factor: float) -> None:
        super().__init__(nn.Sequential(_convolution(width, width), nn.ReLU(), _convolution(width, width)), factor)


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def _factors(scale: int) -> list[int]:
    """Return the factors of the sub-pixel convolutions: ×4 is ×2 twice, any other scale one step."""
    return [2, 2] if scale == 4 else [scale]
