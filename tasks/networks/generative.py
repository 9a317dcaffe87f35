"""Generators, discriminators and variational autoencoders of small images."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from tasks.base import Frozen
from tasks.networks.classifiers import Hidden, Shape

LOG_VARIANCE_RANGE = (-8.0, 4.0)
LEAST_SIDE = 8
"""Of images that the discriminator cuts into patches."""
MOST_LATENT, MOST_SAMPLES = 4096, 100_000
"""Latent codes are drawn all at once: 1.6 GB of them at most."""


class Adversaries(nn.Module):
    """A generator, which is what a user ships, and the discriminator it learns against."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator

    def forward(self, latent: Tensor) -> Tensor:
        out: Tensor = self.generator(latent)
        return out


class ConvolutionalGenerator(Frozen):
    """A linear map to a small grid, then nearest upsampling and 3×3 convolutions (Odena et al. 2016), to [0, 1]."""

    name: Literal["conv"] = "conv"
    width: int = Field(32, ge=1, description="channels of the last stage, doubled towards the latent code")

    def build(self, shape: Shape, latent: int) -> nn.Module:
        channels, height, width = shape
        stages = 0
        while height % 2 == 0 and width % 2 == 0 and min(height, width) > 4:
            height, width, stages = height // 2, width // 2, stages + 1
        widths = [self.width * min(2**i, 4) for i in range(stages, -1, -1)]
        layers: list[nn.Module] = [
            nn.Linear(latent, widths[0] * height * width),
            nn.Unflatten(1, (widths[0], height, width)),
            nn.ReLU(),
        ]
        for before, after in pairwise(widths):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        return nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, padding=1), nn.Sigmoid())


class DenseGenerator(Frozen):
    """Fully connected layers with ReLU, to [0, 1]."""

    name: Literal["dense"] = "dense"
    hidden: Hidden = Field((128,), description="units of each hidden layer; none: a linear generator")

    def build(self, shape: Shape, latent: int) -> nn.Module:
        sizes = (latent, *self.hidden)
        layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())]
        pixels = shape[0] * shape[1] * shape[2]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], pixels), nn.Sigmoid(), nn.Unflatten(1, shape))


class PatchDiscriminator(nn.Module):
    """One verdict a patch (Isola et al. 2017): overlapping patches of three quarters of each side, nine in all.

    The last patch of a row ends at the border: a pixel in no patch would be one that no loss of a generator sees.

    Each patch passes the same spectrally normalised layers (Miyato et al. 2018); as the patches are flattened first,
    the norm that is bounded is that of the map itself.
    forward: (batch, channels, h, w) -> (features (batch, width, 3, 3), logits (batch, 1, 3, 3)).
    """

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        channels, *sides = shape
        self.strides = [side // 8 for side in sides]
        self.sides = [side - 2 * stride for side, stride in zip(sides, self.strides, strict=True)]
        self.body = nn.Sequential(
            _normalised(nn.Linear(channels * self.sides[0] * self.sides[1], width)),
            nn.LeakyReLU(0.2),
            _normalised(nn.Linear(width, width)),
            nn.LeakyReLU(0.2),
        )
        self.head = _normalised(nn.Linear(width, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        # The same map as a convolution with this stride, but on flat patches: nearly twice as fast at these sizes.
        patches = 2 * images - 1
        for axis, (side, stride) in enumerate(zip(self.sides, self.strides, strict=True), 2):
            patches = patches.unfold(axis, side, stride)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3)
        features = self.body(patches)
        return features.permute(0, 3, 1, 2), self.head(features).permute(0, 3, 1, 2)


def _normalised(layer: nn.Linear) -> nn.Module:
    """Spectral norm; on the meta device, where sizes are counted, there is nothing to normalise, slowly."""
    return layer if layer.weight.is_meta else spectral_norm(layer)


class VAE(Frozen):
    """Encoder and decoder of fully connected layers; Bernoulli pixels, diagonal Gaussian posterior."""

    name: Literal["vae"] = "vae"
    hidden: Hidden = Field((256, 256), description="units of the encoder's hidden layers; the decoder mirrors")

    def build(self, shape: Shape, latent: int) -> nn.Module:
        return VariationalAutoencoder(shape, latent, self.hidden)


class VariationalAutoencoder(nn.Module):
    """encode: images -> (mean, log variance), each (batch, latent). decode: latent -> pixel logits."""

    def __init__(self, shape: Shape, latent: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        pixels = shape[0] * shape[1] * shape[2]
        there, back = (pixels, *hidden), (latent, *hidden[::-1])
        self.encoder = nn.Sequential(nn.Flatten(), *_dense(*there), nn.Linear(there[-1], 2 * latent))
        self.decoder = nn.Sequential(*_dense(*back), nn.Linear(back[-1], pixels), nn.Unflatten(1, shape))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def decode(self, latent: Tensor) -> Tensor:
        out: Tensor = self.decoder(latent)
        return out

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruction from the posterior's mean, in [0, 1]."""
        return torch.sigmoid(self.decode(self.encode(images)[0]))


def _dense(*sizes: int) -> list[nn.Module]:
    return [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())]


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Lim & Ye 2017; mean over batch and patches."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
