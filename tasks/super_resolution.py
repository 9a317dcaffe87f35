"""Single-image super-resolution on luma."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.base import Evaluation, Inputs, Outputs, Recipe, Split, TaskSettings
from distillbench.tasks.data.crops import centre_crop, check_sides, grid_crops
from distillbench.tasks.data.pixels import to_float
from distillbench.tasks.figures.kinds import ImageGrid
from distillbench.tasks.figures.restored import AMPLIFIED
from distillbench.tasks.metrics.images import SSIM_WINDOW, downscale, luma, psnr, shave, upscale
from distillbench.tasks.networks.base import Ends, SuperResolver
from distillbench.tasks.networks.edsr import EDSR
from distillbench.tasks.networks.espcn import ESPCN
from distillbench.tasks.networks.interfaces import Interface
from distillbench.tasks.shared.restoration import CROPS_PER_IMAGE, Restoration, RestorationSettings


class SuperResolutionRecipe(Recipe):
    """A recipe and the network it trains."""

    network: SuperResolver


class SuperResolutionSettings(RestorationSettings):
    """Inputs are made from the originals by MATLAB's antialiased bicubic kernel, rounded to 8 bits."""

    scale: int = Field(2, ge=2, le=4, description="factor in each direction")
    patch: int = Field(16, ge=4, description="side of an input patch in training, pixels")
    teacher: SuperResolutionRecipe = SuperResolutionRecipe(
        network=EDSR(width=32, blocks=4), learning_rate=2e-3, augment=True
    )
    student: SuperResolutionRecipe = SuperResolutionRecipe(
        network=ESPCN(features=48, mapped=24), learning_rate=5e-3, augment=True
    )


class SuperResolution(Restoration):
    """Photographs enlarged by a network: compared by the residual r = ŷ − bicubic(x) over positions."""

    Settings: ClassVar[type[TaskSettings]] = SuperResolutionSettings
    settings: SuperResolutionSettings
    input_name = "low"
    prediction_name = "residual"
    interface: ClassVar[Interface] = Interface(
        "super_resolver",
        "luma (BT.601 in [16, 235], a picture of one channel as it is), levels divided by 255",
        "luma of the enlarged photograph, in about [0, 1]: clip to it, times 255; its colours are enlarged otherwise, "
        "by bicubic interpolation as a rule",
        "luma",
    )
    baselines: ClassVar[tuple[str, ...]] = ("bicubic",)
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"edsr_espcn_x2": {"scale": 2}, "edsr_espcn_x3": {"scale": 3}}

    # -- data ---------------------------------------------------------------------------------------------------

    def original(self, photograph: Tensor) -> Tensor:
        """The luma, sides cut to multiples of the scale."""
        cut = centre_crop(photograph, None, self.multiple)
        return (luma(to_float(cut)) * 255).round().to(torch.uint8)

    def check(self) -> None:
        scale, patch = self.settings.scale, f"patch = {self.settings.patch} at ×{self.settings.scale} needs"
        for part in (self.splits.train, self.splits.fitting, self.splits.validation, self.splits.withheld):
            check_sides(part, self.side, patch)
        check_sides(self.splits.transfer, self.settings.patch, f"patch = {self.settings.patch} needs")
        for part in (self.splits.validation, self.splits.test):
            check_sides(part, SSIM_WINDOW + 2 * scale, f"SSIM, the border shaved by {scale}, needs")

    @property
    def side(self) -> int:
        return self.settings.patch * self.settings.scale

    @property
    def multiple(self) -> int:
        return self.settings.scale

    def inputs(self, target: Tensor, rng: torch.Generator | None = None) -> Inputs:
        target = target.to(self.device)
        return {**self.completed(downscale(target, self.settings.scale)), "target": target}

    def completed(self, degraded: Tensor) -> Inputs:
        return {"low": degraded, "bicubic": upscale(degraded, self.settings.scale)}

    def image_inputs(self, name: str, image: Tensor) -> Inputs:
        return self.inputs(to_float(image)[None])

    def true_prediction(self, inputs: Inputs) -> Tensor:
        return inputs["target"] - inputs["bicubic"]

    # -- models and learning ------------------------------------------------------------------------------------

    @property
    def ends(self) -> Ends:
        return Ends("super_resolver", (1, None, None), (1, None, None), scale=self.settings.scale)

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        low = inputs["low"]
        # Where a network has added its residual to bicubic interpolation, a difference would lose digits of it.
        predict = getattr(model, "residual", None)
        return {"residual": predict(low) if callable(predict) else model(low) - inputs["bicubic"]}

    def loss(
        self,
        model: nn.Module,
        inputs: Inputs,
        outputs: Outputs,
        recipe: Recipe | None = None,
        progress: float = 1.0,
    ) -> Tensor:
        """½ · squared error in units of the true residual's variance: a Normal's nats, up to a constant, a pixel."""
        error = inputs["bicubic"] + outputs["residual"] - inputs["target"]
        loss: Tensor = 0.5 * error.square().mean() / self.variance
        return loss

    @cached_property
    def variance(self) -> float:
        """The variance of the true residual on the training images: the unit of the loss."""
        crops = torch.cat([grid_crops(image, self.side, CROPS_PER_IMAGE) for image in self.splits.train.images])
        return (crops - upscale(downscale(crops, self.settings.scale), self.settings.scale)).var().item()

    # -- evaluation ---------------------------------------------------------------------------------------------

    def measured(self, image: Tensor) -> Tensor:
        """Without the border, which is as wide as the scale."""
        return shave(image, self.settings.scale)

    @torch.no_grad()
    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        """Bicubic interpolation."""
        return self.evaluation(lambda low: upscale(low, self.settings.scale), split)

    def classical(self, inputs: Inputs) -> Mapping[str, Tensor]:
        enlarged = F.interpolate(inputs["low"], scale_factor=self.settings.scale, mode="nearest")
        return {"input": enlarged, "bicubic": inputs["bicubic"].clamp(0, 1)}

    def crops(self, models: Mapping[str, nn.Module], names: Sequence[str], target: Tensor, inputs: Inputs) -> ImageGrid:
        """Crops of test images as each model enlarges them, and their errors."""
        restored = {"bicubic": inputs["bicubic"].cpu()}
        restored |= {name: model(inputs["low"]).cpu() for name, model in models.items()}
        rows, captions = {"original": target}, {}
        for name, images in restored.items():
            error = AMPLIFIED * (images.clamp(0, 1) - target).abs()
            rows[name] = torch.cat([images.clamp(0, 1), error.clamp(0, 1)])
            captions[name] = [f"{psnr(*pair):.2f} dB" for pair in zip(images[:, None], target[:, None], strict=True)]
        heads = ["picture"] * len(target) + [f"error: |picture − original| × {AMPLIFIED}"] * len(target)
        return ImageGrid(rows, heads, captions, "beneath: PSNR of the part that is shown")
