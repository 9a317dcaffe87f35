"""Classification of small images with few labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.base import (
    MOST_BATCH,
    Evaluation,
    Folders,
    Inputs,
    Metric,
    Outputs,
    Rate,
    Recipe,
    Role,
    Split,
    Splits,
    Task,
    TaskSettings,
    WithheldTruth,
    evaluation_of,
)
from distillbench.tasks.data import folders, transfer
from distillbench.tasks.data.augmentation import random_shifts
from distillbench.tasks.data.division import divide, drawn
from distillbench.tasks.data.embedded import LabelledImages
from distillbench.tasks.data.files import DataError
from distillbench.tasks.data.pixels import to_float
from distillbench.tasks.figures.kinds import Counts, FigureData, ImageGrid, Lines
from distillbench.tasks.networks.base import Classifier, Ends
from distillbench.tasks.networks.cnn import CNN
from distillbench.tasks.networks.interfaces import Interface
from distillbench.tasks.networks.mlp import MLP
from distillbench.tasks.response import Categorical, Events, Response
from distillbench.tasks.views.units import Normalise, built

BATCH = 200
FEW = 100
"""Labels of the embedded digits that a student learns from, where a suite does not say."""
FIGURE_IMAGES = 20
VALIDATION = 200
BINS = 15
"""The bins of the expected calibration error, as Guo et al. (2017) have it."""


class ClassifierRecipe(Recipe):
    """A recipe and the network it trains."""

    network: Classifier
    label_smoothing: Rate = Field(0.0, description="part of each target spread over all classes (Szegedy et al. 2016)")
    normalise: Normalise | None = Field(None, description="of each channel of the network's input")
    input_size: int | None = Field(None, ge=1, description="side that images are resized to for the network, bilinear")


class ClassificationSettings(WithheldTruth):
    """Few labels: where all are at hand, the embedded digits leave a teacher nothing to transfer."""

    labels: int | None = Field(
        None,
        ge=2,
        description=f"training labels, equally many of each class; default: {FEW} of the digits, all of a folder's",
    )
    train_on_validation: bool = Field(
        False, description="train on the validation images too, as papers without any do: nothing can be tuned on them"
    )
    flips: bool = Field(False, description="augmentation mirrors images as well as shifting them: not for digits")
    steps: int = Field(500, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(64, ge=1, le=MOST_BATCH, description="images a step")
    teacher: ClassifierRecipe = ClassifierRecipe(
        network=CNN(width=32, batch_norm=True, dropout=0.5), steps=1500, learning_rate=2e-3, augment=True
    )
    student: ClassifierRecipe = ClassifierRecipe(network=MLP(hidden=(128,)), learning_rate=2e-3)

    @property
    def trains_on_validation(self) -> bool:
        return self.train_on_validation


class Classification(Task):
    """Small images, few labels: a convolutional teacher trained with shifts, a fully connected student without."""

    Settings: ClassVar[type[TaskSettings]] = ClassificationSettings
    settings: ClassificationSettings
    metrics: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric("higher", "%"),
        "nll": Metric("lower", "nats", 3),
        "ece": Metric("lower", "%"),
        "teacher_agreement": Metric("higher", "%"),
    }
    primary_metric: ClassVar[str] = "accuracy"
    interface: ClassVar[Interface] = Interface(
        "classifier",
        "an image, grey or colour as in training, its levels divided by 255, to [0, 1]",
        "one logit a class; a softmax makes probabilities of them",
        "pixels",
    )
    baselines: ClassVar[tuple[str, ...]] = ("nearest centroid",)
    truth = "labels"
    no_transfer = None
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"cnn_mlp": {}}

    @classmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        return folders.identity(settings.data, "digits")

    @cached_property
    def splits(self) -> Splits[LabelledImages]:
        data, labels = self.settings.data, self.settings.labels
        whole = folders.labelled_splits(data, self.cache)
        if self.settings.train_on_validation:
            whole = replace(whole, train=whole.train.joined(whole.validation))
        if labels is None and data.without_transfer() == Folders():
            labels = FEW
        if labels is not None and labels > len(whole.train):
            raise DataError(f"{labels} are more than the {len(whole.train)} training images", field="labels")
        source = transfer.labelled(data, whole.train, self.cache)
        return divide(whole, self.settings, source, few_labels(whole.train, labels), "labels")

    def outline(self) -> Splits[LabelledImages]:
        return folders.labelled_outline(self.settings.data)

    def check(self) -> None:
        labels, classes = self.settings.labels, len(self.splits.train.classes)
        if labels is not None and labels < classes:
            raise DataError(
                f"{labels} are too few for {classes} classes", field="labels", allowed=f"{classes} and more"
            )

    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        data: LabelledImages = getattr(self.splits, split)
        images = to_float(data.images[list(indices)])
        if augment:
            images = random_shifts(images, rng)
        if augment and self.settings.flips:
            mirrored = torch.rand(len(images), generator=rng) < 0.5
            images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
        inputs = {"images": images.to(self.device)}
        if split == "transfer":
            return inputs
        return inputs | {"labels": data.labels[list(indices)].to(self.device)}

    @property
    def ends(self) -> Ends:
        images = self.splits.train
        return Ends("classifier", tuple(images.images.shape[1:]), (len(images.classes),))

    def network(self, role: Role) -> nn.Module:
        recipe: ClassifierRecipe = getattr(self.settings, role)
        return built(recipe.network, self.ends, recipe.input_size, recipe.normalise)

    def example_input(self, batch_size: int) -> Tensor:
        return to_float(self.splits.test.images[:1]).repeat(batch_size, 1, 1, 1)

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        return {"logits": model(inputs["images"])}

    def loss(
        self,
        model: nn.Module,
        inputs: Inputs,
        outputs: Outputs,
        recipe: Recipe | None = None,
        progress: float = 1.0,
    ) -> Tensor:
        """Cross entropy, in nats."""
        smoothing = recipe.label_smoothing if isinstance(recipe, ClassifierRecipe) else 0.0
        return F.cross_entropy(outputs["logits"], inputs["labels"], label_smoothing=smoothing)

    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        return {"logits": Categorical(outputs["logits"])}

    @torch.no_grad()
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        data = self.splits.fitting
        outcomes = F.one_hot(data.labels, len(data.classes)).to(self.device)
        return {"logits": Events(Categorical(self._logits(teacher, data)), outcomes)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        from torchmetrics.functional.classification import multiclass_calibration_error  # slow to import

        data: LabelledImages = getattr(self.splits, split)
        logits, labels = self._logits(model, data), data.labels.to(self.device)
        ece = multiclass_calibration_error(logits.softmax(1), labels, num_classes=len(data.classes), n_bins=BINS)
        examples = {
            "accuracy": _percent(logits.argmax(1) == labels),
            "nll": F.cross_entropy(logits, labels, reduction="none").tolist(),
        }
        if teacher is not model:
            examples["teacher_agreement"] = _percent(logits.argmax(1) == self._predictions(teacher, split))
        return evaluation_of(data.names, examples, {"ece": 100 * ece.item()})

    validation_part = f"up to {VALIDATION} validation images"

    @torch.no_grad()
    def validation_metric(self, model: nn.Module) -> float:
        images, labels = self._validation
        return 100 * float((model(images).argmax(1) == labels).float().mean())

    @cached_property
    def _validation(self) -> tuple[Tensor, Tensor]:
        data = self.splits.validation.spread(VALIDATION)
        return to_float(data.images).to(self.device), data.labels.to(self.device)

    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        """Nearest class mean of the training pixels."""
        train, data = self.splits.train, getattr(self.splits, split)
        pixels = to_float(train.images).flatten(1)
        means = torch.stack([pixels[train.labels == c].mean(0) for c in range(len(train.classes))])
        nearest = torch.cdist(to_float(data.images).flatten(1), means).argmin(1)
        return evaluation_of(data.names, {"accuracy": _percent(nearest == data.labels)})

    @torch.no_grad()
    def figures(self, models: Mapping[str, nn.Module]) -> Mapping[str, FigureData]:
        """The hardest images, how far confidence can be trusted, and the students' predictions beside the teacher's."""
        logits = {name: self._logits(model, self.splits.test).cpu() for name, model in models.items()}
        return {
            "hardest": self._hardest(models),
            "reliability": _reliability(logits, self.splits.test.labels),
            "confusion": self._confusion(logits),
        }

    def _hardest(self, models: Mapping[str, nn.Module]) -> ImageGrid:
        """The test images of each class that the first model is least sure of; errors have their colours inverted."""
        data, first = self.splits.test, next(iter(models))
        log_p = self._logits(models[first], data).log_softmax(1).cpu()
        order = log_p[torch.arange(len(data)), data.labels].argsort(stable=True)
        hardest = data.subset(data.interleaved(order)[:FIGURE_IMAGES])
        rows = {"input": to_float(hardest.images)}
        for name, model in models.items():
            wrong = self._logits(model, hardest).argmax(1).cpu() != hardest.labels
            rows[name] = torch.where(wrong[:, None, None, None], 1 - rows["input"], rows["input"])
        heads = [data.classes[label] for label in hardest.labels.tolist()]
        note = f"heads: the true class; inverted: a wrong answer; of each class what the {first} is least sure of"
        return ImageGrid(rows, heads, note=note)

    def _confusion(self, logits: Mapping[str, Tensor]) -> Counts:
        """The predictions of each student against the teacher's; of a teacher alone, against the truth."""
        data, count = self.splits.test, len(self.splits.test.classes)
        first, *students = logits
        rows = logits[first].argmax(1) if students else data.labels
        tables = {}
        for name in students or [first]:
            pairs = rows * count + logits[name].argmax(1)
            tables[name] = torch.bincount(pairs, minlength=count**2).view(count, count)
        agree = {name: f"{100 * table.diag().sum().item() / len(data):.1f} % agree" for name, table in tables.items()}
        return Counts(f"{first} says" if students else "true class", "model says", data.classes, tables, agree)

    def _predictions(self, teacher: nn.Module, split: Split) -> Tensor:
        """The teacher's classes for a split, (examples,)."""
        return self.output_cache(teacher, split, lambda: self._logits(teacher, getattr(self.splits, split)).argmax(1))

    def _logits(self, model: nn.Module, data: LabelledImages) -> Tensor:
        """(examples, classes), in batches."""
        return torch.cat([model(to_float(batch.to(self.device))) for batch in data.images.split(BATCH)])


def _reliability(logits: Mapping[str, Tensor], labels: Tensor) -> Lines:
    """Accuracy against confidence in bins of equal width (Guo et al. 2017, fig. 1)."""
    lines, captions = {}, {}
    for name, values in logits.items():
        confidence, predictions = values.softmax(1).max(1)
        correct, bins = (predictions == labels).double(), (confidence * BINS).long().clamp(max=BINS - 1)
        count = torch.bincount(bins, minlength=BINS)
        filled = count > 0
        x, y = (torch.bincount(bins, v.double(), BINS)[filled] / count[filled] for v in (confidence, correct))
        weight = count[filled] / len(labels)
        lines[name] = (x.tolist(), y.tolist(), weight.tolist())
        captions[name] = f"ECE {100 * float((weight * (x - y).abs()).sum()):.1f} %"
    return Lines("confidence", "accuracy", lines, captions, "a dot is as large as its share of the test images")


def _percent(correct: Tensor) -> list[float]:
    """100 for each correct prediction, 0 for each error."""
    percent: list[float] = (100.0 * correct).tolist()
    return percent


def few_labels(data: LabelledImages, labels: int | None) -> Tensor | None:
    """Indices of the same number of examples of each class, as far as they go, the same for every seed; None: all."""
    return None if labels is None else data.interleaved(drawn(len(data)))[:labels]
