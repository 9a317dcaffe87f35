"""ESPCN, super-resolution by a sub-pixel convolution."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.metrics.images import upscale
from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.fsrcnn import RESIDUAL_SCALE

BICUBIC = "learn the residual to bicubic interpolation; else the image itself, as in the paper"


class ESPCN(Network):
    """Shi et al. 2016: three layers with tanh on the small image, of which the last gives scale² pixels for each."""

    name: Literal["espcn"] = "espcn"
    kinds: ClassVar[frozenset[str]] = frozenset({"super_resolver"})
    features: int = Field(64, ge=1, description="channels of the first, 5×5 convolution")
    mapped: int = Field(32, ge=1, description="channels of the second, 3×3 convolution")
    bicubic: bool = Field(True, description=BICUBIC)

    def build(self, ends: Ends) -> nn.Module:
        network = nn.Sequential(
            nn.Conv2d(1, self.features, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(self.features, self.mapped, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(self.mapped, ends.scale**2, 3, padding=1),
            nn.PixelShuffle(ends.scale),
        )
        return OverBicubic(network, ends.scale) if self.bicubic else network


class OverBicubic(nn.Module):
    """The bicubic image plus a network's output for luma in [−1, 1], in units of about the residual's size."""

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def residual(self, low: Tensor) -> Tensor:
        """Return what is added to the bicubic image: (batch, 1, h·scale, w·scale)."""
        out: Tensor = RESIDUAL_SCALE * self.network(2 * low - 1)
        return out

    def forward(self, low: Tensor) -> Tensor:
        return upscale(low, self.scale) + self.residual(low)
