"""MobileNetV2 for small images."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.resnet import convolution, head, initialised

STAGES = ((16, 1, 1), (24, 2, 1), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
"""Channels, blocks, stride of the first block."""
FEATURES = 1280


class MobileNetV2(Network):
    """Sandler et al. 2018 for images of about 32×32, as papers on distillation have it (Tian et al. 2020).

    The second stage does not halve, ReLU has no upper bound, and the first block is expanded by a (linear) layer
    of the same width. MobileNetV2 of torchvision is the one for ImageNet.
    """

    name: Literal["mobilenet_v2"] = "mobilenet_v2"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    width: float = Field(0.5, ge=0.0625, le=16, description="factor of all channels; the last layer's only above 1")
    expansion: int = Field(6, ge=1, description="t, factor within a block, but for the first")

    def build(self, ends: Ends) -> nn.Module:
        before = int(32 * self.width)
        layers: list[nn.Module] = [*convolution(ends.shape[0], before, stride=2), nn.ReLU()]
        for stage, (channels, blocks, first) in enumerate(STAGES):
            after = int(channels * self.width)
            for block in range(blocks):
                layers.append(InvertedResidual(before, after, 1 if block else first, self.expansion if stage else 1))
                before = after
        features = int(FEATURES * max(self.width, 1))
        layers += [*convolution(before, features, 1), nn.ReLU()]
        return initialised(nn.Sequential(*layers, *head(features, ends)), last=0.01)


class InvertedResidual(nn.Module):
    """More channels, a convolution of each, fewer again; a skip where the shape stays."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.body = nn.Sequential(
            *convolution(before, inner, 1),
            nn.ReLU(),
            *convolution(inner, inner, 3, stride, groups=inner),
            nn.ReLU(),
            *convolution(inner, after, 1),
        )
        self.skips = stride == 1 and before == after

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.body(features)
        return features + out if self.skips else out
