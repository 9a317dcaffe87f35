"""Generation of small binary images by a variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.base import (
    MOST_BATCH,
    MOST_LATENT,
    Evaluation,
    Inputs,
    Metric,
    Outputs,
    Rate,
    Recipe,
    Split,
    TaskSettings,
    evaluation_of,
)
from distillbench.tasks.data.embedded import LabelledImages
from distillbench.tasks.figures.kinds import FigureData, ImageGrid
from distillbench.tasks.metrics.distributions import DISTANCES, distances
from distillbench.tasks.metrics.images import psnrs
from distillbench.tasks.networks.base import Autoencoder, Ends
from distillbench.tasks.networks.interfaces import Interface
from distillbench.tasks.networks.vae import VAE as VAENetwork
from distillbench.tasks.networks.vae import VariationalAutoencoder
from distillbench.tasks.response import Bernoulli, Events, Normal, Response
from distillbench.tasks.shared.generative import BATCH, EVALUATION_SEED, FIGURE_IMAGES, Generative, GenerativeSettings

VALIDATION = 200
TRAVERSED, TRAVERSAL = 3, (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Dimensions of the latent code that are walked along, and where on each."""


class VAERecipe(Recipe):
    """A recipe and the network it trains."""

    network: Autoencoder
    kl_warmup: Rate = Field(0.0, description="fraction of the training in which the weight of the KL rises from 0 to 1")


class VAESettings(GenerativeSettings):
    """Kingma & Welling 2014, on pixels binarised at the middle grey level.

    A transfer set are images that the teacher has learnt from, and the student's own objective never sees.
    """

    steps: int = Field(800, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(64, ge=1, le=MOST_BATCH, description="images a step")
    latent: int = Field(8, ge=1, le=MOST_LATENT, description="dimensions of the latent code, of teacher and student")
    importance_samples: int = Field(50, ge=1, le=5000, description="K of the IWAE bound (Burda et al. 2016)")
    evaluated: int = Field(
        500,
        ge=1,
        description="images of a split, chosen once, that bounds and reconstructions are measured on, at most",
    )
    teacher: VAERecipe = VAERecipe(network=VAENetwork(hidden=(256, 256)), steps=1000, learning_rate=2e-3)
    student: VAERecipe = VAERecipe(network=VAENetwork(hidden=(16,)), learning_rate=2e-3)

    @property
    def teacher_splits(self) -> tuple[Split, ...]:
        return ("train", "transfer")


class VAE(Generative):
    """Small binary images by a variational autoencoder: compared by pixels and posteriors, one noise ε for both."""

    Settings: ClassVar[type[TaskSettings]] = VAESettings
    settings: VAESettings
    # What is deployed gives reconstructions: bounds look at the posterior too, and samples at the decoder alone.
    metrics: ClassVar[Mapping[str, Metric]] = {
        "neg_elbo": Metric("lower", "nats", deployed=False),
        "neg_iwae": Metric("lower", "nats", deployed=False),
        "reconstruction_psnr": Metric("higher", "dB"),
        "teacher_psnr": Metric("higher", "dB", note="teacher psnr is between reconstructions of one image"),
        **{name: replace(metric, deployed=False) for name, metric in DISTANCES.items()},
    }
    primary_metric: ClassVar[str] = "neg_elbo"
    interface: ClassVar[Interface] = Interface(
        "autoencoder",
        "a binary image: 1 where a level is at least 128, else 0",
        "the reconstruction from the posterior's mean: the probability that a pixel is 1",
        "binary",
    )
    baselines: ClassVar[tuple[str, ...]] = ("independent pixels", "real images (train)")
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"mlp_256_16": {}}
    preprocessing = "pixels binarised at 128"
    no_transfer = None

    # -- data ---------------------------------------------------------------------------------------------------

    @staticmethod
    def preprocess(images: Tensor) -> Tensor:
        return binarise(images)

    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        images = binarise(getattr(self.splits, split).images[list(indices)])
        return {"images": images.to(self.device), "noise": self.codes(len(indices), rng)}

    # -- models and learning ------------------------------------------------------------------------------------

    @property
    def ends(self) -> Ends:
        return Ends("autoencoder", self.shape, self.shape, self.settings.latent)

    def example_input(self, batch_size: int) -> Tensor:
        return binarise(self.splits.test.images[:1]).repeat(batch_size, 1, 1, 1)

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        autoencoder = cast(VariationalAutoencoder, model)
        return _decode(autoencoder, *autoencoder.encode(inputs["images"]), inputs["noise"])

    def loss(
        self,
        model: nn.Module,
        inputs: Inputs,
        outputs: Outputs,
        recipe: Recipe | None = None,
        progress: float = 1.0,
    ) -> Tensor:
        """−ELBO in nats an image; in a warm-up the rate counts less (Bowman et al. 2016)."""
        warmup = recipe.kl_warmup if isinstance(recipe, VAERecipe) else 0.0
        weight = min(1.0, progress / warmup) if warmup else 1.0
        return (_distortion(outputs, inputs) + weight * _rate(outputs)).mean()

    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        return {
            "pixels": Bernoulli(outputs["pixels"]),
            "posterior": Normal(outputs["mean"], outputs["log_variance"]),
        }

    @torch.no_grad()
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        inputs = self.shared_inputs(range(len(self.splits.fitting)), rng, split="fit")
        pixels = Bernoulli(self.forward(teacher, inputs)["pixels"])
        return {"pixels": Events(pixels, inputs["images"].flatten(1), elementwise=True)}

    # -- evaluation ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        data, examples = self._bounds(cast(VariationalAutoencoder, model), teacher, split)
        key = ("generated", self.extractor_key)  # of no split
        generated = self.output_cache(model, key, lambda: self.image_features(self.samples(model)))
        return evaluation_of(data.names, examples, distances(self.real_features(split), generated))

    def _bounds(
        self, autoencoder: VariationalAutoencoder, teacher: nn.Module, split: Split
    ) -> tuple[LabelledImages, dict[str, list[float]]]:
        """The evaluated images of a split, bounds on their likelihood, and how well they are reconstructed."""
        data = chosen(getattr(self.splits, split), self.settings.evaluated)
        originals = binarise(data.images).to(self.device)
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        elbos, bounds, reconstructions = [], [], []
        for images in originals.split(BATCH):
            log_weights, mean_elbo = [], []
            posterior = autoencoder.encode(images)
            for _ in range(self.settings.importance_samples):
                noise = self.codes(len(images), rng)
                inputs, outputs = {"images": images, "noise": noise}, _decode(autoencoder, *posterior, noise)
                distortion = _distortion(outputs, inputs)
                mean_elbo.append(-distortion - _rate(outputs))
                log_weights.append(_log_weight(outputs, inputs, distortion))
            elbos.append(torch.stack(mean_elbo).mean(0))
            bounds.append(torch.stack(log_weights).logsumexp(0) - math.log(len(log_weights)))
            reconstructions.append(autoencoder(images))
        examples = {
            "neg_elbo": (-torch.cat(elbos)).tolist(),
            "neg_iwae": (-torch.cat(bounds)).tolist(),
            "reconstruction_psnr": psnrs(torch.cat(reconstructions), originals).tolist(),
        }
        if teacher is not autoencoder:
            reference = self.output_cache(
                teacher, split, lambda: torch.cat([teacher(batch) for batch in originals.split(BATCH)])
            )
            examples["teacher_psnr"] = psnrs(torch.cat(reconstructions), reference).tolist()
        return data, examples

    def samples(self, model: nn.Module) -> Tensor:
        """Binary images, each pixel drawn with the probability that the decoder gives it."""
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        codes = self.codes(self.settings.samples, rng).split(BATCH)
        decoder = cast(VariationalAutoencoder, model)
        pixels = torch.cat([torch.sigmoid(decoder.decode(batch)).cpu() for batch in codes])
        return torch.bernoulli(pixels, generator=rng).to(self.device)

    validation_part = f"up to {VALIDATION} validation images, one code each"

    @torch.no_grad()
    def validation_metric(self, model: nn.Module) -> float:
        return float(self.loss(model, self._validation, self.forward(model, self._validation)))

    @cached_property
    def _validation(self) -> Inputs:
        validation = self.splits.validation
        indices = validation.interleaved(torch.arange(len(validation)))[:VALIDATION].tolist()
        return self.shared_inputs(indices, torch.Generator().manual_seed(EVALUATION_SEED), split="validation")

    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        """Independent pixels with the training frequencies (one count added): their exact negative log-likelihood.

        And the training images themselves, which are the floor of the distances.
        """
        if name == "real images (train)":
            return self.distances_of(binarise(self.whole.train.images), split)
        train = binarise(self.splits.train.images)
        frequency = (train.sum(0).double() + 1) / (len(train) + 2)
        data = chosen(getattr(self.splits, split), self.settings.evaluated)
        images = binarise(data.images).double()
        nll = -(images * frequency.log() + (1 - images) * (1 - frequency).log()).flatten(1).sum(1)
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        samples = torch.bernoulli(frequency.expand(self.settings.samples, -1, -1, -1), generator=rng).float()
        examples = {"neg_elbo": nll.tolist(), "neg_iwae": nll.tolist()}
        return evaluation_of(data.names, examples, self.distances_of(samples, split).metrics)

    @torch.no_grad()
    def figures(self, models: Mapping[str, nn.Module]) -> Mapping[str, FigureData]:
        """Reconstructions, samples of the prior, and walks along the latent dimensions, as pixel probabilities."""
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        images = binarise(self.splits.test.spread(FIGURE_IMAGES // 2).images)
        latent = self.codes(len(images), rng)
        rows = {"real": images}
        for name, model in models.items():
            autoencoder = cast(VariationalAutoencoder, model)
            sampled = torch.sigmoid(autoencoder.decode(latent))
            rows[name] = torch.cat([autoencoder(images.to(self.device)), sampled]).cpu()
        heads = ["reconstructions"] * len(images) + ["samples of the prior"] * len(latent)
        note = "grey: the probability of a white pixel; a column's samples share a latent code"
        return {"samples": ImageGrid(rows, heads, note=note), "traversals": self._traversals(models)}

    def _traversals(self, models: Mapping[str, nn.Module]) -> ImageGrid:
        """Walks from one image's code along the dimensions with the largest KL, each model along its own."""
        images = binarise(self.splits.test.spread(VALIDATION).images).to(self.device)
        rows = {}
        count = min(TRAVERSED, self.settings.latent)
        for name, model in models.items():
            autoencoder = cast(VariationalAutoencoder, model)
            mean, log_variance = autoencoder.encode(images)
            rate = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).mean(0)
            codes = []
            for dimension in rate.argsort(descending=True, stable=True)[:count].tolist():
                walk = mean[:1].repeat(len(TRAVERSAL), 1)
                walk[:, dimension] = torch.tensor(TRAVERSAL, device=walk.device)
                codes.append(walk)
            rows[name] = torch.sigmoid(autoencoder.decode(torch.cat(codes))).cpu()
        heads = [f"{nth} dimension, −3 to 3" for nth in ("first", "second", "third")[:count] for _ in TRAVERSAL]
        note = "from the code of the first image, one dimension is set; first: the one that tells most (largest KL)"
        return ImageGrid({"image": images[:1].cpu(), **rows}, heads, note=note)


def _decode(model: VariationalAutoencoder, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Outputs:
    """Pixel logits at the sample that the noise picks from the posterior."""
    latent = mean + (0.5 * log_variance).exp() * noise
    return {"pixels": model.decode(latent), "mean": mean, "log_variance": log_variance}


def chosen(data: LabelledImages, most: int) -> LabelledImages:
    """All, or so many of them: drawn once by a fixed seed, in their order, the same for every model."""
    if len(data) <= most:
        return data
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(EVALUATION_SEED))
    return data.subset(order[:most].sort().values)


def binarise(images: Tensor) -> Tensor:
    """uint8 -> float in {0, 1}."""
    return (images >= 128).float()


def _distortion(outputs: Outputs, inputs: Inputs) -> Tensor:
    """−log p(x given z) in nats, (batch,)."""
    loss = F.binary_cross_entropy_with_logits(outputs["pixels"], inputs["images"], reduction="none")
    return loss.flatten(1).sum(1)


def _rate(outputs: Outputs) -> Tensor:
    """KL(q(z given x) ‖ N(0, I)) in nats, (batch,)."""
    mean, log_variance = outputs["mean"], outputs["log_variance"]
    kl: Tensor = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)
    return kl


def _log_weight(outputs: Outputs, inputs: Inputs, distortion: Tensor) -> Tensor:
    """log p(x, z) − log q(z given x) at the sampled z = μ + σ·ε, (batch,) (Burda et al. 2016, eq. 8)."""
    noise, mean, log_variance = inputs["noise"], outputs["mean"], outputs["log_variance"]
    latent = mean + (0.5 * log_variance).exp() * noise
    log_prior_over_posterior = 0.5 * (noise.square() - latent.square() + log_variance).sum(1)
    result: Tensor = log_prior_over_posterior - distortion
    return result
