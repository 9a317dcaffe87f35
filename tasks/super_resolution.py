"""Single-image super-resolution on luma."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.base import (
    MOST_BATCH,
    Evaluation,
    Inputs,
    Metric,
    Outputs,
    Recipe,
    Split,
    Splits,
    Task,
    TaskSettings,
    evaluation_of,
)
from distillbench.tasks.data import folders
from distillbench.tasks.data.crops import centre_crop, check_sides, common_crops, crop_batch, grid_crops, spread_crops
from distillbench.tasks.data.embedded import Photographs
from distillbench.tasks.data.pixels import to_float
from distillbench.tasks.figures.kinds import FigureData, ImageGrid
from distillbench.tasks.figures.restored import AMPLIFIED, comparison, most_different
from distillbench.tasks.metrics.images import SSIM_WINDOW, downscale, luma, psnr, psnrs, shave, ssim, upscale
from distillbench.tasks.networks.base import Ends, SuperResolver
from distillbench.tasks.networks.fsrcnn import FSRCNN
from distillbench.tasks.networks.interfaces import Interface
from distillbench.tasks.response import Events, Feature, Response, ordinal_events

CROPS_A_PICTURE = 16
PICTURES, PICTURE_SIDE = 4, 96
THRESHOLDS = 7
VALIDATION, VALIDATION_SIDE = 24, 24
AGREEMENT_NOTE = "teacher psnr is between the student's picture and the teacher's"


class SuperResolutionRecipe(Recipe):
    """A recipe and the network it trains."""

    network: SuperResolver


class SuperResolutionSettings(TaskSettings):
    """Inputs are made from the originals by MATLAB's antialiased bicubic kernel, rounded to 8 bits."""

    steps: int = Field(350, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(8, ge=1, le=MOST_BATCH, description="patches a step")
    scale: int = Field(2, ge=2, le=4, description="factor in each direction")
    patch: int = Field(16, ge=4, description="side of an input patch in training, pixels")
    teacher: SuperResolutionRecipe = SuperResolutionRecipe(
        network=FSRCNN(features=32, shrunk=8, mappings=2), steps=2000, learning_rate=3e-3, augment=True
    )
    student: SuperResolutionRecipe = SuperResolutionRecipe(
        network=FSRCNN(features=4, shrunk=3, mappings=1), learning_rate=5e-3, augment=True
    )


class SuperResolution(Task):
    """Photographs enlarged by an FSRCNN: compared by the residual r = ŷ − bicubic(x) over positions."""

    Settings: ClassVar[type[TaskSettings]] = SuperResolutionSettings
    settings: SuperResolutionSettings
    metrics: ClassVar[Mapping[str, Metric]] = {
        "psnr": Metric("higher", "dB"),
        "ssim": Metric("higher", "", 4),
        "teacher_psnr": Metric("higher", "dB", note=AGREEMENT_NOTE),
    }
    primary_metric: ClassVar[str] = "psnr"
    interface: ClassVar[Interface] = Interface(
        "super_resolver",
        "luma (BT.601 in [16, 235], a picture of one channel as it is), levels divided by 255",
        "luma of the enlarged photograph, in about [0, 1]: clip to it, times 255; its colours are enlarged otherwise, "
        "by bicubic interpolation as a rule",
        "luma",
    )
    baselines: ClassVar[tuple[str, ...]] = ("bicubic",)
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"fsrcnn_x2": {"scale": 2}, "fsrcnn_x3": {"scale": 3}}

    @classmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        return folders.identity(settings.data, "photographs")

    @cached_property
    def splits(self) -> Splits[Photographs]:
        """The photographs' luma, (1, h, w) uint8 each, sides cut to multiples of the scale."""
        whole = folders.photograph_splits(self.settings.data, self.cache)

        def convert(photographs: Photographs) -> Photographs:
            cut = (centre_crop(image, None, self.settings.scale) for image in photographs.images)
            lumas = ((luma(to_float(image)) * 255).round().to(torch.uint8) for image in cut)
            return Photographs(photographs.names, tuple(lumas))

        return Splits(convert(whole.train), convert(whole.validation), convert(whole.test))

    def check(self) -> None:
        scale = self.settings.scale
        check_sides(self.splits.train, self._side, f"patch = {self.settings.patch} at ×{scale} needs")
        check_sides(self.splits.validation, self._side, f"patch = {self.settings.patch} at ×{scale} needs")
        for part in (self.splits.validation, self.splits.test):
            check_sides(part, SSIM_WINDOW + 2 * scale, f"SSIM, the border shaved by {scale}, needs")

    @cached_property
    def variance(self) -> float:
        """Of the true residual on the training pictures: the unit of the loss."""
        crops = torch.cat([grid_crops(image, self._side, CROPS_A_PICTURE) for image in self.splits.train.images])
        return (crops - upscale(downscale(crops, self.settings.scale), self.settings.scale)).var().item()

    @property
    def _side(self) -> int:
        return self.settings.patch * self.settings.scale

    @property
    def training_examples(self) -> int:
        return len(self.splits.train)

    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        images = getattr(self.splits, split).images
        return self._inputs(crop_batch(images, indices, self._side, rng, flip=augment).to(self.device))

    def _inputs(self, target: Tensor) -> Inputs:
        low = downscale(target, self.settings.scale)
        return {"low": low, "bicubic": upscale(low, self.settings.scale), "target": target}

    @property
    def ends(self) -> Ends:
        return Ends("super_resolver", (1, None, None), (1, None, None), scale=self.settings.scale)

    def example_input(self, batch_size: int) -> Tensor:
        """64×64 pixels."""
        return torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64).repeat(batch_size, 1, 1, 1)

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        low = inputs["low"]
        # Where a network has added its residual to bicubic interpolation, a difference would lose digits of it.
        predict = getattr(model, "residual", None)
        return {"residual": predict(low) if callable(predict) else model(low) - inputs["bicubic"]}

    def loss(
        self, model: nn.Module, inputs: Inputs, outputs: Outputs, part: str, recipe: Recipe | None = None
    ) -> Tensor:
        """½ · squared error in units of the true residual's variance: a Normal's nats, up to a constant, a pixel."""
        error = inputs["bicubic"] + outputs["residual"] - inputs["target"]
        loss: Tensor = 0.5 * error.square().mean() / self.variance
        return loss

    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        return {"residual": Feature(outputs["residual"])}

    @torch.no_grad()
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        crops = [grid_crops(image, self._side, CROPS_A_PICTURE) for image in self.splits.validation.images]
        inputs = self._inputs(torch.cat(crops).to(self.device))
        response = Feature(self.forward(teacher, inputs)["residual"])
        return {"residual": ordinal_events(response, inputs["target"] - inputs["bicubic"], THRESHOLDS)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        return self._quality(model, split, None if teacher is model else teacher)

    validation_part = f"{VALIDATION} small patches of the validation pictures, their mean square errors pooled"

    @torch.no_grad()
    def validation_metric(self, model: nn.Module) -> float:
        images = torch.stack([model(self._validation["low"]), self._validation["target"]])
        return float(psnrs(*images.flatten(1).split(1)))

    @cached_property
    def _validation(self) -> Inputs:
        crops = spread_crops(self.splits.validation.images, VALIDATION_SIDE, VALIDATION, self.settings.scale)
        return self._inputs(crops.to(self.device))

    @torch.no_grad()
    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        return self._quality(lambda low: upscale(low, self.settings.scale), split)

    @torch.no_grad()
    def figures(self, models: Mapping[str, nn.Module]) -> Mapping[str, FigureData]:
        shown = self.splits.test.spread(PICTURES).images
        target = to_float(common_crops(shown, PICTURE_SIDE, self.settings.scale))
        inputs = self._inputs(target)
        rows = {"original": target}
        captions = {}
        restored = {"bicubic": inputs["bicubic"]}
        restored |= {name: model(inputs["low"].to(self.device)).cpu() for name, model in models.items()}
        for name, images in restored.items():
            error = AMPLIFIED * (images.clamp(0, 1) - target).abs()
            rows[name] = torch.cat([images.clamp(0, 1), error.clamp(0, 1)])
            captions[name] = [f"{psnr(*pair):.2f} dB" for pair in zip(images[:, None], target[:, None], strict=True)]
        heads = ["picture"] * len(target) + [f"error: |picture − original| × {AMPLIFIED}"] * len(target)
        crops = ImageGrid(rows, heads, captions, "beneath: PSNR of the part that is shown")
        methods = [name for name in models if name != "teacher"]
        return {"crops": crops} | ({"difference": self._difference(models, methods)} if len(methods) > 1 else {})

    def _difference(self, models: Mapping[str, nn.Module], methods: Sequence[str]) -> ImageGrid:
        """The test picture on which the methods differ most."""
        data, scale = self.splits.test, self.settings.scale

        def restored(low: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
            return {name: models[name](low).clamp(0, 1).cpu() for name in names}

        lows = (self._inputs(to_float(image)[None].to(self.device))["low"] for image in data.images)
        index = most_different(list(restored(low, methods).values()) for low in lows)
        inputs = self._inputs(to_float(data.images[index])[None].to(self.device))
        images = {
            "input": F.interpolate(inputs["low"], scale_factor=scale, mode="nearest").cpu(),
            "bicubic": inputs["bicubic"].clamp(0, 1).cpu(),
            **restored(inputs["low"], [*methods, *(name for name in models if name not in methods)]),
            "original": inputs["target"].cpu(),
        }
        return comparison(images, methods, "original", data.names[index])

    def _quality(self, model: Any, split: Split, teacher: nn.Module | None = None) -> Evaluation:
        """Picture by picture, the border shaved by the scale."""
        data: Photographs = getattr(self.splits, split)
        examples: dict[str, list[float]] = {metric: [] for metric in self.metrics}
        for name, image in zip(data.names, data.images, strict=True):
            inputs = self._inputs(to_float(image).unsqueeze(0).to(self.device))
            low = inputs["low"]
            restored, target = (shave(x, self.settings.scale) for x in (model(low), inputs["target"]))
            examples["psnr"].append(psnr(restored, target))
            examples["ssim"].append(ssim(restored, target))
            if teacher is not None:
                its = self.answers(teacher, (split, name), partial(teacher, low))
                examples["teacher_psnr"].append(float(psnrs(restored, shave(its, self.settings.scale))))
        return evaluation_of(data.names, {metric: values for metric, values in examples.items() if values})
