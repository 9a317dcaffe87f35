"""Feed-forward stylisation networks."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from tasks.base import Frozen


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise PydanticCustomError("odd", "input should be odd")
    return size


class Johnson(Frozen):
    """Johnson et al. 2016: two strided convolutions, residual blocks, two upsamplings; instance normalisation.

    Upsampling is nearest + convolution in place of transposed convolution (Odena et al. 2016).
    """

    name: Literal["johnson"] = "johnson"
    width: int = Field(12, ge=1, description="channels at full resolution, doubled at each halving")
    blocks: int = Field(3, ge=0, le=1000, description="residual blocks at a quarter of the resolution")
    kernel: Annotated[int, AfterValidator(_odd)] = Field(
        5, ge=1, description="odd size of the first and last convolution"
    )

    def build(self) -> nn.Module:
        return Styliser(self.width, self.blocks, self.kernel)


def _convolution(before: int, after: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    # Without a bias, which the normalisation would take away again.
    return [
        nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, padding_mode="reflect", bias=False),
        nn.InstanceNorm2d(after, affine=True),
    ]


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(width, width, 3), nn.ReLU(), *_convolution(width, width, 3))

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = features + self.body(features)
        return out


class Styliser(nn.Module):
    """(batch, 3, h, w) in [0, 1] -> the same; h and w multiples of 4, at least 8 and more than half the kernel."""

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


class LossNetwork(nn.Module):
    """A small classifier of patches by the picture they came from; the image and three inner maps are the features.

    forward: (batch, 3, h, w) in [0, 1] -> pixels (the same), relu1 (batch, 16, h, w), relu2 (·, 32, h/2, w/2),
    relu3 (·, 64, h/4, w/4).

    Content is read off relu1: trained on a few pictures, the deeper maps tell textures apart and forget where things
    were.
    """

    content_layer = "relu1"

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (16, 32, 64)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU())
            for before, after in zip((3, *widths), widths, strict=False)
        )
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features, value = {"pixels": images}, 2 * images - 1
        for i, stage in enumerate(self.stages, 1):
            value = features[f"relu{i}"] = stage(value if i == 1 else self.pool(value))
        return features

    def classify(self, images: Tensor) -> Tensor:
        """(batch, classes) logits."""
        out: Tensor = self.head(self.forward(images)["relu3"].mean(dim=(2, 3)))
        return out


class VGG16(nn.Module):
    """The convolutions of VGG-16 (Simonyan & Zisserman 2015) up to relu4_3, numbered as in torchvision's ``features``.

    forward: (batch, 3, h, w) in [0, 1], h and w multiples of 8 -> relu1_2 (batch, 64, h, w),
    relu2_2 (·, 128, h/2, w/2), relu3_3 (·, 256, h/4, w/4), relu4_3 (·, 512, h/8, w/8), as in Johnson et al. 2016.
    """

    content_layer = "relu3_3"
    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.names: dict[int, str] = {}
        channels = 3
        for block, (width, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3)), 1):
            layers += [nn.MaxPool2d(2)] if layers else []
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            self.names[len(layers) - 1] = f"relu{block}_{depth}"
        self.features = nn.Sequential(*layers)
        # ImageNet's colours, which the weights were trained with.
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features, value = {}, (images - self.mean) / self.deviation
        for i, layer in enumerate(self.features):
            value = layer(value)
            if i in self.names:
                features[self.names[i]] = value
        return features
