"""A convolutional variational autoencoder of small images."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from distillbench.tasks.networks.base import Ends, Network
from distillbench.tasks.networks.dcgan import halvings
from distillbench.tasks.networks.vae import VariationalAutoencoder


class ConvVAE(Network):
    """Kingma & Welling 2014 with strided 4×4 convolutions and transposed ones; Bernoulli pixels.

    The maps end at 4×4 to 7×7: 32×32 is halved three times, 28×28 twice.
    """

    name: Literal["conv_vae"] = "conv_vae"
    kinds: ClassVar[frozenset[str]] = frozenset({"autoencoder"})
    width: int = Field(32, ge=1, description="channels at half the size, doubled at each further halving")
    depth: int = Field(1, ge=1, le=100, description="convolutions a stage: one that halves or doubles, the others 3×3")

    def build(self, ends: Ends) -> nn.Module:
        stages, before = halvings(ends), ends.shape[0]
        encoder: list[nn.Module] = []
        decoder: list[nn.Module] = []
        for stage in range(stages):
            after = self.width << stage
            encoder += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU(), *self._same(after)]
            last: list[nn.Module] = [nn.ReLU()] if stage else []
            decoder = [*self._same(after), nn.ConvTranspose2d(after, before, 4, 2, 1), *last, *decoder]
            before = after
        grid = (before, *(side >> stages for side in ends.shape[1:]))
        return VariationalAutoencoder(
            nn.Sequential(*encoder, nn.Flatten(), nn.Linear(prod(grid), 2 * ends.code)),
            nn.Sequential(nn.Linear(ends.code, prod(grid)), nn.ReLU(), nn.Unflatten(1, grid), *decoder),
        )

    def _same(self, width: int) -> list[nn.Module]:
        return [layer for _ in range(self.depth - 1) for layer in (nn.Conv2d(width, width, 3, padding=1), nn.ReLU())]
