"""Johnson's feed-forward stylisation network."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Network, refusal


def _check_odd(size: int) -> int:
    if size % 2 == 0:
        raise refusal("input should be odd", says_all=False)
    return size


class Johnson(Network):
    """Johnson et al. 2016: two strided convolutions, residual blocks, two upsamplings; instance normalisation.

    Upsampling is nearest + convolution in place of transposed convolution (Odena et al. 2016).
    """

    name: Literal["johnson"] = "johnson"
    kinds: ClassVar[frozenset[str]] = frozenset({"styliser"})
    width: int = Field(12, ge=1, description="channels at full resolution, doubled at each halving")
    blocks: int = Field(3, ge=0, le=1000, description="residual blocks at a quarter of the resolution")
    kernel: Annotated[int, AfterValidator(_check_odd)] = Field(
        5, ge=1, description="odd size of the first and last convolution"
    )

    @property
    def least_side(self) -> int:
        return max(8, self.kernel // 2 + 1)

    def build(self, ends: Ends) -> nn.Module:
        return Styliser(self.width, self.blocks, self.kernel)


def _convolution(before: int, after: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    # Without a bias, which the normalisation would cancel.
    return [
        nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, padding_mode="reflect", bias=False),
        nn.InstanceNorm2d(after, affine=True),
    ]


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(width, width, 3), nn.ReLU(), *_convolution(width, width, 3))
        # The skips carry a constant to the next normalisation, which cancels it.
        self.body[-1].register_parameter("bias", None)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = features + self.body(features)
        return out


class Styliser(nn.Module):
    """(batch, 3, h, w) -> (batch, 3, h, w), both in [0, 1].

    h and w must be multiples of 4, at least 8 and more than half the kernel.
    """

    def __init__(self, width: int, blocks: int, kernel: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(3, width, kernel),
            nn.ReLU(),
            *_convolution(width, 2 * width, 3, 2),
            nn.ReLU(),
            *_convolution(2 * width, 4 * width, 3, 2),
            nn.ReLU(),
            *(ResidualBlock(4 * width) for _ in range(blocks)),
            nn.Upsample(scale_factor=2),
            *_convolution(4 * width, 2 * width, 3),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            *_convolution(2 * width, width, 3),
            nn.ReLU(),
            nn.Conv2d(width, 3, kernel, padding=kernel // 2, padding_mode="reflect"),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.body(images)
        return out
