"""Generation of small images by adversarial learning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast
from weakref import ref

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.base import (
    MOST_BATCH,
    MOST_LATENT,
    Evaluation,
    ExtractorRecipe,
    Inputs,
    Metric,
    Outputs,
    Recipe,
    Role,
    Split,
    Splits,
    Task,
    TaskSettings,
)
from distillbench.tasks.data import folders
from distillbench.tasks.data.embedded import LabelledImages
from distillbench.tasks.data.files import DataError
from distillbench.tasks.data.pixels import to_float
from distillbench.tasks.feature_extractors.classifier import ClassifierExtractor, FeatureClassifier
from distillbench.tasks.figures.kinds import FigureData, ImageGrid
from distillbench.tasks.metrics.distributions import (
    DISTANCES,
    MOST_SAMPLES,
    FeatureSets,
    distances,
    features,
    frechet_distance,
    inception_identity,
    judging,
)
from distillbench.tasks.metrics.images import psnrs
from distillbench.tasks.networks.base import Discriminator, Ends, Generator
from distillbench.tasks.networks.dense import Dense
from distillbench.tasks.networks.interfaces import Interface
from distillbench.tasks.networks.patch import Patch
from distillbench.tasks.response import Bernoulli, Events, Feature, Response
from distillbench.tasks.views.precision import in_precision

BATCH = 200
PICTURES = 20
VALIDATION = 100
AGREEMENT_NOTE = "teacher psnr is between images of one latent code, the student's and the teacher's"
MOST_EVENTS = 1000
"""Validation images that a readout is fitted to, at most."""
EVALUATION_SEED = 0
MOST_REAL = 10_000
"""Training images that the baseline are made of, evenly spread."""


class Adversaries(nn.Module):
    """A generator, which is what a user ships, and the discriminator it learns against."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator

    def forward(self, latent: Tensor) -> Tensor:
        out: Tensor = self.generator(latent)
        return out


class GeneratorRecipe(Recipe):
    """A recipe and the generator it trains; both roles have the same discriminator."""

    network: Generator


class GANSettings(TaskSettings):
    """Hinge loss (Lim & Ye 2017) against a spectrally normalised patch discriminator."""

    locations: ClassVar[frozenset[str]] = frozenset({"data", "inception"})

    steps: int = Field(600, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(32, ge=1, le=MOST_BATCH, description="images a step")
    latent: int = Field(16, ge=1, le=MOST_LATENT, description="dimensions of the latent code u ~ N(0, I)")
    samples: int = Field(5000, ge=100, le=MOST_SAMPLES, description="generated images that FID and KID are computed on")
    inception: Path | None = Field(None, description="weights of torch-fidelity's Inception v3, for FID and KID on it")
    discriminator: Discriminator = Patch(width=64)
    discriminator_rate: float = Field(2.0, gt=0, description="its learning rate, in units of the generator's")
    teacher: GeneratorRecipe = GeneratorRecipe(
        network=Dense(hidden=(128,)), steps=2500, learning_rate=4e-3, betas=(0.0, 0.9)
    )
    student: GeneratorRecipe = GeneratorRecipe(network=Dense(hidden=(16,)), learning_rate=4e-3, betas=(0.0, 0.9))


class GAN(Task):
    """Small images from noise: generators compared through the teacher's discriminator, on the same latent codes."""

    Settings: ClassVar[type[TaskSettings]] = GANSettings
    settings: GANSettings
    metrics: ClassVar[Mapping[str, Metric]] = {**DISTANCES, "teacher_psnr": Metric("higher", "dB", note=AGREEMENT_NOTE)}
    primary_metric: ClassVar[str] = "classifier_fid"
    interface: ClassVar[Interface] = Interface(
        "generator", "a latent code, drawn from N(0, I)", "an image in [0, 1]: times 255"
    )
    baselines: ClassVar[tuple[str, ...]] = ("pixel Gaussian", "real images (train)")
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"dense_128_16": {}}

    @classmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        assert isinstance(settings, GANSettings)
        images, weights = folders.identity(settings.data, "digits"), inception_identity(settings.inception)
        return images if weights is None else {"images": images, "inception": weights}

    @cached_property
    def splits(self) -> Splits[LabelledImages]:
        return folders.labelled_splits(self.settings.data, self.cache)

    def _identity(self) -> Any:
        return folders.identity(self.settings.data, "digits")

    @property
    def training_examples(self) -> int:
        return len(self.splits.train)

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.splits.train.images.shape[1:]
        return channels, height, width

    @property
    def ends(self) -> Ends:
        latent = self.settings.latent
        return Ends("generator", (latent,), self.shape, latent)

    def outline(self) -> Splits[LabelledImages]:
        return folders.labelled_outline(self.settings.data)

    def check(self) -> None:
        _, height, width = self.shape
        if min(height, width) < (least := self.settings.discriminator.least_side):
            is_ = f"{self.splits.train.names[0]} is {width}×{height}"
            raise DataError(f"{is_}; the discriminator needs sides of at least {least}", field="data")

    def extractor_recipe(self) -> ExtractorRecipe:
        return ClassifierExtractor(self._identity, "grey levels in [0, 1]", lambda: self.splits.train, to_float)

    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        images = to_float(getattr(self.splits, split).images[list(indices)])
        latent = torch.randn(len(indices), self.settings.latent, generator=rng)
        return {"images": images.to(self.device), "latent": latent.to(self.device)}

    def load(self, role: Role) -> None:
        super().load(role)
        self.settings.discriminator.load()

    def network(self, role: Role) -> nn.Module:
        generator = super().network(role)
        return Adversaries(generator, self.settings.discriminator.build(Ends("discriminator", self.shape, ())))

    def parts(self, model: nn.Module) -> Mapping[str, nn.Module]:
        adversaries = cast(Adversaries, model)
        return {"generator": adversaries.generator, "discriminator": adversaries.discriminator}

    def learning_rate(self, part: str, rate: float) -> float:
        return rate * self.settings.discriminator_rate if part == "discriminator" else rate

    def example_input(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, self.settings.latent)

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        return {"images": model(inputs["latent"])}

    def loss(
        self, model: nn.Module, inputs: Inputs, outputs: Outputs, part: str, recipe: Recipe | None = None
    ) -> Tensor:
        precision = "float32" if recipe is None else recipe.precision
        adversarial = part == "discriminator"
        images = torch.cat([inputs["images"], outputs["images"].detach()]) if adversarial else outputs["images"]
        discriminator = cast(Adversaries, model).discriminator
        logits: Tensor = in_precision(precision, self.device, lambda: discriminator(images))[1]
        return hinge_discriminator_loss(*logits.chunk(2)) if adversarial else -logits.mean()

    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        with evaluating(cast(Adversaries, teacher).discriminator) as discriminator:
            features, logits = discriminator(outputs["images"])
        return {"features": Feature(features), "patches": Bernoulli(logits.flatten().unsqueeze(1))}

    @torch.no_grad()
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        """Validation images (1) against the teacher's own (0), patch by patch."""
        real = to_float(self.splits.validation.images[:MOST_EVENTS]).to(self.device)
        latent = torch.randn(len(real), self.settings.latent, generator=rng).to(self.device)
        with evaluating(cast(Adversaries, teacher).discriminator) as discriminator:
            features = discriminator(torch.cat([real, teacher(latent)]))[0]
        rows = Feature(features).evidence()
        outcomes = (torch.arange(len(rows), device=rows.device) < len(rows) // 2).float().unsqueeze(1)
        return {"features": Events(Feature(features), outcomes)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        extractor = None if self.feature_extractor is None else ref(self.feature_extractor)
        seen, agreement = self.answers(model, (ref(teacher), extractor), lambda: self._generated(model, teacher))
        return Evaluation(distances(self._real(split), seen) | agreement)

    def _generated(self, model: nn.Module, teacher: nn.Module) -> tuple[FeatureSets, dict[str, float]]:
        """What is seen in generated images, which are of no split, and how near they are to the teacher's."""
        fake = self._samples(model)
        seen = self._features(fake)
        if teacher is model:
            return seen, {}
        its = self.answers(teacher, "samples", lambda: self._samples(teacher))
        return seen, {"teacher_psnr": float(psnrs(fake, its).mean())}

    def _samples(self, model: nn.Module, count: int | None = None) -> Tensor:
        """Images from the same codes every time."""
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        latent = torch.randn(count or self.settings.samples, self.settings.latent, generator=rng).to(self.device)
        return torch.cat([model(batch) for batch in latent.split(BATCH)])

    validation_part = f"{VALIDATION} samples and up to {VALIDATION} validation images, which is biased upwards"

    @torch.no_grad()
    def validation_metric(self, model: nn.Module) -> float:
        return frechet_distance(self._validation, self._judged(self._samples(model, VALIDATION)))

    @cached_property
    def _validation(self) -> Tensor:
        images = to_float(self.splits.validation.spread(VALIDATION).images)
        return self._judged(images.to(self.device))

    def _judged(self, images: Tensor) -> Tensor:
        return cast(FeatureClassifier, self.feature_extractor).features(images)

    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        """A Gaussian with the training pixels' mean and covariance, and the training images themselves (the floor)."""
        images = self.splits.train.images
        train = to_float(images[:: max(1, len(images) // MOST_REAL)][:MOST_REAL])
        if name == "real images (train)":
            return Evaluation(distances(self._real(split), self._features(train.to(self.device))))
        flat = train.flatten(1).double()
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        # Low-rank sampling: combinations of the centred images have exactly the sample covariance.
        weights = torch.randn(self.settings.samples, len(flat), generator=rng, dtype=torch.double)
        gaussian = flat.mean(0) + weights @ (flat - flat.mean(0)) / (len(flat) - 1) ** 0.5
        gaussian = gaussian.float().clamp(0, 1).view(-1, *self.shape)
        return Evaluation(distances(self._real(split), self._features(gaussian.to(self.device))))

    @torch.no_grad()
    def figures(self, models: Mapping[str, nn.Module]) -> Mapping[str, FigureData]:
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        latent = torch.randn(PICTURES, self.settings.latent, generator=rng).to(self.device)
        samples = {name: model(latent).cpu() for name, model in models.items()}
        note = "samples: one latent code a column, the same for all models; the real images are others"
        real = to_float(self.splits.test.spread(PICTURES).images)
        return {"samples": ImageGrid({"real": real, **samples}, note=note)}

    def _real(self, split: Split) -> FeatureSets:
        images = getattr(self.splits, split).images
        return self.answers(
            judging(self.feature_extractor), split, lambda: self._features(to_float(images).to(self.device))
        )

    def _features(self, images: Tensor) -> FeatureSets:
        return features(self.feature_extractor, self.settings.inception, images)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """The module in eval mode for a while: spectral normalisation must not step when a discriminator judges."""
    training = module.training
    module.eval()
    try:
        yield module
    finally:
        module.train(training)


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Lim & Ye 2017; mean over batch and patches."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
