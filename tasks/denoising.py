"""Removal of Gaussian noise from grey photographs."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import PurePath
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
    Recipe,
    Split,
    Splits,
    Task,
    TaskSettings,
    evaluation_of,
)
from distillbench.tasks.data import folders
from distillbench.tasks.data.crops import check_sides, common_crops, crop_batch, grid_crops, spread_crops
from distillbench.tasks.data.embedded import Photographs
from distillbench.tasks.data.pixels import to_float
from distillbench.tasks.figures.kinds import FigureData, ImageGrid
from distillbench.tasks.figures.restored import comparison, most_different
from distillbench.tasks.metrics.images import SSIM_WINDOW, grey, psnr, psnrs, ssim
from distillbench.tasks.networks.base import Denoiser, Ends
from distillbench.tasks.networks.dncnn import DnCNN
from distillbench.tasks.networks.interfaces import Interface
from distillbench.tasks.response import Events, Feature, Response, ordinal_events

CROPS_A_PICTURE = 16
PICTURES, PICTURE_SIDE = 4, 96
THRESHOLDS = 7
VALIDATION, VALIDATION_SIDE = 24, 24
AGREEMENT_NOTE = "teacher psnr is between the student's picture and the teacher's"


class DenoisingRecipe(Recipe):
    """A recipe and the network it trains."""

    network: Denoiser


class DenoisingSettings(TaskSettings):
    """Additive noise, neither clipped nor rounded, as in the literature; the test noise is fixed by the file's name."""

    steps: int = Field(350, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(8, ge=1, le=MOST_BATCH, description="patches a step")
    sigma: float = Field(25, gt=0, le=255, description="standard deviation of the noise, in grey levels of 255")
    patch: int = Field(32, ge=8, description="side of a patch in training, pixels")
    teacher: DenoisingRecipe = DenoisingRecipe(
        network=DnCNN(depth=6, width=16), steps=2500, learning_rate=3e-3, augment=True
    )
    student: DenoisingRecipe = DenoisingRecipe(network=DnCNN(depth=4, width=8), learning_rate=5e-3, augment=True)


class Denoising(Task):
    """Grey photographs freed of Gaussian noise by a DnCNN: compared by the predicted noise over positions."""

    Settings: ClassVar[type[TaskSettings]] = DenoisingSettings
    settings: DenoisingSettings
    metrics: ClassVar[Mapping[str, Metric]] = {
        "psnr": Metric("higher", "dB"),
        "ssim": Metric("higher", "", 4),
        "teacher_psnr": Metric("higher", "dB", note=AGREEMENT_NOTE),
    }
    primary_metric: ClassVar[str] = "psnr"
    interface: ClassVar[Interface] = Interface(
        "denoiser",
        "a noisy grey photograph, levels divided by 255; the noise is neither clipped nor rounded, so that values may "
        "leave [0, 1]",
        "the photograph without the noise, in about [0, 1]: clip to it, times 255",
        "grey",
    )
    baselines: ClassVar[tuple[str, ...]] = ("noisy input", "non-local means")
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"dncnn": {}}

    @classmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        return folders.identity(settings.data, "photographs")

    @cached_property
    def splits(self) -> Splits[Photographs]:
        """The photographs in grey, (1, h, w) uint8 each."""
        whole = folders.photograph_splits(self.settings.data, self.cache)

        def convert(photographs: Photographs) -> Photographs:
            greys = ((grey(to_float(image)) * 255).round().to(torch.uint8) for image in photographs.images)
            return Photographs(photographs.names, tuple(greys))

        return Splits(convert(whole.train), convert(whole.validation), convert(whole.test))

    def check(self) -> None:
        for part in (self.splits.train, self.splits.validation):
            check_sides(part, self.settings.patch, f"patch = {self.settings.patch} needs")
        for part in (self.splits.validation, self.splits.test):
            check_sides(part, SSIM_WINDOW, "SSIM needs")

    @property
    def training_examples(self) -> int:
        return len(self.splits.train)

    @property
    def _sigma(self) -> float:
        return self.settings.sigma / 255

    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        images = getattr(self.splits, split).images
        return self._inputs(crop_batch(images, indices, self.settings.patch, rng, flip=augment), rng)

    def _inputs(self, target: Tensor, rng: torch.Generator) -> Inputs:
        noise = self._sigma * torch.randn(target.shape, generator=rng)
        return {
            "noisy": (target + noise).to(self.device),
            "noise": noise.to(self.device),
            "target": target.to(self.device),
        }

    @property
    def ends(self) -> Ends:
        return Ends("denoiser", (1, None, None), (1, None, None))

    def example_input(self, batch_size: int) -> Tensor:
        """64×64 pixels."""
        return torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64).repeat(batch_size, 1, 1, 1)

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        noisy = inputs["noisy"]
        # Where a network has predicted the noise, and taken it away, a difference would lose digits of it.
        predict = getattr(model, "noise", None)
        return {"noise": predict(noisy) if callable(predict) else noisy - model(noisy)}

    def loss(
        self, model: nn.Module, inputs: Inputs, outputs: Outputs, part: str, recipe: Recipe | None = None
    ) -> Tensor:
        """½ · squared error in units of σ²: a Normal's nats, up to a constant, a pixel."""
        loss: Tensor = 0.5 * (outputs["noise"] - inputs["noise"]).square().mean() / self._sigma**2
        return loss

    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        return {"noise": Feature(outputs["noise"])}

    @torch.no_grad()
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        crops = [grid_crops(image, self.settings.patch, CROPS_A_PICTURE) for image in self.splits.validation.images]
        inputs = self._inputs(torch.cat(crops), rng)
        response = Feature(self.forward(teacher, inputs)["noise"])
        return {"noise": ordinal_events(response, inputs["noise"], THRESHOLDS)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        return self._quality(model, split, None if teacher is model else teacher)

    validation_part = f"{VALIDATION} small patches of the validation pictures, their mean square errors pooled"

    @torch.no_grad()
    def validation_metric(self, model: nn.Module) -> float:
        images = torch.stack([model(self._validation["noisy"]), self._validation["target"]])
        return float(psnrs(*images.flatten(1).split(1)))

    @cached_property
    def _validation(self) -> Inputs:
        crops = spread_crops(self.splits.validation.images, VALIDATION_SIDE, VALIDATION)
        return self._inputs(crops, torch.Generator().manual_seed(0))

    @torch.no_grad()
    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        """The noisy picture, and non-local means."""
        return self._quality(nn.Identity() if name == "noisy input" else self._nl_means, split)

    @torch.no_grad()
    def figures(self, models: Mapping[str, nn.Module]) -> Mapping[str, FigureData]:
        shown = self.splits.test.spread(PICTURES)
        target = to_float(common_crops(shown.images, PICTURE_SIDE))
        noisy = self._inputs(target, torch.Generator().manual_seed(0))["noisy"]
        rows = {"noisy": noisy.cpu()} | {name: model(noisy).cpu() for name, model in models.items()}
        captions = {
            name: [f"{psnr(*pair):.2f} dB" for pair in zip(images[:, None], target[:, None], strict=True)]
            for name, images in rows.items()
        }
        heads = [PurePath(name).stem for name in shown.names]
        crops = ImageGrid({"original": target, **rows}, heads, captions, "beneath: PSNR of the part that is shown")
        methods = [name for name in models if name != "teacher"]
        return {"crops": crops} | ({"difference": self._difference(models, methods)} if len(methods) > 1 else {})

    def _difference(self, models: Mapping[str, nn.Module], methods: Sequence[str]) -> ImageGrid:
        """The test picture on which the methods differ most."""
        data = self.splits.test

        def restored(noisy: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
            return {name: models[name](noisy).clamp(0, 1).cpu() for name in names}

        noises = (self._test_inputs(*item)["noisy"] for item in zip(data.names, data.images, strict=True))
        index = most_different(list(restored(noisy, methods).values()) for noisy in noises)
        inputs = self._test_inputs(data.names[index], data.images[index])
        images = {
            "input": inputs["noisy"].clamp(0, 1).cpu(),
            "non-local means": self._nl_means(inputs["noisy"]).clamp(0, 1).cpu(),
            **restored(inputs["noisy"], [*methods, *(name for name in models if name not in methods)]),
            "original": inputs["target"].cpu(),
        }
        return comparison(images, methods, "original", data.names[index])

    def _test_inputs(self, name: str, image: Tensor) -> Inputs:
        """A picture (1, h, w) with the noise that its name stands for."""
        rng = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        return self._inputs(to_float(image)[None], rng)

    def _nl_means(self, noisy: Tensor) -> Tensor:
        """Non-local means (Buades et al. 2005; scikit-image), told the true σ."""
        from skimage.restoration import denoise_nl_means

        image = noisy[0, 0].cpu().numpy()
        clean = denoise_nl_means(
            image, patch_size=5, patch_distance=6, h=0.6 * self._sigma, sigma=self._sigma, fast_mode=True
        )
        return torch.from_numpy(clean).to(noisy)[None, None]

    def _quality(self, model: Any, split: Split, teacher: nn.Module | None = None) -> Evaluation:
        data: Photographs = getattr(self.splits, split)
        examples: dict[str, list[float]] = {metric: [] for metric in self.metrics}
        for name, image in zip(data.names, data.images, strict=True):
            inputs = self._test_inputs(name, image)
            restored = model(inputs["noisy"])
            examples["psnr"].append(psnr(restored, inputs["target"]))
            examples["ssim"].append(ssim(restored, inputs["target"]))
            if teacher is not None:
                its = self.answers(teacher, (split, name), partial(teacher, inputs["noisy"]))
                examples["teacher_psnr"].append(float(psnrs(restored, its)))
        return evaluation_of(data.names, {metric: values for metric, values in examples.items() if values})
