"""What tasks share that generate images: labelled splits, latent codes, and distances to real images by features."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from weakref import ref

import torch
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.base import MOST_LATENT, Evaluation, ExtractorRecipe, Split, Splits, Task, TaskSettings
from distillbench.tasks.data import folders, transfer
from distillbench.tasks.data.division import divide, some_of
from distillbench.tasks.data.embedded import LabelledImages
from distillbench.tasks.feature_extractors.classifier import ClassifierExtractor
from distillbench.tasks.metrics.distributions import (
    MOST_SAMPLES,
    FeatureSets,
    distances,
    features,
    inception_identity,
    judging,
)

BATCH = 200
FIGURE_IMAGES = 20
EVALUATION_SEED = 0


class GenerativeSettings(TaskSettings):
    """What tasks of generation let a suite set."""

    locations: ClassVar[frozenset[str]] = frozenset({"data", "inception"})

    latent: int = Field(16, ge=1, le=MOST_LATENT, description="dimensions of the latent code")
    images: int | None = Field(
        None, ge=1, description="training images that a student's own objective sees; default: all"
    )
    samples: int = Field(5000, ge=100, le=MOST_SAMPLES, description="generated images that FID and KID are computed on")
    inception: Path | None = Field(None, description="weights of torch-fidelity's Inception v3, for FID and KID on it")


class Generative(Task):
    """Small images from latent codes.

    What is generated from codes that are the same every time is compared with the real images of a split, by the
    features of a classifier that the project trains on the training images, and of Inception where there are weights.
    A subclass says what a network reads of an image, and how it is sampled from.
    """

    settings: GenerativeSettings
    preprocessing: ClassVar[str]
    """What ``preprocess`` does, in words: it is part of what identifies the feature extractor."""

    @classmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        assert isinstance(settings, GenerativeSettings)
        images, weights = folders.identity(settings.data, "digits"), inception_identity(settings.inception)
        return images if weights is None else {"images": images, "inception": weights}

    @property
    def whole(self) -> Splits[LabelledImages]:
        """The data before they are divided further."""
        return folders.labelled_splits(self.settings.data, self.cache)

    @cached_property
    def splits(self) -> Splits[LabelledImages]:
        whole = self.whole
        kept = some_of(whole.train, self.settings.images, "images")
        source = transfer.labelled(self.settings.data, whole.train, self.cache)
        return divide(whole, self.settings, source, kept, "images")

    def outline(self) -> Splits[LabelledImages]:
        return folders.labelled_outline(self.settings.data)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        channels, height, width = self.splits.train.images.shape[1:]
        return channels, height, width

    @staticmethod
    @abstractmethod
    def preprocess(images: Tensor) -> Tensor:
        """Images as networks read them: (n, channels, h, w) uint8 -> the same shape in [0, 1]."""

    def extractor_recipe(self) -> ExtractorRecipe:
        return ClassifierExtractor(
            lambda: folders.identity(self.settings.data.without_transfer(), "digits"),
            self.preprocessing,
            lambda: self.whole.train,
            self.preprocess,
        )

    def codes(self, count: int, rng: torch.Generator) -> Tensor:
        """Latent codes u ~ N(0, I), (count, latent), drawn on the CPU."""
        return torch.randn(count, self.settings.latent, generator=rng).to(self.device)

    @abstractmethod
    def samples(self, model: nn.Module) -> Tensor:
        """Generated images, (``settings.samples``, channels, h, w), from the same codes every time."""

    def image_features(self, images: Tensor) -> FeatureSets:
        """The features of images (n, channels, h, w) in [0, 1], {network: (n, dimensions)}."""
        return features(self.feature_extractor, self.settings.inception, images.to(self.device))

    def real_features(self, split: Split) -> FeatureSets:
        """The features of a split's real images, computed once for all models."""
        images = getattr(self.splits, split).images
        return self.output_cache(
            judging(self.feature_extractor), split, lambda: self.image_features(self.preprocess(images))
        )

    def distances_of(self, images: Tensor, split: Split) -> Evaluation:
        """FID and KID of images (n, channels, h, w) in [0, 1] that no model made."""
        return Evaluation(distances(self.real_features(split), self.image_features(images)))

    @property
    def extractor_key(self) -> ref[nn.Module] | None:
        """The feature extractor as part of a key of ``output_cache``, which must not keep it alive."""
        return None if self.feature_extractor is None else ref(self.feature_extractor)
