"""The classifiers on whose features generated images are compared with real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillbench.tasks.base import ExtractorRecipe
from distillbench.tasks.data.augmentation import random_shifts
from distillbench.tasks.data.embedded import LabelledImages

STEPS, BATCH_SIZE, LEARNING_RATE = 1500, 64, 2e-3
SEEDS = (0, 1)
"""Of the classifier that measures, and of one that shows what depends on it."""


class FeatureClassifier(nn.Module):
    """A small convolutional classifier whose penultimate layer compares images."""

    def __init__(self, shape: tuple[int, int, int], classes: int, dimensions: int = 32) -> None:
        """A classifier whose weights are drawn from torch's global generator.

        Args:
            shape: (channels, height, width) of an image.
            classes: The number of classes.
            dimensions: The number of features.
        """
        super().__init__()
        channels, height, width = shape
        layers: list[nn.Module] = [nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU()]
        while True:
            layers += [nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU()]
            height, width = (height + 1) // 2, (width + 1) // 2
            if min(height, width) <= 4:
                break
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * height * width, dimensions))
        self.standardise = nn.BatchNorm1d(dimensions, affine=False)
        self.head = nn.Linear(dimensions, classes)

    def features(self, images: Tensor) -> Tensor:
        """Features of about unit variance: (batch, channels, h, w) in [0, 1] -> (batch, dimensions)."""
        out: Tensor = self.standardise(self.body(images))
        return out

    def forward(self, images: Tensor) -> Tensor:
        """Logits: (batch, channels, h, w) in [0, 1] -> (batch, classes)."""
        out: Tensor = self.head(F.relu(self.features(images)))
        return out


class FeatureClassifiers(nn.Module):
    """Two classifiers that differ in nothing but the seed of their training."""

    def __init__(self, first: FeatureClassifier, second: FeatureClassifier) -> None:
        super().__init__()
        self.first, self.second = first, second


@dataclass(frozen=True)
class ClassifierExtractor(ExtractorRecipe):
    """Classifiers trained on the training split's labels with random shifts. A test holds their accuracy.

    Args:
        data: What identifies the data; a function, since files are read for it.
        preprocessing: What ``preprocess`` does, in words.
        images: The training split.
        preprocess: (n, channels, h, w) uint8 -> the same shape in [0, 1].
    """

    name: ClassVar[str] = "classifier"
    data: Callable[[], Any]
    preprocessing: str
    images: Callable[[], LabelledImages]
    preprocess: Callable[[Tensor], Tensor]

    @property
    def config(self) -> dict[str, Any]:
        recipe = {"steps": STEPS, "batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE, "seeds": list(SEEDS)}
        return {"extractor": self.name, "data": self.data(), "preprocessing": self.preprocessing, **recipe}

    def build(self) -> FeatureClassifiers:
        return FeatureClassifiers(*(self._network() for _ in SEEDS))

    def train(self) -> nn.Module:
        return FeatureClassifiers(*map(self._trained, SEEDS))

    def _network(self) -> FeatureClassifier:
        data = self.images()
        channels, height, width = data.images.shape[1:]
        return FeatureClassifier((channels, height, width), len(data.classes))

    def _trained(self, seed: int) -> FeatureClassifier:
        data = self.images()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._network()
        rng = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        for _ in range(STEPS):
            indices = torch.randint(len(data), (BATCH_SIZE,), generator=rng)
            images = random_shifts(self.preprocess(data.images[indices]), rng)
            loss = F.cross_entropy(network(images), data.labels[indices])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        return network
