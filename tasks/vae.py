"""Generation of small binary images by a variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tasks.base import (
    MOST_BATCH,
    Evaluation,
    Inputs,
    Judge,
    Metric,
    Outputs,
    Pictures,
    Recipe,
    Role,
    Split,
    Splits,
    Task,
    TaskSettings,
    evaluation_of,
)
from tasks.data import folders
from tasks.data.embedded import LabelledImages
from tasks.judges.classifier import ClassifierJudge
from tasks.metrics.distributions import DISTANCES, distances, inception_identity
from tasks.networks.generative import MOST_LATENT, MOST_SAMPLES, VariationalAutoencoder
from tasks.networks.generative import VAE as VAENetwork
from tasks.response import Bernoulli, Events, Normal, Response

BATCH = 200
PICTURES = 20
EVALUATION_SEED = 0


class VAERecipe(Recipe):
    """A recipe and the network it trains."""

    network: VAENetwork


class VAESettings(TaskSettings):
    """Kingma & Welling 2014, on pixels binarised at the middle grey level."""

    locations: ClassVar[frozenset[str]] = frozenset({"data", "inception"})

    steps: int = Field(800, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(64, ge=1, le=MOST_BATCH, description="images a step")
    latent: int = Field(8, ge=1, le=MOST_LATENT, description="dimensions of the latent code, of teacher and student")
    importance_samples: int = Field(50, ge=1, le=5000, description="K of the IWAE bound (Burda et al. 2016)")
    samples: int = Field(5000, ge=100, le=MOST_SAMPLES, description="generated images that FID and KID are computed on")
    inception: Path | None = Field(None, description="weights of torch-fidelity's Inception v3, for FID and KID on it")
    teacher: VAERecipe = VAERecipe(network=VAENetwork(hidden=(256, 256)), steps=1000, learning_rate=2e-3)
    student: VAERecipe = VAERecipe(network=VAENetwork(hidden=(16,)), learning_rate=2e-3)


class VAE(Task):
    """Small binary images by a variational autoencoder: compared by pixels and posteriors, one noise ε for both."""

    Settings: ClassVar[type[TaskSettings]] = VAESettings
    settings: VAESettings
    metrics: ClassVar[Mapping[str, Metric]] = {
        "neg_elbo": Metric("lower", "nats"),
        "neg_iwae": Metric("lower", "nats"),
        "reconstruction_psnr": Metric("higher", "dB"),
        **DISTANCES,
    }
    headline: ClassVar[str] = "neg_elbo"
    references: ClassVar[tuple[str, ...]] = ("independent pixels", "real images (train)")
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"mlp_256_16": {}}

    @classmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        assert isinstance(settings, VAESettings)
        images, weights = folders.identity(settings.data, "digits"), inception_identity(settings.inception)
        return images if weights is None else {"images": images, "inception": weights}

    @cached_property
    def splits(self) -> Splits[LabelledImages]:
        return folders.labelled_splits(self.settings.data, self.cache)

    def outline(self) -> Splits[LabelledImages]:
        return folders.labelled_outline(self.settings.data)

    def _identity(self) -> Any:
        return folders.identity(self.settings.data, "digits")

    @property
    def items(self) -> int:
        return len(self.splits.train)

    def judge_recipe(self) -> Judge:
        return ClassifierJudge(self._identity, "pixels binarised at 128", lambda: self.splits.train, binarise)

    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        images = binarise(getattr(self.splits, split).images[list(indices)])
        noise = torch.randn(len(indices), self.settings.latent, generator=rng)
        return {"images": images.to(self.device), "noise": noise.to(self.device)}

    def network(self, role: Role) -> nn.Module:
        recipe: VAERecipe = getattr(self.settings, role)
        channels, height, width = self.splits.train.images.shape[1:]
        return recipe.network.build((channels, height, width), self.settings.latent)

    def example_input(self, batch_size: int) -> Tensor:
        return binarise(self.splits.test.images[:1]).repeat(batch_size, 1, 1, 1)

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        autoencoder = cast(VariationalAutoencoder, model)
        return _decode(autoencoder, *autoencoder.encode(inputs["images"]), inputs["noise"])

    def loss(self, model: nn.Module, inputs: Inputs, outputs: Outputs, part: str) -> Tensor:
        """−ELBO in nats an image."""
        return (_distortion(outputs, inputs) + _rate(outputs)).mean()

    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        return {
            "pixels": Bernoulli(outputs["pixels"]),
            "posterior": Normal(outputs["mean"], outputs["log_variance"]),
        }

    @torch.no_grad()
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        held_out = self.splits.held_out
        inputs = self.shared_inputs(range(len(held_out)), rng, split="held_out")
        pixels = Bernoulli(self.forward(teacher, inputs)["pixels"])
        return {"pixels": Events(pixels, inputs["images"].flatten(1), elementwise=True)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        autoencoder = cast(VariationalAutoencoder, model)
        data: LabelledImages = getattr(self.splits, split)
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        elbos, bounds, errors = [], [], []
        for start in range(0, len(data), BATCH):
            indices = range(start, min(start + BATCH, len(data)))
            log_weights, mean_elbo = [], []
            images = self.shared_inputs(indices, rng, split=split)["images"]
            posterior = autoencoder.encode(images)
            for _ in range(self.settings.importance_samples):
                noise = torch.randn(len(indices), self.settings.latent, generator=rng).to(self.device)
                inputs, outputs = {"images": images, "noise": noise}, _decode(autoencoder, *posterior, noise)
                mean_elbo.append(-_distortion(outputs, inputs) - _rate(outputs))
                log_weights.append(_log_weight(outputs, inputs))
            elbos.append(torch.stack(mean_elbo).mean(0))
            bounds.append(torch.stack(log_weights).logsumexp(0) - math.log(len(log_weights)))
            errors.append((autoencoder(images) - images).square().flatten(1).mean(1))
        latent = torch.randn(self.settings.samples, self.settings.latent, generator=rng).to(self.device)
        uniform = torch.Generator().manual_seed(EVALUATION_SEED)
        samples = torch.cat([torch.sigmoid(autoencoder.decode(batch)).cpu() for batch in latent.split(BATCH)])
        samples = torch.bernoulli(samples, generator=uniform).to(self.device)
        items = {
            "neg_elbo": (-torch.cat(elbos)).tolist(),
            "neg_iwae": (-torch.cat(bounds)).tolist(),
            "reconstruction_psnr": (-10 * torch.cat(errors).clamp_min(1e-10).log10()).tolist(),
        }
        real = binarise(data.images).to(self.device)
        return evaluation_of(data.names, items, distances(self.judge, self.settings.inception, real, samples))

    def reference(self, name: str, split: Split = "test") -> Evaluation:
        """Independent pixels with the training frequencies (one count added): their exact negative log-likelihood."""
        train, data = binarise(self.splits.train.images), getattr(self.splits, split)
        real = binarise(data.images).to(self.device)
        if name == "real images (train)":
            return Evaluation(distances(self.judge, self.settings.inception, real, train.to(self.device)))
        frequency = (train.sum(0).double() + 1) / (len(train) + 2)
        images = binarise(data.images).double()
        nll = -(images * frequency.log() + (1 - images) * (1 - frequency).log()).flatten(1).sum(1)
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        samples = torch.bernoulli(frequency.expand(self.settings.samples, -1, -1, -1), generator=rng).float()
        others = distances(self.judge, self.settings.inception, real, samples.to(self.device))
        return evaluation_of(data.names, {"neg_elbo": nll.tolist(), "neg_iwae": nll.tolist()}, others)

    @torch.no_grad()
    def pictures(self, models: Mapping[str, nn.Module]) -> Pictures:
        """Reconstructions of the real images, then as many samples of the prior (pixel probabilities)."""
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        images = binarise(self.splits.test.spread(PICTURES // 2).images)
        latent = torch.randn(len(images), self.settings.latent, generator=rng).to(self.device)
        rows = {"real": images}
        for name, model in models.items():
            autoencoder = cast(VariationalAutoencoder, model)
            sampled = torch.sigmoid(autoencoder.decode(latent))
            rows[name] = torch.cat([autoencoder(images.to(self.device)), sampled]).cpu()
        heads = ["reconstructions"] * len(images) + ["samples of the prior"] * len(latent)
        return Pictures(
            rows, heads, note="grey: the probability of a white pixel; a column's samples share a latent code"
        )


def _decode(model: VariationalAutoencoder, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Outputs:
    """Pixel logits at the sample that the noise picks from the posterior."""
    latent = mean + (0.5 * log_variance).exp() * noise
    return {"pixels": model.decode(latent), "mean": mean, "log_variance": log_variance}


def binarise(images: Tensor) -> Tensor:
    """uint8 -> float in {0, 1}."""
    return (images >= 128).float()


def _distortion(outputs: Outputs, inputs: Inputs) -> Tensor:
    """−log p(x given z) in nats, one an image."""
    loss = F.binary_cross_entropy_with_logits(outputs["pixels"], inputs["images"], reduction="none")
    return loss.flatten(1).sum(1)


def _rate(outputs: Outputs) -> Tensor:
    """KL(q(z given x) ‖ N(0, I)) in nats, one an image."""
    mean, log_variance = outputs["mean"], outputs["log_variance"]
    kl: Tensor = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)
    return kl


def _log_weight(outputs: Outputs, inputs: Inputs) -> Tensor:
    """log p(x, z) − log q(z given x) at the sampled z = μ + σ·ε, one an image (Burda et al. 2016, eq. 8)."""
    noise, mean, log_variance = inputs["noise"], outputs["mean"], outputs["log_variance"]
    latent = mean + (0.5 * log_variance).exp() * noise
    log_prior_over_posterior = 0.5 * (noise.square() - latent.square() + log_variance).sum(1)
    result: Tensor = log_prior_over_posterior - _distortion(outputs, inputs)
    return result
