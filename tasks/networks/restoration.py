"""Networks that restore images, each mapping a degraded image to a restored one of the same kind."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tasks.base import Frozen
from tasks.metrics.images import upscale

RESIDUAL_SCALE = 0.1
"""Networks compute in units of about the residual's size, so that one learning rate suits all their layers."""


class FSRCNN(Frozen):
    """Dong et al. 2016: FSRCNN(d, s, m), learning what bicubic interpolation lacks."""

    name: Literal["fsrcnn"] = "fsrcnn"
    features: int = Field(48, ge=1, description="d, channels of feature extraction and deconvolution")
    shrunk: int = Field(12, ge=1, description="s, channels of the mapping layers")
    mappings: int = Field(3, ge=0, le=1000, description="m, number of 3×3 mapping layers")

    def build(self, scale: int) -> nn.Module:
        return SuperResolver(self.features, self.shrunk, self.mappings, scale)


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
        """What is added to the bicubic image."""
        out: Tensor = RESIDUAL_SCALE * self.expand(self.body(2 * low - 1))
        return out

    def forward(self, low: Tensor) -> Tensor:
        return upscale(low, self.scale) + self.residual(low)


class DnCNN(Frozen):
    """Zhang et al. 2017, without batch normalisation: convolutions that predict the noise."""

    name: Literal["dncnn"] = "dncnn"
    depth: int = Field(7, ge=2, le=1000, description="3×3 convolutions")
    width: int = Field(24, ge=1, description="channels between them")

    def build(self) -> nn.Module:
        return Denoiser(self.depth, self.width)


class Denoiser(nn.Module):
    """(batch, 1, h, w) -> the same, grey in [0, 1]."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))
        with torch.no_grad():
            for layer in list(self.body)[:-1]:
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def noise(self, noisy: Tensor) -> Tensor:
        """The noise the network sees."""
        out: Tensor = RESIDUAL_SCALE * self.body(2 * noisy - 1)
        return out

    def forward(self, noisy: Tensor) -> Tensor:
        return noisy - self.noise(noisy)
