"""The size and normalisation of images that a network was trained with, put before the network."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from distillbench.common.settings import Frozen
from distillbench.tasks.networks.base import Ends, Network, UnfitError, refusal


class Normalise(Frozen):
    """The normalisation (image − mean) / std of an image in [0, 1]: one number a channel, or one for all."""

    mean: tuple[float, ...] = Field(min_length=1, description="of each channel, in [0, 1]")
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1, description="of each channel, in [0, 1]")

    @model_validator(mode="after")
    def _as_many(self) -> Normalise:
        if len(self.mean) != len(self.std):
            message = f"mean has {len(self.mean)} channels, std {len(self.std)} (allowed: as many)"
            raise refusal(message)
        return self


class View(nn.Module):
    """A module that prepares images for the network it wraps; pretrained weights are those of ``network``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class InColour(View):
    """A network of three channels for images of one, which is repeated."""

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.network(images.expand(-1, 3, -1, -1))
        return out


def in_colour(network: nn.Module, ends: Ends) -> nn.Module:
    """Return a network of three channels, for grey images behind a repetition of their channel."""
    return InColour(network) if ends.shape[0] == 1 else network


class Preprocessed(View):
    """A network behind the resizing and normalisation of images (batch, channels, height, width) in [0, 1].

    Resizing is bilinear, with antialiasing where it shrinks. A grey image becomes one of three channels where the
    normalisation has three.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, size: tuple[int, int] | None, normalise: Normalise) -> None:
        super().__init__(network)
        self.size = size
        for name in ("mean", "std"):
            values = torch.tensor(getattr(normalise, name)).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if self.size is not None:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True)
        out: Tensor = self.network((images - self.mean) / self.std)
        return out


def built(network: Network, ends: Ends, size: int | None, normalise: Normalise | None) -> nn.Module:
    """Build a network behind its resizing and normalisation, or alone where it has neither.

    Args:
        network: the settings of the network.
        ends: the shapes of the task.
        size: the side in pixels of the images that the network takes; None: that of the task.
        normalise: the normalisation of the images; None: none.

    Raises:
        UnfitError: the normalisation does not fit the channels, or the network the shapes.
    """
    if size is None and normalise is None:
        return network.build(ends)
    channels, height, width = ends.shape
    normalise = normalise or Normalise(mean=(0.0,), std=(1.0,))
    count = len(normalise.mean)
    allowed = {1, 3} if channels == 1 else {1, channels}
    if count not in allowed:
        text = " or ".join(map(str, sorted(allowed)))
        raise UnfitError(f"normalise: has {count} channels, but the images have {channels} (allowed: {text})")
    sides = (height, width) if size is None else (size, size)
    inner = replace(ends, takes=(max(count, channels), *sides))
    return Preprocessed(network.build(inner), None if size is None else sides, normalise)
