"""DnCNN, a convolutional denoiser."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network

RESIDUAL_SCALE = 0.1
"""The network computes in units of about the noise's size, so that one learning rate suits all layers."""


class DnCNN(Network):
    """Zhang et al. 2017: convolutions that predict the noise. DnCNN-S has depth 17, width 64, batch_norm."""

    name: Literal["dncnn"] = "dncnn"
    kinds: ClassVar[frozenset[str]] = frozenset({"denoiser"})
    depth: int = Field(7, ge=2, le=1000, description="3×3 convolutions")
    width: int = Field(24, ge=1, description="channels between them")
    batch_norm: bool = Field(False, description="batch normalisation after each convolution but the first and the last")

    def build(self, ends: Ends) -> nn.Module:
        return Denoiser(self.depth, self.width, self.batch_norm)


class Denoiser(nn.Module):
    """(batch, 1, h, w) -> (batch, 1, h, w), grey in [0, 1]."""

    def __init__(self, depth: int, width: int, batch_norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            # Batch normalisation would cancel a bias.
            layers.append(nn.Conv2d(width, width, 3, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers.append(nn.ReLU())
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))
        with torch.no_grad():
            for layer in list(self.body)[:-1]:
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)

    def noise(self, noisy: Tensor) -> Tensor:
        """Return the noise that the network predicts."""
        out: Tensor = RESIDUAL_SCALE * self.body(2 * noisy - 1)
        return out

    def forward(self, noisy: Tensor) -> Tensor:
        return noisy - self.noise(noisy)
