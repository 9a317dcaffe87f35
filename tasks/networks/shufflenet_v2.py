"""ShuffleNet V2 for small images."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.resnet import convolution, head
from distillbench.tasks.networks.shufflenet_v1 import Shuffle

STEM = 24
BLOCKS = (4, 8, 4)


class ShuffleNetV2(Network):
    """Ma et al. 2018 for images of about 32×32, as papers on distillation have it (Tian et al. 2020).

    The first layer is a 1×1 convolution that keeps the size. The paper's 0.5×, 1× and 1.5× have width 48, 116
    and 176, its 2× width 244 and 2048 features.
    """

    name: Literal["shufflenet_v2"] = "shufflenet_v2"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    width: int = Field(116, ge=2, multiple_of=2, description="channels of the first stage, doubled at each stage")
    features: int = Field(1024, ge=1, description="channels before the last layer")

    def build(self, ends: Ends) -> nn.Module:
        layers: list[nn.Module] = [*convolution(ends.shape[0], STEM, 1), nn.ReLU()]
        before = STEM
        for stage, blocks in enumerate(BLOCKS):
            after = self.width * 2**stage
            layers += [Halving(before, after), *(Unit(after) for _ in range(blocks - 1))]
            before = after
        layers += [*convolution(before, self.features, 1), nn.ReLU()]
        return nn.Sequential(*layers, *head(self.features, ends))


def _branch(before: int, after: int, stride: int) -> nn.Sequential:
    """A 1×1 convolution, a 3×3 one of each channel, a 1×1 one."""
    return nn.Sequential(
        *convolution(before, after, 1),
        nn.ReLU(),
        *convolution(after, after, 3, stride, groups=after),
        *convolution(after, after, 1),
        nn.ReLU(),
    )


class Unit(nn.Module):
    """One half of the channels passes by, the other through a branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = _branch(width // 2, width // 2, 1)
        self.shuffle = Shuffle(2)

    def forward(self, features: Tensor) -> Tensor:
        left, right = features.chunk(2, dim=1)
        out: Tensor = self.shuffle(torch.cat([left, self.branch(right)], dim=1))
        return out


class Halving(nn.Module):
    """All channels through two branches, each to half of the new channels on a map half as large."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.short = nn.Sequential(
            *convolution(before, before, 3, 2, groups=before), *convolution(before, after // 2, 1), nn.ReLU()
        )
        self.branch = _branch(before, after // 2, 2)
        self.shuffle = Shuffle(2)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.shuffle(torch.cat([self.short(features), self.branch(features)], dim=1))
        return out
