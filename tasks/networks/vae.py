"""A fully connected variational autoencoder of small images."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.networks.base import Ends, Hidden, Network

LOG_VARIANCE_RANGE = (-8.0, 4.0)


class VAE(Network):
    """Encoder and decoder of fully connected layers; Bernoulli pixels, diagonal Gaussian posterior."""

    name: Literal["vae"] = "vae"
    kinds: ClassVar[frozenset[str]] = frozenset({"autoencoder"})
    hidden: Hidden = Field((256, 256), description="units of the encoder's hidden layers; the decoder mirrors")

    def build(self, ends: Ends) -> nn.Module:
        pixels = prod(ends.shape)
        down, up = (pixels, *self.hidden), (ends.code, *self.hidden[::-1])
        encoder = nn.Sequential(nn.Flatten(), *_dense(*down), nn.Linear(down[-1], 2 * ends.code))
        decoder = nn.Sequential(*_dense(*up), nn.Linear(up[-1], pixels), nn.Unflatten(1, ends.shape))
        return VariationalAutoencoder(encoder, decoder)


class VariationalAutoencoder(nn.Module):
    """A variational autoencoder of an encoder and a decoder network."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        """Wrap the two networks.

        Args:
            encoder: images -> (batch, 2 · latent), mean beside log variance.
            decoder: (batch, latent) -> pixel logits (batch, channels, h, w).
        """
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior, each (batch, latent)."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def decode(self, latent: Tensor) -> Tensor:
        """Return pixel logits (batch, channels, h, w) for latent codes (batch, latent)."""
        out: Tensor = self.decoder(latent)
        return out

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstruction from the posterior's mean: (batch, channels, h, w) in [0, 1]."""
        return torch.sigmoid(self.decode(self.encode(images)[0]))


def _dense(*sizes: int) -> list[nn.Module]:
    return [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())]
