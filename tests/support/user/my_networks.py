"""Networks as a user has them in a module of her own; some are no good."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def denoiser(width: int = 6) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 3, padding=1))


class Generator(nn.Module):
    """Asks for what the task has, by name."""

    def __init__(self, shape: tuple[int, int, int], latent: int, hidden: int = 16) -> None:
        super().__init__()
        self.shape = shape
        pixels = shape[0] * shape[1] * shape[2]
        self.body = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels), nn.Sigmoid())

    def forward(self, latent: Tensor) -> Tensor:
        out: Tensor = self.body(latent).view(-1, *self.shape)
        return out


def classifier(shape: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))


def upscaler(scale: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, scale**2, 3, padding=1), nn.PixelShuffle(scale))


class LooksAround(nn.Module):
    """An item's output depends on its batch; one layer has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 1, 3, padding=1)
        self.unused = nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.body(images) - images.mean()
        return out


class Draws(nn.Module):
    """Draws in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.body(images) + torch.randn_like(images)
        return out


def raises() -> nn.Module:
    raise ValueError("no such\nthing")


def number() -> int:
    return 3


def smaller() -> nn.Module:
    return nn.Conv2d(1, 2, 3)


def whole_numbers() -> nn.Module:
    class Rounds(nn.Conv2d):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).long()

    return Rounds(1, 1, 3, padding=1)


def two_outputs() -> nn.Module:
    class Two(nn.Conv2d):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            out = super().forward(images)
            return out, out

    return Two(1, 1, 3, padding=1)


KEPT = nn.Conv2d(1, 1, 3, padding=1)
SHIFT = torch.tensor(0.5)


def kept() -> nn.Module:
    """The same one at each call: students would share it."""
    return KEPT


def other_generator() -> nn.Module:
    """Weights that are drawn from a generator that nobody seeds."""
    import random

    model = nn.Conv2d(1, 1, 3, padding=1)
    nn.init.constant_(model.weight, random.SystemRandom().random())
    return model


def seeds_itself() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(1, 1, 3, padding=1)


def loads_weights() -> nn.Module:
    model = nn.Conv2d(1, 1, 3, padding=1)
    model.load_state_dict({"weight": torch.linspace(-1, 1, 9).view(1, 1, 3, 3), "bias": torch.zeros(1)})
    return model


class WritesInput(nn.Conv2d):
    """Does something to its input in place: how says what."""

    def __init__(self, how: str) -> None:
        super().__init__(1, 1, 3, padding=1)
        self.how = how

    def forward(self, images: Tensor) -> Tensor:
        if self.how == "subtracts":
            images.sub_(0.5).div_(0.25)
        elif self.how == "clamps":
            images.clamp_(0, 1)
        elif self.how == "through data":
            images.data.mul_(0.5)
        elif self.how == "in training" and self.training:
            images.mul_(0.5)
        return super().forward(images)


class Discriminator(nn.Module):
    """Centres the images that it feature extractors, in place."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.features = nn.Conv2d(shape[0], 4, 3, padding=1)
        self.verdict = nn.Conv2d(4, 1, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(images.mul_(2).sub_(1))
        return features, self.verdict(features)


class FromPixels(nn.Module):
    """A classifier of 8×8 digits. problem: what is wrong with it."""

    def __init__(self, problem: str = "", batch: int = 64) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(64), nn.Linear(64, 10)
        self.problem, self.batch = problem, batch

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.norm(images.flatten(1))
        if self.problem == "in place" and self.training:
            hidden = torch.sigmoid(hidden)
            hidden.mul_(2)
        if self.problem == "no gradient":
            with torch.no_grad():
                return self.head(hidden)  # type: ignore[no-any-return]
        if self.problem == "fixed batch":
            hidden = hidden.view(self.batch, 64)
        out: Tensor = self.head(hidden)
        return out.softmax(1) if self.problem == "softmax" else out


class Quiet(nn.Conv2d):
    """Its train() returns nothing, as in much code that keeps some layers in eval mode."""

    def __init__(self) -> None:
        super().__init__(1, 1, 3, padding=1)

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)


class Uncopied(nn.Conv2d):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__(1, 1, 3, padding=1)

    def __deepcopy__(self, memo: object) -> nn.Module:
        raise TypeError("there is one of me")


def scripted() -> nn.Module:
    module: nn.Module = torch.jit.script(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)))
    return module


class ForInference(nn.Conv2d):
    """Decorated as for a service."""

    def __init__(self) -> None:
        super().__init__(1, 1, 3, padding=1)

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)


class Frozen(nn.Module):
    """A trained classifier as its authors give it: frozen, and with two outputs in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10).requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(images.flatten(1))
        return (out, out) if self.training else out  # type: ignore[return-value]


def lazy() -> nn.Module:
    return nn.LazyConv2d(1, 3, padding=1)


def without_weights() -> nn.Module:
    return nn.Identity()


def multiples_of_four() -> nn.Module:
    class Halves(nn.Conv2d):
        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.interpolate(super().forward(nn.functional.avg_pool2d(images, 4)), scale_factor=4)

    return Halves(1, 1, 3, padding=1)


def two_in_training() -> nn.Module:
    class Auxiliary(nn.Conv2d):
        def forward(self, images: Tensor) -> Tensor:
            out = super().forward(images)
            return (out, out) if self.training else out  # type: ignore[return-value]

    return Auxiliary(1, 1, 3, padding=1)


def leaves() -> nn.Module:
    raise SystemExit(0)


class Shifts(nn.Conv2d):
    """Has a tensor of its module, which must not be made on another device."""

    def __init__(self) -> None:
        super().__init__(1, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - SHIFT)


def one_verdict(shape: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 1))


def prints() -> nn.Module:
    print("hello")
    return nn.Conv2d(1, 1, 3, padding=1)
