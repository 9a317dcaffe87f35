"""What tasks share that restore photographs: a degraded image in, one close to the original out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.base import (
    MOST_BATCH,
    Evaluation,
    Inputs,
    Metric,
    Outputs,
    Split,
    Splits,
    Task,
    TaskSettings,
    WithheldTruth,
    evaluation_of,
)
from distillbench.tasks.data import folders, transfer
from distillbench.tasks.data.crops import common_crops, crop_batch, grid_crops, spread_crops
from distillbench.tasks.data.division import divide, some_of
from distillbench.tasks.data.embedded import Photographs
from distillbench.tasks.data.pixels import to_float
from distillbench.tasks.figures.kinds import FigureData, ImageGrid
from distillbench.tasks.figures.restored import comparison, most_different
from distillbench.tasks.metrics.images import psnr, psnrs, ssim
from distillbench.tasks.response import Events, Feature, Response, ordinal_events

CROPS_PER_IMAGE = 16
FIGURE_IMAGES, FIGURE_SIDE = 4, 96
THRESHOLDS = 7
VALIDATION_CROPS, VALIDATION_SIDE = 24, 24
AGREEMENT_NOTE = "teacher psnr is between the student's picture and the teacher's"


class RestorationSettings(WithheldTruth):
    """What tasks of restoration let a suite set, with their own ``patch``."""

    steps: int = Field(500, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(8, ge=1, le=MOST_BATCH, description="patches a step")
    originals: int | None = Field(
        None, ge=1, description="training pictures whose originals the task's objective sees; default: all"
    )


class Restoration(Task):
    """Photographs restored by a network that predicts what separates the input from the original.

    Models are compared by that prediction over positions, trained on patches and evaluated on whole images. A subclass
    says how an image is degraded, and what the objective is.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "psnr": Metric("higher", "dB"),
        "ssim": Metric("higher", "", 4),
        "teacher_psnr": Metric("higher", "dB", note=AGREEMENT_NOTE),
    }
    primary_metric: ClassVar[str] = "psnr"
    input_name: ClassVar[str]
    """The name of the degraded image among the inputs, which a network takes: (batch, 1, h, w)."""
    truth = "image"
    no_transfer = None
    settings: RestorationSettings
    prediction_name: ClassVar[str]
    """The name of what is predicted among the outputs and responses: (batch, 1, H, W)."""

    @classmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        return folders.identity(settings.data, "photographs")

    @cached_property
    def splits(self) -> Splits[Photographs]:
        """The originals, (1, h, w) uint8 each; of the transfer set the degraded pictures, as a network takes them."""
        data = self.settings.data
        whole = folders.photograph_splits(data, self.cache)
        source = transfer.photographs(data, self.cache)
        kept = some_of(whole.train, self.settings.originals, "originals")
        parts = divide(whole, self.settings, source, kept, "originals")

        def convert(photographs: Photographs) -> Photographs:
            return Photographs(photographs.names, tuple(map(self.original, photographs.images)))

        def degraded(photographs: Photographs) -> Photographs:
            degrade = self._degraded if source is None else self._as_given
            pictures = zip(photographs.names, photographs.images, strict=True)
            return Photographs(photographs.names, tuple(degrade(*picture) for picture in pictures))

        return parts.each(convert, degraded)

    @abstractmethod
    def original(self, photograph: Tensor) -> Tensor:
        """The channel that is restored: (1 or 3, h, w) uint8 -> (1, h, w) uint8."""

    def _degraded(self, name: str, photograph: Tensor) -> Tensor:
        """What a network takes of a picture whose original is forgotten: float, (1, h, w), the same at each call."""
        # Not by the bare name: a test image in another folder may have it, and must not share its noise.
        inputs = self.image_inputs(f"transfer/{name}", self.original(photograph))
        return inputs[self.input_name][0].cpu()

    def _as_given(self, name: str, photograph: Tensor) -> Tensor:
        """A picture that is degraded already, in the channel that is restored: float, (1, h, w)."""
        return to_float(self.original(photograph))

    @property
    @abstractmethod
    def side(self) -> int:
        """The side of an original's patch in training, pixels."""

    @property
    def multiple(self) -> int:
        """What the sides of an original must be multiples of."""
        return 1

    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        images = getattr(self.splits, split).images
        if split == "transfer":
            side = self.side // self.multiple
            return self.completed(crop_batch(images, indices, side, rng, flip=augment).to(self.device))
        return self.inputs(crop_batch(images, indices, self.side, rng, flip=augment), rng)

    @abstractmethod
    def inputs(self, target: Tensor, rng: torch.Generator) -> Inputs:
        """Originals, (batch, 1, h, w) in [0, 1] on the CPU, and what is made of them, on the task's device.

        Returns:
            {"target": the originals, ``input_name``: what a network takes, ...}.
        """

    def completed(self, degraded: Tensor) -> Inputs:
        """All that ``forward`` reads, of degraded pictures: (batch, 1, h, w) on the task's device."""
        return {self.input_name: degraded}

    @abstractmethod
    def image_inputs(self, name: str, image: Tensor) -> Inputs:
        """A whole image (1, h, w) uint8 as ``inputs``, the same at every call."""

    @abstractmethod
    def true_prediction(self, inputs: Inputs) -> Tensor:
        """What a perfect network would predict: (batch, 1, h, w)."""

    def example_input(self, batch_size: int) -> Tensor:
        """64×64 pixels."""
        return torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64).repeat(batch_size, 1, 1, 1)

    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        return {self.prediction_name: Feature(outputs[self.prediction_name])}

    @torch.no_grad()
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        crops = [grid_crops(image, self.side, CROPS_PER_IMAGE) for image in self.splits.fitting.images]
        inputs = self.inputs(torch.cat(crops), rng)
        response = Feature(self.forward(teacher, inputs)[self.prediction_name])
        return {self.prediction_name: ordinal_events(response, self.true_prediction(inputs), THRESHOLDS)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        return self.evaluation(model, split, None if teacher is model else teacher)

    def evaluation(
        self, restore: Callable[[Tensor], Tensor], split: Split, teacher: nn.Module | None = None
    ) -> Evaluation:
        """The metrics of whatever restores images, image by image."""
        data: Photographs = getattr(self.splits, split)
        examples: dict[str, list[float]] = {metric: [] for metric in self.metrics}
        for name, image in zip(data.names, data.images, strict=True):
            inputs = self.image_inputs(name, image)
            degraded = inputs[self.input_name]
            restored, target = self.measured(restore(degraded)), self.measured(inputs["target"])
            examples["psnr"].append(psnr(restored, target))
            examples["ssim"].append(ssim(restored, target))
            if teacher is not None:
                reference = self.output_cache(teacher, (split, name), partial(teacher, degraded))
                examples["teacher_psnr"].append(float(psnrs(restored, self.measured(reference))))
        return evaluation_of(data.names, {metric: values for metric, values in examples.items() if values})

    def measured(self, image: Tensor) -> Tensor:
        """The part of an image (1, 1, h, w) that metrics look at."""
        return image

    validation_part = f"{VALIDATION_CROPS} small patches of the validation images, their mean square errors pooled"

    @torch.no_grad()
    def validation_metric(self, model: nn.Module) -> float:
        images = torch.stack([model(self._validation[self.input_name]), self._validation["target"]])
        return float(psnrs(*images.flatten(1).split(1)))

    @cached_property
    def _validation(self) -> Inputs:
        crops = spread_crops(self.splits.validation.images, VALIDATION_SIDE, VALIDATION_CROPS, self.multiple)
        return self.inputs(crops, torch.Generator().manual_seed(0))

    @torch.no_grad()
    def figures(self, models: Mapping[str, nn.Module]) -> Mapping[str, FigureData]:
        """Crops of some test images; where there are several methods, the image on which they differ most."""
        shown = self.splits.test.spread(FIGURE_IMAGES)
        target = to_float(common_crops(shown.images, FIGURE_SIDE, self.multiple))
        methods = [name for name in models if name != "teacher"]
        crops = self.crops(models, shown.names, target, self.inputs(target, torch.Generator().manual_seed(0)))
        return {"crops": crops} | ({"difference": self._difference(models, methods)} if len(methods) > 1 else {})

    @abstractmethod
    def crops(self, models: Mapping[str, nn.Module], names: Sequence[str], target: Tensor, inputs: Inputs) -> ImageGrid:
        """Crops of test images, (n, 1, h, w), beside what each model makes of them."""

    @abstractmethod
    def classical(self, inputs: Inputs) -> Mapping[str, Tensor]:
        """The input and what a classical method makes of it, {name: (1, 1, h, w) in [0, 1]}, in the original's size."""

    def _difference(self, models: Mapping[str, nn.Module], methods: Sequence[str]) -> ImageGrid:
        """The test image on which the methods differ most."""
        data = self.splits.test

        def restored(degraded: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
            return {name: models[name](degraded).clamp(0, 1).cpu() for name in names}

        degraded = (self.image_inputs(*item)[self.input_name] for item in zip(data.names, data.images, strict=True))
        index = most_different(list(restored(image, methods).values()) for image in degraded)
        inputs = self.image_inputs(data.names[index], data.images[index])
        images = {
            **{name: image.cpu() for name, image in self.classical(inputs).items()},
            **restored(inputs[self.input_name], [*methods, *(name for name in models if name not in methods)]),
            "original": inputs["target"].cpu(),
        }
        return comparison(images, methods, "original", data.names[index])
