"""Classifiers of small images."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tasks.base import Frozen

Shape = tuple[int, int, int]
"""(channels, height, width)."""
Hidden = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=100)]
"""Units of hidden layers; how many fit is a matter of memory."""


class CNN(Frozen):
    """Convolutions with ReLU, a 2×2 pooling between stages until the map is 4×4 or smaller; then one layer."""

    name: Literal["cnn"] = "cnn"
    width: int = Field(32, ge=1, description="channels of the first stage, doubled at each stage")
    depth: int = Field(1, ge=1, le=100, description="convolutions a stage")
    batch_norm: bool = Field(False, description="batch normalisation after each convolution")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the last layer")

    def build(self, shape: Shape, classes: int) -> nn.Module:
        channels, height, width = shape
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
            *layers, nn.Flatten(), nn.Dropout(self.dropout), nn.Linear(channels * height * width, classes)
        )


class MLP(Frozen):
    """Fully connected layers with ReLU."""

    name: Literal["mlp"] = "mlp"
    hidden: Hidden = Field((128,), description="units of each hidden layer; none: a linear classifier")

    def build(self, shape: Shape, classes: int) -> nn.Module:
        sizes = (shape[0] * shape[1] * shape[2], *self.hidden)
        layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], classes))


class FeatureClassifier(nn.Module):
    """A small convolutional classifier whose penultimate layer judges images; input in [0, 1].

    ``features``: (batch, channels, h, w) -> (batch, dimensions), each of about unit variance on the training images.
    """

    def __init__(self, shape: Shape, classes: int, dimensions: int = 32) -> None:
        super().__init__()
        channels, height, width = shape
        layers: list[nn.Module] = [nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU()]
        while True:
            layers += [nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU()]
            height, width = (height + 1) // 2, (width + 1) // 2
            if min(height, width) <= 4:
                break
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * height * width, dimensions))
        self.standardise = nn.BatchNorm1d(dimensions, affine=False)
        self.head = nn.Linear(dimensions, classes)

    def features(self, images: Tensor) -> Tensor:
        out: Tensor = self.standardise(self.body(images))
        return out

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(F.relu(self.features(images)))
        return out
