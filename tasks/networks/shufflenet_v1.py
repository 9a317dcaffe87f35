"""ShuffleNet for small images."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network, refusal
from distillbench.tasks.networks.resnet import convolution, head

STEM = 24
BLOCKS = (4, 8, 4)


class ShuffleNetV1(Network):
    """Zhang et al. 2018 for images of about 32×32, as papers on distillation have it (Tian et al. 2020).

    The first layer is a 1×1 convolution that keeps the size.
    """

    name: Literal["shufflenet_v1"] = "shufflenet_v1"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    width: int = Field(240, ge=36, description="channels of the first stage, doubled at each stage")
    groups: Literal[1, 2, 3] = Field(3, description="g, of the 1×1 convolutions")

    @model_validator(mode="after")
    def _divisible(self) -> ShuffleNetV1:
        if self.width % (multiple := 4 * self.groups):
            message = f"width should be a multiple of {multiple} for groups = {self.groups}"
            raise refusal(message)
        return self

    def build(self, ends: Ends) -> nn.Module:
        layers: list[nn.Module] = [*convolution(ends.shape[0], STEM, 1), nn.ReLU()]
        before = STEM
        for stage, blocks in enumerate(BLOCKS):
            after = self.width * 2**stage
            # The paper: the first unit's input has too few channels for groups.
            layers.append(Unit(before, after, self.groups if stage else 1, self.groups, halves=True))
            layers += [Unit(after, after, self.groups, self.groups, halves=False) for _ in range(blocks - 1)]
            before = after
        return nn.Sequential(*layers, *head(before, ends))


class Unit(nn.Module):
    """Grouped 1×1 convolutions around a shuffle and a 3×3 convolution of each channel.

    Where it halves the map, its input, halved, makes up the last channels; otherwise it is added.
    """

    def __init__(self, before: int, after: int, groups_in: int, groups_out: int, halves: bool) -> None:
        super().__init__()
        out = after - before if halves else after
        inner = out // 4
        self.body = nn.Sequential(
            *convolution(before, inner, 1, groups=groups_in),
            nn.ReLU(),
            Shuffle(groups_in),
            *convolution(inner, inner, 3, 2 if halves else 1, groups=inner),
            nn.ReLU(),
            *convolution(inner, out, 1, groups=groups_out),
        )
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if halves else None

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.body(features)
        return F.relu(features + out if self.pool is None else torch.cat([out, self.pool(features)], dim=1))


class Shuffle(nn.Module):
    """Reorders channels so that each group of the next layer takes channels from all groups of the last."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = features.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
        return out
