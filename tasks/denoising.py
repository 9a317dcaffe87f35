"""Removal of Gaussian noise from grey photographs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from distillbench.tasks.base import Evaluation, Inputs, Outputs, Recipe, Split, TaskSettings
from distillbench.tasks.data.crops import check_sides
from distillbench.tasks.data.pixels import to_float
from distillbench.tasks.figures.kinds import ImageGrid
from distillbench.tasks.metrics.images import SSIM_WINDOW, grey, psnr
from distillbench.tasks.networks.base import Denoiser, Ends
from distillbench.tasks.networks.dncnn import DnCNN
from distillbench.tasks.networks.interfaces import Interface
from distillbench.tasks.shared.restoration import Restoration, RestorationSettings


class DenoisingRecipe(Recipe):
    """A recipe and the network it trains."""

    network: Denoiser


class DenoisingSettings(RestorationSettings):
    """Additive noise, neither clipped nor rounded, as in the literature; the test noise is fixed by the file's name."""

    sigma: float = Field(25, gt=0, le=255, description="standard deviation of the noise, in grey levels of 255")
    patch: int = Field(32, ge=8, description="side of a patch in training, pixels")
    teacher: DenoisingRecipe = DenoisingRecipe(
        network=DnCNN(depth=6, width=32, batch_norm=True), learning_rate=5e-3, augment=True
    )
    student: DenoisingRecipe = DenoisingRecipe(network=DnCNN(depth=4, width=16), learning_rate=5e-3, augment=True)


class Denoising(Restoration):
    """Grey photographs freed of Gaussian noise by a DnCNN: compared by the predicted noise over positions."""

    Settings: ClassVar[type[TaskSettings]] = DenoisingSettings
    settings: DenoisingSettings
    input_name = "noisy"
    prediction_name = "noise"
    interface: ClassVar[Interface] = Interface(
        "denoiser",
        "a noisy grey photograph, levels divided by 255; the noise is neither clipped nor rounded, so that values may "
        "leave [0, 1]",
        "the photograph without the noise, in about [0, 1]: clip to it, times 255",
        "grey",
    )
    baselines: ClassVar[tuple[str, ...]] = ("noisy input", "non-local means", "BM3D")
    baseline_packages: ClassVar[Mapping[str, str]] = {"BM3D": "bm3d"}
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"dncnn": {}}

    # -- data ---------------------------------------------------------------------------------------------------

    def original(self, photograph: Tensor) -> Tensor:
        """The photograph in grey."""
        return (grey(to_float(photograph)) * 255).round().to(torch.uint8)

    def check(self) -> None:
        splits = self.splits
        for part in (splits.train, splits.fitting, splits.validation, splits.withheld, splits.transfer):
            check_sides(part, self.side, f"patch = {self.settings.patch} needs")
        for part in (self.splits.validation, self.splits.test):
            check_sides(part, SSIM_WINDOW, "SSIM needs")

    @property
    def side(self) -> int:
        return self.settings.patch

    @property
    def sigma(self) -> float:
        """The standard deviation of the noise, where grey levels are in [0, 1]."""
        return self.settings.sigma / 255

    def inputs(self, target: Tensor, rng: torch.Generator) -> Inputs:
        noise = self.sigma * torch.randn(target.shape, generator=rng)
        inputs = {"noisy": target + noise, "noise": noise, "target": target}
        return {name: images.to(self.device) for name, images in inputs.items()}

    def image_inputs(self, name: str, image: Tensor) -> Inputs:
        """The image with the noise that its name stands for."""
        rng = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        return self.inputs(to_float(image)[None], rng)

    def true_prediction(self, inputs: Inputs) -> Tensor:
        return inputs["noise"]

    # -- models and learning ------------------------------------------------------------------------------------

    @property
    def ends(self) -> Ends:
        return Ends("denoiser", (1, None, None), (1, None, None))

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        noisy = inputs["noisy"]
        # Where a network has predicted the noise, and taken it away, a difference would lose digits of it.
        predict = getattr(model, "noise", None)
        return {"noise": predict(noisy) if callable(predict) else noisy - model(noisy)}

    def loss(
        self,
        model: nn.Module,
        inputs: Inputs,
        outputs: Outputs,
        recipe: Recipe | None = None,
        progress: float = 1.0,
    ) -> Tensor:
        """½ · squared error in units of σ²: a Normal's nats, up to a constant, a pixel."""
        loss: Tensor = 0.5 * (outputs["noise"] - inputs["noise"]).square().mean() / self.sigma**2
        return loss

    # -- evaluation ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        """The noisy image, non-local means, or BM3D."""
        restorers: dict[str, Callable[[Tensor], Tensor]] = {
            "noisy input": nn.Identity(),
            "non-local means": self._nl_means,
            "BM3D": self._bm3d,
        }
        return self.evaluation(restorers[name], split)

    def classical(self, inputs: Inputs) -> Mapping[str, Tensor]:
        noisy = inputs["noisy"]
        return {"input": noisy.clamp(0, 1), "non-local means": self._nl_means(noisy).clamp(0, 1)}

    def _nl_means(self, noisy: Tensor) -> Tensor:
        """Non-local means (Buades et al. 2005; scikit-image), which knows the true σ."""
        from skimage.restoration import denoise_nl_means

        image = noisy[0, 0].cpu().numpy()
        clean = denoise_nl_means(
            image, patch_size=5, patch_distance=6, h=0.6 * self.sigma, sigma=self.sigma, fast_mode=True
        )
        return torch.from_numpy(clean).to(noisy)[None, None]

    def _bm3d(self, noisy: Tensor) -> Tensor:
        """BM3D (Dabov et al. 2007; Mäkinen et al. 2020, the authors' package), which knows the true σ."""
        import bm3d  # optional: for non-commercial use only

        profile = bm3d.BM3DProfile()
        profile.num_threads = 1  # with more the last digits change from call to call
        clean = bm3d.bm3d(noisy[0, 0].cpu().numpy(), self.sigma, profile)
        return torch.from_numpy(clean).to(noisy)[None, None]

    def crops(self, models: Mapping[str, nn.Module], names: Sequence[str], target: Tensor, inputs: Inputs) -> ImageGrid:
        """Crops of test images as each model denoises them."""
        noisy = inputs["noisy"]
        rows = {"noisy": noisy.cpu()} | {name: model(noisy).cpu() for name, model in models.items()}
        captions = {
            name: [f"{psnr(*pair):.2f} dB" for pair in zip(images[:, None], target[:, None], strict=True)]
            for name, images in rows.items()
        }
        heads = [PurePath(name).stem for name in names]
        return ImageGrid({"original": target, **rows}, heads, captions, "beneath: PSNR of the part that is shown")
