"""Generation of small images by adversarial learning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
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
    Inputs,
    Metric,
    Outputs,
    Recipe,
    Role,
    Split,
    TaskSettings,
    WithheldTruth,
)
from distillbench.tasks.data.files import DataError
from distillbench.tasks.data.pixels import to_float
from distillbench.tasks.figures.kinds import FigureData, ImageGrid
from distillbench.tasks.metrics.distributions import DISTANCES, FeatureSets, distances, frechet_distance, judging
from distillbench.tasks.metrics.images import psnrs
from distillbench.tasks.networks.base import Discriminator, Ends, Generator
from distillbench.tasks.networks.dense import Dense
from distillbench.tasks.networks.interfaces import Interface
from distillbench.tasks.networks.patch import Patch
from distillbench.tasks.response import Bernoulli, Events, Feature, Response
from distillbench.tasks.shared.generative import BATCH, EVALUATION_SEED, FIGURE_IMAGES, Generative, GenerativeSettings
from distillbench.tasks.views.precision import in_precision

VALIDATION = 100
AGREEMENT_NOTE = "teacher psnr is between images of one latent code, the student's and the teacher's"
MOST_EVENTS = 1000
"""Images that a readout is fitted to, at most."""
MOST_REAL = 10_000
"""Training images that the baselines are made of, evenly spread."""


class AdversarialPair(nn.Module):
    """A generator, which is what a user ships, and the discriminator it learns against."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator

    def forward(self, latent: Tensor) -> Tensor:
        """Images of latent codes: (batch, dimensions) -> (batch, channels, h, w) in [0, 1]."""
        out: Tensor = self.generator(latent)
        return out


class GeneratorRecipe(Recipe):
    """A recipe and the generator it trains; both roles have the same discriminator."""

    network: Generator


class GANSettings(GenerativeSettings, WithheldTruth):
    """Hinge loss (Lim & Ye 2017) against a spectrally normalised patch discriminator."""

    steps: int = Field(600, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(32, ge=1, le=MOST_BATCH, description="images a step")
    latent: int = Field(16, ge=1, le=MOST_LATENT, description="dimensions of the latent code u ~ N(0, I)")
    discriminator: Discriminator = Patch(width=64)
    discriminator_rate: float = Field(2.0, gt=0, description="its learning rate, in units of the generator's")
    teacher: GeneratorRecipe = GeneratorRecipe(
        network=Dense(hidden=(128,)), steps=2500, learning_rate=4e-3, betas=(0.0, 0.9)
    )
    student: GeneratorRecipe = GeneratorRecipe(network=Dense(hidden=(16,)), learning_rate=4e-3, betas=(0.0, 0.9))


class GAN(Generative):
    """Small images from noise: generators compared through the teacher's discriminator, on the same latent codes."""

    Settings: ClassVar[type[TaskSettings]] = GANSettings
    settings: GANSettings
    metrics: ClassVar[Mapping[str, Metric]] = {**DISTANCES, "teacher_psnr": Metric("higher", "dB", note=AGREEMENT_NOTE)}
    primary_metric: ClassVar[str] = "classifier_fid"
    interface: ClassVar[Interface] = Interface(
        "generator", "a latent code, drawn from N(0, I)", "an image in [0, 1]: times 255"
    )
    baselines: ClassVar[tuple[str, ...]] = ("pixel Gaussian", "real images (train)")
    no_transfer = (
        "its inputs are drawn without end: students see new latent codes, and the teacher's answers, every step"
    )
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"dense_128_16": {}}
    preprocessing = "grey levels in [0, 1]"

    # -- data ---------------------------------------------------------------------------------------------------

    @staticmethod
    def preprocess(images: Tensor) -> Tensor:
        return to_float(images)

    def check(self) -> None:
        _, height, width = self.shape
        if min(height, width) < (least := self.settings.discriminator.least_side):
            image = f"{self.splits.train.names[0]} is {width}×{height}"
            raise DataError(f"{image}; the discriminator needs sides of at least {least}", field="data")

    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        images = to_float(getattr(self.splits, split).images[list(indices)])
        return {"images": images.to(self.device), "latent": self.codes(len(indices), rng)}

    # -- models -------------------------------------------------------------------------------------------------

    @property
    def ends(self) -> Ends:
        latent = self.settings.latent
        return Ends("generator", (latent,), self.shape, latent)

    def load(self, role: Role) -> None:
        super().load(role)
        self.settings.discriminator.load()

    def network(self, role: Role) -> nn.Module:
        generator = super().network(role)
        return AdversarialPair(generator, self.settings.discriminator.build(Ends("discriminator", self.shape, ())))

    def deployed(self, model: nn.Module) -> nn.Module:
        return cast(AdversarialPair, model).generator

    def adversaries(self, model: nn.Module) -> Mapping[str, nn.Module]:
        return {"discriminator": cast(AdversarialPair, model).discriminator}

    def adversary_learning_rate(self, adversary: str, rate: float) -> float:
        return rate * self.settings.discriminator_rate

    def example_input(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, self.settings.latent)

    # -- learning -----------------------------------------------------------------------------------------------

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        return {"images": model(inputs["latent"])}

    def loss(
        self,
        model: nn.Module,
        inputs: Inputs,
        outputs: Outputs,
        recipe: Recipe | None = None,
        progress: float = 1.0,
    ) -> Tensor:
        """How far the discriminator is from taking generated images for real ones."""
        return -self._logits(model, outputs["images"], recipe).mean()

    def adversary_loss(
        self, model: nn.Module, inputs: Inputs, outputs: Outputs, adversary: str, recipe: Recipe | None = None
    ) -> Tensor:
        images = torch.cat([inputs["images"], outputs["images"].detach()])
        return hinge_discriminator_loss(*self._logits(model, images, recipe).chunk(2))

    def _logits(self, model: nn.Module, images: Tensor, recipe: Recipe | None) -> Tensor:
        """The discriminator's logits, (batch, 1, h, w), in the recipe's precision."""
        precision = "float32" if recipe is None else recipe.precision
        discriminator = cast(AdversarialPair, model).discriminator
        logits: Tensor = in_precision(precision, self.device, lambda: discriminator(images))[1]
        return logits

    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        with evaluating(cast(AdversarialPair, teacher).discriminator) as discriminator:
            features, logits = discriminator(outputs["images"])
        return {"features": Feature(features), "patches": Bernoulli(logits.flatten().unsqueeze(1))}

    @torch.no_grad()
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        """Images to fit to (1) against the teacher's own (0), patch by patch."""
        real = to_float(self.splits.fitting.images[:MOST_EVENTS]).to(self.device)
        latent = self.codes(len(real), rng)
        with evaluating(cast(AdversarialPair, teacher).discriminator) as discriminator:
            features = discriminator(torch.cat([real, teacher(latent)]))[0]
        rows = Feature(features).evidence()
        outcomes = (torch.arange(len(rows), device=rows.device) < len(rows) // 2).float().unsqueeze(1)
        return {"features": Events(Feature(features), outcomes)}

    # -- evaluation ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        key = (ref(teacher), self.extractor_key)
        features, agreement = self.output_cache(model, key, lambda: self._generated(model, teacher))
        return Evaluation(distances(self.real_features(split), features) | agreement)

    def _generated(self, model: nn.Module, teacher: nn.Module) -> tuple[FeatureSets, dict[str, float]]:
        """The features of generated images, which are of no split, and how near they are to the teacher's."""
        images = self.samples(model)
        features = self.image_features(images)
        if teacher is model:
            return features, {}
        reference = self.output_cache(teacher, "samples", lambda: self.samples(teacher))
        return features, {"teacher_psnr": float(psnrs(images, reference).mean())}

    def samples(self, model: nn.Module) -> Tensor:
        return self._generate(model, self.settings.samples)

    def _generate(self, model: nn.Module, count: int) -> Tensor:
        codes = self.codes(count, torch.Generator().manual_seed(EVALUATION_SEED))
        return torch.cat([model(batch) for batch in codes.split(BATCH)])

    validation_part = f"{VALIDATION} samples and up to {VALIDATION} validation images, which is biased upwards"

    @torch.no_grad()
    def validation_metric(self, model: nn.Module) -> float:
        return frechet_distance(self._validation, self._classifier_features(self._generate(model, VALIDATION)))

    @cached_property
    def _validation(self) -> Tensor:
        images = to_float(self.splits.validation.spread(VALIDATION).images)
        return self._classifier_features(images.to(self.device))

    def _classifier_features(self, images: Tensor) -> Tensor:
        return judging(self.feature_extractor).first.features(images)

    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        """A Gaussian with the training pixels' mean and covariance, and the training images themselves (the floor)."""
        images = self.whole.train.images
        train = to_float(images[:: max(1, len(images) // MOST_REAL)][:MOST_REAL])
        return self.distances_of(train if name == "real images (train)" else self._gaussian(train), split)

    def _gaussian(self, images: Tensor) -> Tensor:
        """Samples of a Gaussian with the mean and covariance of images in [0, 1], clamped to [0, 1]."""
        flat = images.flatten(1).double()
        rng = torch.Generator().manual_seed(EVALUATION_SEED)
        # Low-rank sampling: combinations of the centred images have exactly the sample covariance.
        weights = torch.randn(self.settings.samples, len(flat), generator=rng, dtype=torch.double)
        gaussian: Tensor = flat.mean(0) + weights @ (flat - flat.mean(0)) / (len(flat) - 1) ** 0.5
        return gaussian.float().clamp(0, 1).view(-1, *self.shape)

    @torch.no_grad()
    def figures(self, models: Mapping[str, nn.Module]) -> Mapping[str, FigureData]:
        """Samples of each model from the same codes, beside real images."""
        latent = self.codes(FIGURE_IMAGES, torch.Generator().manual_seed(EVALUATION_SEED))
        samples = {name: model(latent).cpu() for name, model in models.items()}
        note = "samples: one latent code a column, the same for all models; the real images are others"
        real = to_float(self.splits.test.spread(FIGURE_IMAGES).images)
        return {"samples": ImageGrid({"real": real, **samples}, note=note)}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """The module in eval mode for a while: spectral normalisation must not step when a teacher's outputs are read."""
    training = module.training
    module.eval()
    try:
        yield module
    finally:
        module.train(training)


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """The hinge loss of a discriminator (Lim & Ye 2017); mean over batch and patches.

    Args:
        real: Logits of real images, of any shape.
        fake: Logits of generated images, of any shape.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
