"""Fast style transfer: one network paints every photograph in the style of one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.base import (
    MOST_BATCH,
    Evaluation,
    ExtractorRecipe,
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
from distillbench.tasks.data import files, folders
from distillbench.tasks.data.crops import centre_crop, check_sides, crop_batch, grid_crops
from distillbench.tasks.data.disk_cache import checksum
from distillbench.tasks.data.division import halves
from distillbench.tasks.data.embedded import STYLE_PICTURE, Photographs, read_picture
from distillbench.tasks.data.files import DataError
from distillbench.tasks.data.pixels import colour, to_float
from distillbench.tasks.feature_extractors.perceptual import VGG16, RandomPyramid, VGGExtractor
from distillbench.tasks.figures.kinds import FigureData, ImageGrid
from distillbench.tasks.metrics.images import psnr
from distillbench.tasks.networks.base import Ends, Styliser
from distillbench.tasks.networks.interfaces import Interface
from distillbench.tasks.networks.johnson import Johnson
from distillbench.tasks.response import Bernoulli, Events, Feature, Response

CROPS_PER_IMAGE = 16
FIGURE_IMAGES, FIGURE_SIDE = 4, 192
VALIDATION = 4
LEAST_SIDE = 32
"""The least side of any image, pixels: the perceptual network finds structure on at least three levels."""
STYLE_SIDE = 512
"""The style is taken from the middle of its picture, up to this side in pixels."""
CONTRAST = 8
"""Grey levels that a patch must span: on a flat one instance normalisation amplifies rounding into huge gradients."""
HALF_LEVEL = 0.5 / 255
"""Intensities keep so far from 0 and 1 where their logits are taken: a finer difference is none in a picture."""
EPSILON = 1e-8
"""Under each root: what has no error, and a flat image, have a gradient too."""


class StyleRecipe(Recipe):
    """A recipe and the network it trains."""

    network: Styliser


class StyleSettings(TaskSettings):
    """Johnson et al. 2016: content, Gram style and total variation, through a frozen perceptual network."""

    locations: ClassVar[frozenset[str]] = frozenset({"data", "style", "loss_network"})

    steps: int = Field(200, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(1, ge=1, le=MOST_BATCH, description="patches a step")
    patch: int = Field(96, ge=LEAST_SIDE, multiple_of=4, description="side of a patch in training, pixels")
    test_side: int = Field(
        256, ge=LEAST_SIDE, multiple_of=4, description="test photographs are cut to this side at most"
    )
    style: Path | None = Field(None, description="a picture to take the style from; default: embedded")
    loss_network: Path | None = Field(
        None, description="weights of torchvision's VGG-16 (.pth); default: random filters on a pyramid"
    )
    content_weight: float = Field(5.0, ge=0, description="factor on the content term")
    style_weight: float = Field(3.0, ge=0, description="factor on the style term")
    variation_weight: float = Field(5.0, ge=0, description="factor on total variation")
    compared_by: Literal["painting", "features"] = Field(
        "painting",
        description="what a student sees of its teacher: its picture, or the perceptual network's features of that",
    )
    teacher: StyleRecipe = StyleRecipe(network=Johnson(width=8, blocks=3), steps=600, learning_rate=2e-3, augment=True)
    student: StyleRecipe = StyleRecipe(network=Johnson(width=4, blocks=1), learning_rate=3e-3, augment=True)


class StyleTransfer(Task):
    """Photographs painted in one style, judged through a perceptual network.

    Students learn from their teacher's paintings, so that one with ``task_weight`` 0 needs no perceptual network: its
    steps cost a pass of the teacher in the place of the objective. An intensity in [0, 1] is taken as the probability
    of a Bernoulli, as in a VAE's pixels: unlike a softmax over positions, which is blind to a constant offset, its
    divergence is zero for equal paintings alone, at any temperature.
    """

    Settings: ClassVar[type[TaskSettings]] = StyleSettings
    settings: StyleSettings
    metrics: ClassVar[Mapping[str, Metric]] = {
        "objective": Metric("lower", "", 3),
        "content": Metric("lower", "", 3),
        "gram_style": Metric("lower", "", 3),
        "teacher_psnr": Metric("higher", "dB"),
    }
    primary_metric: ClassVar[str] = "objective"
    interface: ClassVar[Interface] = Interface(
        "styliser",
        "a photograph, RGB, levels divided by 255; sides that are multiples of 4",
        "the photograph in the style, RGB in [0, 1]: times 255",
        "rgb",
        4,
    )
    baselines: ClassVar[tuple[str, ...]] = ("unchanged photograph",)
    no_transfer = "its inputs have no ground truth: every photograph of data.train is one to learn from"
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"johnson": {}}

    @classmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        assert isinstance(settings, StyleSettings)
        style = files.file_digest(settings.style, "style") if settings.style else embedded_style()
        weights = files.file_digest(settings.loss_network, "loss_network") if settings.loss_network else None
        photographs = folders.identity(settings.data, "photographs")
        return {"photographs": photographs, "style": style, "loss_network": weights}

    @cached_property
    def splits(self) -> Splits[Photographs]:
        """The photographs, (3, h, w) uint8 each."""
        whole = folders.photograph_splits(self.settings.data, self.cache)

        def convert(photographs: Photographs) -> Photographs:
            return Photographs(photographs.names, tuple(map(colour, photographs.images)))

        fit, validation = map(convert, halves(whole.validation))
        return Splits(convert(whole.train), validation, convert(whole.test), fit)

    def check(self) -> None:
        least = max(LEAST_SIDE, *(role.network.least_side for role in (self.settings.teacher, self.settings.student)))
        for field in ("patch", "test_side"):
            if (side := getattr(self.settings, field)) < least:
                raise DataError(
                    f"{side} is too small for the networks' kernels", field=field, allowed=f"{least} and more"
                )
        for part in (self.splits.train, self.splits.fitting, self.splits.validation):
            check_sides(part, self.settings.patch, f"patch = {self.settings.patch} needs")
        check_sides(self.splits.test, -(-least // 4) * 4, "the networks need")
        _ = self.style_picture

    @cached_property
    def style_picture(self) -> Tensor:
        """(3, h, w) uint8, sides at most 512."""
        path = self.settings.style
        picture = files.read(path, "RGB", "style") if path else read_picture(*STYLE_PICTURE)
        height, width = picture.shape[1:]
        if min(height, width) < LEAST_SIDE:
            raise files.DataError(f"{path} is {width}×{height}, but needs sides of {LEAST_SIDE}", field="style")
        return centre_crop(picture, STYLE_SIDE, 8)

    def extractor_recipe(self) -> ExtractorRecipe | None:
        return None if self.settings.loss_network is None else VGGExtractor(self.settings.loss_network)

    @cached_property
    def _perceptual_network(self) -> RandomPyramid | VGG16:
        if self.settings.loss_network is None:
            return RandomPyramid(to_float(self.style_picture)).to(self.device)
        assert self.feature_extractor is not None
        return cast(VGG16, self.feature_extractor)

    @cached_property
    def _style_grams(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return {k: gram(v) for k, v in self._features(to_float(self.style_picture)[None].to(self.device)).items()}

    @cached_property
    @torch.no_grad()
    def _content_energy(self) -> dict[str, Tensor]:
        """Mean square of the training images' content features, layer by layer: the unit of the content term.

        One number for all: relative to its own energy a patch of night sky would outweigh everything.
        """
        crops = [grid_crops(image, self.settings.patch, CROPS_PER_IMAGE) for image in self.splits.train.images]
        energies = [
            {layer: maps.square().mean() for layer, maps in self._content(crop.to(self.device)).items()}
            for crop in crops
        ]
        return {layer: torch.stack([e[layer] for e in energies]).mean() for layer in energies[0]}

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        features: dict[str, Tensor] = self._perceptual_network(images)
        return features

    def _content(self, images: Tensor) -> dict[str, Tensor]:
        features = self._features(images)
        return {layer: features[layer] for layer in self._perceptual_network.content_layers}

    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        images = getattr(self.splits, split).images
        crops = crop_batch(images, indices, self.settings.patch, rng, flip=augment, contrast=CONTRAST)
        return {"photographs": crops.to(self.device)}

    @torch.no_grad()
    def with_targets(self, inputs: Inputs) -> Inputs:
        """With the content features of the photographs, by layer."""
        if all(layer in inputs for layer in self._perceptual_network.content_layers):
            return inputs
        return {**inputs, **self._content(inputs["photographs"])}

    @property
    def ends(self) -> Ends:
        return Ends("styliser", (3, None, None), (3, None, None))

    def example_input(self, batch_size: int) -> Tensor:
        """128×128 pixels."""
        return torch.linspace(0, 1, 3 * 128 * 128).view(1, 3, 128, 128).repeat(batch_size, 1, 1, 1)

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        """The stylised image. What the perceptual network sees in it, ``_seen`` adds where somebody looks at it."""
        return {"stylised": model(inputs["photographs"]), "seen": {}}

    def _seen(self, outputs: Outputs) -> dict[str, Tensor]:
        """Features of the stylised image, computed once a pass for all who look at them with gradient, or without."""
        seen: dict[bool, dict[str, Tensor]] = outputs["seen"]
        if (differentiable := torch.is_grad_enabled()) not in seen:
            seen[differentiable] = self._features(outputs["stylised"])
        return seen[differentiable]

    def loss(
        self,
        model: nn.Module,
        inputs: Inputs,
        outputs: Outputs,
        recipe: Recipe | None = None,
        progress: float = 1.0,
    ) -> Tensor:
        """The weighted sum of content, style and total variation, all without a unit."""
        terms = self._terms(inputs, outputs)
        weights = self.settings
        return (
            weights.content_weight * terms["content"]
            + weights.style_weight * terms["gram_style"]
            + weights.variation_weight * terms["variation"]
        )

    def _terms(self, inputs: Inputs, outputs: Outputs) -> dict[str, Tensor]:
        """The terms of the objective: errors relative to the training images' content and to the style's size.

        Not their squares, which one photograph of great contrast would rule.
        """
        features, image, originals = self._seen(outputs), outputs["stylised"], self.with_targets(inputs)
        content = [
            ((features[layer] - originals[layer]).square().mean(dim=(1, 2, 3)) / energy + EPSILON).sqrt().mean()
            for layer, energy in self._content_energy.items()
        ]
        style = [
            ((gram(features[layer]) - target).square().sum(dim=(1, 2)) / target.square().sum() + EPSILON).sqrt().mean()
            for layer, target in self._style_grams.items()
            if layer in features  # a small image has fewer levels
        ]
        variation = (image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean() + EPSILON).sqrt()
        return {"content": torch.stack(content).sum(), "gram_style": torch.stack(style).sum(), "variation": variation}

    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        if self.settings.compared_by == "painting":
            return {"painting": Bernoulli(intensity_logits(outputs["stylised"]))}
        return {layer: Feature(values) for layer, values in self._seen(outputs).items()}

    @torch.no_grad()
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        """Stylised (1) against unchanged (0) patches of pictures to fit to, by their mean colours or mean features."""
        indices = list(range(len(self.splits.fitting))) * CROPS_PER_IMAGE
        inputs = self.shared_inputs(indices[:256], rng, split="fit")
        count = len(inputs["photographs"])
        outcomes = (torch.arange(2 * count, device=self.device) < count).float().unsqueeze(1)
        stylised, plain = (self.responses(self.forward(m, inputs), inputs, teacher) for m in (teacher, nn.Identity()))
        return {
            name: Events(
                replace(response, values=torch.cat([response.values, plain[name].values])), outcomes, pooled=True
            )
            for name, response in stylised.items()
        }

    @torch.no_grad()
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        return self._evaluation(model, teacher, split)

    validation_part = f"{VALIDATION} patches of the validation images"

    @torch.no_grad()
    def validation_metric(self, model: nn.Module) -> float:
        return float(self.loss(model, self._validation, self.forward(model, self._validation)))

    @cached_property
    def _validation(self) -> Inputs:
        indices = [i % len(self.splits.validation) for i in range(VALIDATION)]
        patches = self.shared_inputs(indices, torch.Generator().manual_seed(0), split="validation")
        return self.with_targets(patches)

    @torch.no_grad()
    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        return self._evaluation(nn.Identity(), None, split)

    def _evaluation(self, model: nn.Module, teacher: nn.Module | None, split: Split) -> Evaluation:
        data: Photographs = getattr(self.splits, split)
        examples: dict[str, list[float]] = {metric: [] for metric in self.metrics}
        for image in data.images:
            photograph = to_float(centre_crop(image, self.settings.test_side, 4))[None].to(self.device)
            inputs = self.with_targets({"photographs": photograph})
            outputs = self.forward(model, inputs)
            terms = self._terms(inputs, outputs)
            examples["objective"].append(self.loss(model, inputs, outputs).item())
            examples["content"].append(terms["content"].item())
            examples["gram_style"].append(terms["gram_style"].item())
            if teacher is not None and teacher is not model:
                examples["teacher_psnr"].append(psnr(outputs["stylised"], teacher(photograph).clamp(0, 1)))
        return evaluation_of(data.names, {metric: values for metric, values in examples.items() if values})

    @torch.no_grad()
    def figures(self, models: Mapping[str, nn.Module]) -> Mapping[str, FigureData]:
        cut = [centre_crop(image, FIGURE_SIDE) for image in self.splits.test.spread(FIGURE_IMAGES).images]
        side = min(min(image.shape[-2:]) for image in cut) // 4 * 4
        photographs = torch.stack([to_float(centre_crop(image, side)) for image in cut])
        style = to_float(centre_crop(self.style_picture, side))[None]
        rows, captions = {"style": style, "photograph": photographs}, {}
        for name, model in models.items():
            inputs = [{"photographs": photograph[None].to(self.device)} for photograph in photographs]
            outputs = [self.forward(model, batch) for batch in inputs]
            rows[name] = torch.cat([output["stylised"] for output in outputs]).cpu()
            losses = [self.loss(model, *pair).item() for pair in zip(inputs, outputs, strict=True)]
            captions[name] = [f"{loss:.2f}" for loss in losses]
        return {"paintings": ImageGrid(rows, captions=captions, note="beneath: the objective, which is better lower")}


def embedded_style() -> dict[str, str]:
    """What identifies the embedded style picture."""
    return {"name": "/".join(STYLE_PICTURE), "sha256": checksum("", {"pixels": read_picture(*STYLE_PICTURE)})}


def intensity_logits(images: Tensor) -> Tensor:
    """Logits of intensities in [0, 1] of any shape, finite for black and for white."""
    return torch.logit(HALF_LEVEL + (1 - 2 * HALF_LEVEL) * images.clamp(0, 1))


def gram(features: Tensor) -> Tensor:
    """Gram matrices, divided by the number of positions: (batch, channels, h, w) -> (batch, channels, channels)."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]
