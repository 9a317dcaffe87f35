"""The perceptual networks of style transfer: frozen random filters, or VGG-16 from a file of weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillbench.tasks.base import ExtractorRecipe
from distillbench.tasks.data.files import DataError, file_digest
from distillbench.tasks.response import floored

LEVELS, FILTERS, COLOURS, SEED = 5, 48, 6, 0
"""The random pyramid's levels, filters and mixtures of colours a level, and the seed that they are drawn from."""


class RandomPyramid(nn.Module):
    """Frozen random filters on a Gaussian pyramid; nothing is learned (Ustyuzhaninov et al. 2016; He et al. 2016).

    Each level has ``FILTERS`` filters of 5×5 pixels, zero mean and unit norm, and ``COLOURS`` mixtures of the three
    colours, behind a ReLU. The finest level is read at every other position, for speed. The filters are drawn from a
    seed and scaled, level by level, so that a channel's root mean square is one on the style picture (as Gatys et al.
    2016 scale VGG's to a mean of one): else colours would outweigh edges.
    """

    content_layers = ("level2", "level3")
    filters: Tensor
    blur: Tensor

    def __init__(self, picture: Tensor) -> None:
        """A pyramid scaled to a style.

        Args:
            picture: The style, (3, h, w) in [0, 1].
        """
        super().__init__()
        rng = torch.Generator().manual_seed(SEED)
        edges = torch.randn(FILTERS, 3, 5, 5, generator=rng)
        edges = edges - edges.mean(dim=(1, 2, 3), keepdim=True)
        colours = torch.zeros(COLOURS, 3, 5, 5)
        colours[:, :, 2, 2] = torch.randn(COLOURS, 3, generator=rng)
        filters = torch.cat([edges, colours])
        filters = filters / filters.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        self.register_buffer("filters", filters.repeat(LEVELS, 1, 1, 1, 1))
        bell = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        self.register_buffer("blur", (bell[:, None] * bell).repeat(3, 1, 1, 1))
        for level, maps in enumerate(self(picture[None]).values()):
            self.filters[level] /= floored(maps.square().mean(dim=(0, 2, 3)).sqrt()).view(-1, 1, 1, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The features of each level, as far as a filter fits in.

        Args:
            images: (batch, 3, h, w) in [0, 1].

        Returns:
            level1 and level2 (batch, 54, about h/2, w/2), level3 (·, ·, h/4, w/4), level4 (·, ·, h/8, w/8) and level5
            (·, ·, h/16, w/16), at those positions where the whole filter lies inside.
        """
        features, value = {}, 2 * images - 1
        for level, filters in enumerate(self.filters, 1):
            if min(value.shape[-2:]) < filters.shape[-1]:
                break
            features[f"level{level}"] = F.conv2d(value, filters, stride=2 if level == 1 else 1).relu()
            value = F.conv2d(F.pad(value, (2, 2, 2, 2), mode="reflect"), self.blur, stride=2, groups=3)
        return features


class VGG16(nn.Module):
    """The convolutions of VGG-16 (Simonyan & Zisserman 2015) up to relu4_3, numbered as in torchvision."""

    content_layers = ("relu3_3",)
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
        """The features of four layers, as in Johnson et al. 2016.

        Args:
            images: (batch, 3, h, w) in [0, 1], h and w multiples of 8.

        Returns:
            relu1_2 (batch, 64, h, w), relu2_2 (·, 128, h/2, w/2), relu3_3 (·, 256, h/4, w/4) and relu4_3
            (·, 512, h/8, w/8).
        """
        features, value = {}, (images - self.mean) / self.deviation
        for i, layer in enumerate(self.features):
            value = layer(value)
            if i in self.names:
                features[self.names[i]] = value
        return features


@dataclass(frozen=True)
class VGGExtractor(ExtractorRecipe):
    """VGG-16 as torchvision ships it, loaded from the user's file of weights; nothing is trained."""

    name: ClassVar[str] = "vgg16"
    weights: Path

    @property
    def config(self) -> dict[str, Any]:
        return {"extractor": self.name, "weights": file_digest(self.weights, "loss_network")}

    def build(self) -> VGG16:
        return VGG16()

    def train(self) -> nn.Module:
        network = self.build()
        try:
            state = torch.load(self.weights, map_location="cpu", weights_only=True)
            network.load_state_dict({name: state[name] for name in network.state_dict()})
        except Exception as error:  # torch.load raises anything on foreign bytes
            raise DataError(f"{self.weights} does not hold torchvision's VGG-16", field="loss_network") from error
        return network
