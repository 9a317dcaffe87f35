"""Residual networks for small images."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network, refusal


def _check_depth(depth: int) -> int:
    if depth % 6 != 2:
        raise refusal("input should be 6n + 2, as 8, 14, 20, 32, 56 or 110", says_all=False)
    return depth


class ResNet(Network):
    """He et al. 2016, section 4.2: 6n + 2 layers in three stages of n blocks, for images of about 32×32.

    Wider ones as in papers on distillation (Tian et al. 2020): resnet8x4 is depth 8, widening 4. There a shortcut to
    more channels is a convolution (the paper's option B); the paper's own networks for these images pad with zeros
    (option A), which saves 2.7 thousand parameters.
    """

    name: Literal["resnet"] = "resnet"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    depth: Annotated[int, AfterValidator(_check_depth)] = Field(20, ge=8, le=1202, description="layers, 6n + 2")
    widening: int = Field(1, ge=1, description="factor of the stages' 16, 32 and 64 channels")
    shortcut: Literal["convolution", "zeros"] = Field("convolution", description="to more channels: option B or A")

    def build(self, ends: Ends) -> nn.Module:
        # Two and four times as wide, the networks of the literature begin with 32 channels.
        widths = [16 * min(self.widening, 2), *(width * self.widening for width in (16, 32, 64))]
        layers: list[nn.Module] = [*convolution(ends.shape[0], widths[0]), nn.ReLU()]
        for stage, (before, after) in enumerate(pairwise(widths)):
            layers.append(Block(before, after, 2 if stage else 1, self.shortcut == "convolution"))
            layers += [Block(after, after, 1, False) for _ in range((self.depth - 2) // 6 - 1)]
        return initialised(nn.Sequential(*layers, *head(widths[-1], ends)))


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut: of the same shape, or to ``after`` channels by a convolution or zeros."""

    def __init__(self, before: int, after: int, stride: int, projected: bool) -> None:
        super().__init__()
        self.stride, self.more = stride, after - before
        self.body = nn.Sequential(*convolution(before, after, stride=stride), nn.ReLU(), *convolution(after, after))
        self.shortcut = nn.Sequential(*convolution(before, after, 1, stride)) if projected and self.more else None

    def forward(self, features: Tensor) -> Tensor:
        shortcut = self.shortcut(features) if self.shortcut is not None else self._padded(features)
        return F.relu(self.body(features) + shortcut)

    def _padded(self, features: Tensor) -> Tensor:
        if not self.more:
            return features
        return F.pad(features[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


def convolution(before: int, after: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution and its batch normalisation, which would cancel a bias."""
    return [
        nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
    ]


def head(width: int, ends: Ends) -> list[nn.Module]:
    """Return the layers of a classifier's head: the mean over positions, and one linear layer."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, ends.classes)]


def initialised(network: nn.Sequential, last: float | None = None) -> nn.Sequential:
    """Draw the weights of convolutions by their fan-out (He et al. 2015); biases are zero.

    Args:
        network: the network, which is changed and returned.
        last: the standard deviation of the linear layers; default: as torch draws them.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear) and last is not None:
            nn.init.normal_(layer.weight, std=last)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network
