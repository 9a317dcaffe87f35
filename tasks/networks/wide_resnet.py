"""Wide residual networks for small images."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network, refusal
from distillbench.tasks.networks.resnet import head, initialised


def _check_depth(depth: int) -> int:
    if depth % 6 != 4:
        raise refusal("input should be 6n + 4, as 10, 16, 28 or 40", says_all=False)
    return depth


class WideResNet(Network):
    """Zagoruyko & Komodakis 2016: WRN-depth-widening, 6n + 4 layers in three stages of n blocks, activation first."""

    name: Literal["wide_resnet"] = "wide_resnet"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    depth: Annotated[int, AfterValidator(_check_depth)] = Field(16, ge=10, le=1000, description="layers, 6n + 4")
    widening: int = Field(1, ge=1, description="k, factor of the stages' 16, 32 and 64 channels")
    dropout: float = Field(0.0, ge=0, lt=1, description="between the two convolutions of a block")

    def build(self, ends: Ends) -> nn.Module:
        widths = [16, *(width * self.widening for width in (16, 32, 64))]
        layers: list[nn.Module] = [_convolution(ends.shape[0], 16)]
        for stage, (before, after) in enumerate(pairwise(widths)):
            layers.append(Block(before, after, 2 if stage else 1, self.dropout))
            layers += [Block(after, after, 1, self.dropout) for _ in range((self.depth - 4) // 6 - 1)]
        layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU(), *head(widths[-1], ends)]
        return initialised(nn.Sequential(*layers))


def _convolution(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)


class Block(nn.Module):
    """Two 3×3 convolutions, each after normalisation and ReLU, and a shortcut: to other channels a convolution."""

    def __init__(self, before: int, after: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.activation = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
        self.body = nn.Sequential(
            _convolution(before, after, stride=stride),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Dropout(dropout),
            _convolution(after, after),
        )
        self.shortcut = None if before == after else _convolution(before, after, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        active = self.activation(features)
        shortcut = features if self.shortcut is None else self.shortcut(active)
        out: Tensor = self.body(active) + shortcut
        return out
