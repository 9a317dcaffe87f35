"""Removal of Gaussian noise from grey photographs."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from tasks.base import (
    MOST_BATCH,
    Evaluation,
    Inputs,
    Metric,
    Outputs,
    Pictures,
    Recipe,
    Role,
    Split,
    Splits,
    Task,
    TaskSettings,
    evaluation_of,
)
from tasks.data import folders
from tasks.data.crops import check_sides, common_crops, crop_batch, grid_crops
from tasks.data.embedded import Photographs
from tasks.data.pixels import to_float
from tasks.metrics.images import SSIM_WINDOW, grey, psnr, ssim
from tasks.networks.restoration import Denoiser, DnCNN
from tasks.response import Events, Feature, Response, ordinal_events

CROPS_A_PICTURE = 16
PICTURES, PICTURE_SIDE = 4, 96
THRESHOLDS = 7


class DenoisingRecipe(Recipe):
    """A recipe and the network it trains."""

    network: DnCNN


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
    metrics: ClassVar[Mapping[str, Metric]] = {"psnr": Metric("higher", "dB"), "ssim": Metric("higher", "", 4)}
    headline: ClassVar[str] = "psnr"
    references: ClassVar[tuple[str, ...]] = ("noisy input", "non-local means")
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

        return Splits(convert(whole.train), convert(whole.held_out), convert(whole.test))

    def check(self) -> None:
        for part in (self.splits.train, self.splits.held_out):
            check_sides(part, self.settings.patch, f"patch = {self.settings.patch} needs")
        for part in (self.splits.held_out, self.splits.test):
            check_sides(part, SSIM_WINDOW, "SSIM needs")

    @property
    def items(self) -> int:
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

    def network(self, role: Role) -> nn.Module:
        recipe: DenoisingRecipe = getattr(self.settings, role)
        return recipe.network.build()

    def example_input(self, batch_size: int) -> Tensor:
        """64×64 pixels."""
        return torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64).repeat(batch_size, 1, 1, 1)

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        return {"noise": cast(Denoiser, model).noise(inputs["noisy"])}

    def loss(self, model: nn.Module, inputs: Inputs, outputs: Outputs, part: str) -> Tensor:
        """½ · squared error in units of σ²: a Normal's nats, up to a constant, a pixel."""
        loss: Tensor = 0.5 * (outputs["noise"] - inputs["noise"]).square().mean() / self._sigma**2
        return loss

    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        return {"noise": Feature(outputs["noise"])}

    @torch.no_grad()
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        crops = [grid_crops(image, self.settings.patch, CROPS_A_PICTURE) for image in self.splits.held_out.images]
        inputs = self._inputs(torch.cat(crops), rng)
        response = Feature(self.forward(teacher, inputs)["noise"])
        return {"noise": ordinal_events(response, inputs["noise"], THRESHOLDS)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        return self._quality(model, split)

    @torch.no_grad()
    def reference(self, name: str, split: Split = "test") -> Evaluation:
        """The noisy picture, and non-local means (Buades et al. 2005; scikit-image) told the true σ."""
        if name == "noisy input":
            return self._quality(lambda noisy: noisy, split)
        from skimage.restoration import denoise_nl_means

        def nl_means(noisy: Tensor) -> Tensor:
            image = noisy[0, 0].cpu().numpy()
            clean = denoise_nl_means(
                image, patch_size=5, patch_distance=6, h=0.6 * self._sigma, sigma=self._sigma, fast_mode=True
            )
            return torch.from_numpy(clean).to(noisy)[None, None]

        return self._quality(nl_means, split)

    @torch.no_grad()
    def pictures(self, models: Mapping[str, nn.Module]) -> Pictures:
        shown = self.splits.test.spread(PICTURES)
        target = to_float(common_crops(shown.images, PICTURE_SIDE))
        noisy = self._inputs(target, torch.Generator().manual_seed(0))["noisy"]
        rows = {"noisy": noisy.cpu()} | {name: model(noisy).cpu() for name, model in models.items()}
        captions = {
            name: [f"{psnr(*pair):.2f} dB" for pair in zip(images[:, None], target[:, None], strict=True)]
            for name, images in rows.items()
        }
        heads = [PurePath(name).stem for name in shown.names]
        return Pictures({"original": target, **rows}, heads, captions, "beneath: PSNR of the part that is shown")

    def _quality(self, model: Any, split: Split) -> Evaluation:
        data: Photographs = getattr(self.splits, split)
        items: dict[str, list[float]] = {"psnr": [], "ssim": []}
        for name, image in zip(data.names, data.images, strict=True):
            rng = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            inputs = self._inputs(to_float(image).unsqueeze(0), rng)
            restored = model(inputs["noisy"])
            items["psnr"].append(psnr(restored, inputs["target"]))
            items["ssim"].append(ssim(restored, inputs["target"]))
        return evaluation_of(data.names, items)
