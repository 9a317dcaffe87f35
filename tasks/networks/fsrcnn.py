"""FSRCNN, a fast network for super-resolution."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.metrics.images import upscale
from distillbench.tasks.networks.base import Ends, Network

RESIDUAL_SCALE = 0.1
"""The network computes in units of about the residual's size, so that one learning rate suits all layers."""


class FSRCNN(Network):
    """Dong et al. 2016: FSRCNN(d, s, m), learning the residual to bicubic interpolation."""

    name: Literal["fsrcnn"] = "fsrcnn"
    kinds: ClassVar[frozenset[str]] = frozenset({"super_resolver"})
    features: int = Field(48, ge=1, description="d, channels of feature extraction and deconvolution")
    shrunk: int = Field(12, ge=1, description="s, channels of the mapping layers")
    mappings: int = Field(3, ge=0, le=1000, description="m, number of 3×3 mapping layers")

    def build(self, ends: Ends) -> nn.Module:
        return SuperResolver(self.features, self.shrunk, self.mappings, ends.scale)


class SuperResolver(nn.Module):
    """(batch, 1, h, w) -> (batch, 1, h·scale, w·scale), luma in [0, 1]."""

    def __init__(self, features: int, shrunk: int, mappings: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        body: list[nn.Module] = [nn.Conv2d(1, features, 5, padding=2), nn.PReLU(features)]
        body += [nn.Conv2d(features, shrunk, 1), nn.PReLU(shrunk)]
        for _ in range(mappings):
            body += [nn.Conv2d(shrunk, shrunk, 3, padding=1), nn.PReLU(shrunk)]
        body += [nn.Conv2d(shrunk, features, 1), nn.PReLU(features)]
        self.body = nn.Sequential(*body)
        self.expand = nn.ConvTranspose2d(features, 1, 9, stride=scale, padding=4, output_padding=scale - 1)
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.25)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        # Start near bicubic: the residual is small at first, as it is in the end.
        nn.init.normal_(self.expand.weight, std=3e-2)
        nn.init.zeros_(self.expand.bias)  # type: ignore[arg-type]

    def residual(self, low: Tensor) -> Tensor:
        """Return what is added to the bicubic image: (batch, 1, h·scale, w·scale)."""
        out: Tensor = RESIDUAL_SCALE * self.expand(self.body(2 * low - 1))
        return out

    def forward(self, low: Tensor) -> Tensor:
        return upscale(low, self.scale) + self.residual(low)
