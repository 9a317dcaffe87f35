"""VGG for small images."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.resnet import head, initialised

CONVOLUTIONS = {8: (1, 1, 1, 1, 1), 11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""The convolutions of each stage, by depth."""
MOST_DOUBLED = 3
"""The channels stop growing at eight times those of the first stage."""


class VGG(Network):
    """Simonyan & Zisserman 2015 with one layer in place of the last three, as papers on distillation have it.

    VGG-8 is from Tian et al. 2020. A 2×2 pooling lies between stages as long as the map is larger than 4×4.
    """

    name: Literal["vgg"] = "vgg"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    depth: Literal[8, 11, 13, 16, 19] = Field(8, description="layers with weights, as the originals are named")
    width: int = Field(64, ge=1, description="channels of the first stage, doubled at each stage up to eight times")
    batch_norm: bool = Field(True, description="batch normalisation after each convolution")

    def build(self, ends: Ends) -> nn.Module:
        channels, height, width = ends.shape
        layers: list[nn.Module] = []
        for stage, count in enumerate(CONVOLUTIONS[self.depth]):
            if stage and min(height, width) > 4:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            out = self.width * 2 ** min(stage, MOST_DOUBLED)
            for _ in range(count):
                layers.append(nn.Conv2d(channels, out, 3, padding=1))
                layers += [nn.BatchNorm2d(out)] if self.batch_norm else []
                layers.append(nn.ReLU())
                channels = out
        return initialised(nn.Sequential(*layers, *head(channels, ends)), last=0.01)
