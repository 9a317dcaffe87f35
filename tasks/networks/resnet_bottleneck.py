"""Deep residual networks of bottlenecks, for small images."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.resnet import convolution, head, initialised

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks of each stage, by depth (He et al. 2016, table 1)."""
EXPANSION = 4


class ResNetBottleneck(Network):
    """He et al. 2016, table 1: ResNet-50, -101 and -152, with a first layer that keeps the size of small images.

    As papers on distillation have it for images of 32×32 (Tian et al. 2020): a 3×3 convolution and no pooling in the
    place of the first 7×7 convolution. ResNet-50 of torchvision is the one for ImageNet.
    """

    name: Literal["resnet_bottleneck"] = "resnet_bottleneck"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    depth: Literal[50, 101, 152] = Field(50, description="layers")
    width: int = Field(
        64, ge=1, description="channels within the blocks of the first stage; each later stage has twice as many"
    )

    def build(self, ends: Ends) -> nn.Module:
        before = self.width
        layers: list[nn.Module] = [*convolution(ends.shape[0], before), nn.ReLU()]
        for stage, blocks in enumerate(BLOCKS[self.depth]):
            for block in range(blocks):
                layers.append(Bottleneck(before, self.width * 2**stage, 2 if stage and not block else 1))
                before = EXPANSION * self.width * 2**stage
        return initialised(nn.Sequential(*layers, *head(before, ends)))


class Bottleneck(nn.Module):
    """Fewer channels, a 3×3 convolution, four times as many; the shortcut is a convolution where the shape changes."""

    def __init__(self, before: int, inner: int, stride: int) -> None:
        super().__init__()
        after = EXPANSION * inner
        self.body = nn.Sequential(
            *convolution(before, inner, 1),
            nn.ReLU(),
            *convolution(inner, inner, stride=stride),
            nn.ReLU(),
            *convolution(inner, after, 1),
        )
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else nn.Sequential(*convolution(before, after, 1, stride))

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.body(features) + self.shortcut(features))
