"""A discriminator of patches of small images."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from distillbench.tasks.networks.base import Ends, Network


class Patch(Network):
    """One logit a patch (Isola et al. 2017): nine overlapping patches, each passed through two normalised layers."""

    name: Literal["patch"] = "patch"
    kinds: ClassVar[frozenset[str]] = frozenset({"discriminator"})
    width: int = Field(64, ge=1, description="units of each layer: channels of the features")

    @property
    def least_side(self) -> int:
        return 8

    def build(self, ends: Ends) -> nn.Module:
        return PatchDiscriminator(ends.shape, self.width)


class PatchDiscriminator(nn.Module):
    """(batch, channels, h, w) in [0, 1] -> features (batch, width, 3, 3), logits (batch, 1, 3, 3).

    Nine overlapping patches of three quarters of each side. The last patch of a row ends at the border: a pixel in no
    patch would be one that no loss of a generator depends on. Each patch passes the same spectrally normalised layers
    (Miyato et al. 2018); as the patches are flattened first, the norm that is bounded is that of the map itself.
    """

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        channels, *sides = shape
        self.strides = [side // 8 for side in sides]
        self.sides = [side - 2 * stride for side, stride in zip(sides, self.strides, strict=True)]
        self.body = nn.Sequential(
            normalised(nn.Linear(channels * self.sides[0] * self.sides[1], width)),
            nn.LeakyReLU(0.2),
            normalised(nn.Linear(width, width)),
            nn.LeakyReLU(0.2),
        )
        self.head = normalised(nn.Linear(width, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        # The same map as a convolution with this stride, but on flat patches: nearly twice as fast at these sizes.
        patches = 2 * images - 1
        for axis, (side, stride) in enumerate(zip(self.sides, self.strides, strict=True), 2):
            patches = patches.unfold(axis, side, stride)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3)
        features = self.body(patches)
        return features.permute(0, 3, 1, 2), self.head(features).permute(0, 3, 1, 2)


def normalised(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """Apply spectral normalisation to a layer, except on the meta device, where sizes are counted."""
    return layer if layer.weight.is_meta else spectral_norm(layer)
