"""A plain convolutional classifier of small images."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from distillbench.tasks.networks.base import Ends, Network


class CNN(Network):
    """Convolutions with ReLU, a 2×2 pooling between stages until the map is 4×4 or smaller; then one layer."""

    name: Literal["cnn"] = "cnn"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    width: int = Field(32, ge=1, description="channels of the first stage, doubled at each stage")
    depth: int = Field(1, ge=1, le=100, description="convolutions a stage")
    batch_norm: bool = Field(False, description="batch normalisation after each convolution")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the last layer")

    def build(self, ends: Ends) -> nn.Module:
        channels, height, width = ends.shape
        layers: list[nn.Module] = []
        out = self.width
        while True:
            for _ in range(self.depth):
                layers += [nn.Conv2d(channels, out, 3, padding=1, bias=not self.batch_norm)]
                layers += [nn.BatchNorm2d(out)] if self.batch_norm else []
                layers += [nn.ReLU()]
                channels = out
            if min(height, width) <= 4:
                break
            layers.append(nn.MaxPool2d(2))
            height, width, out = height // 2, width // 2, min(2 * out, 4 * self.width)
        return nn.Sequential(
            *layers, nn.Flatten(), nn.Dropout(self.dropout), nn.Linear(channels * height * width, ends.classes)
        )
