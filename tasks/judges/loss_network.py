"""The loss network of style transfer: a small classifier of patches that is trained here, or VGG-16 from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.base import Judge
from tasks.data.crops import crop_batch
from tasks.data.files import DataError, file_digest
from tasks.networks.stylisation import VGG16, LossNetwork

STEPS, BATCH_SIZE, SIDE, LEARNING_RATE, SEED = 300, 24, 32, 2e-3, 0
MOST_PICTURES = 100


@dataclass(frozen=True)
class PatchClassifierJudge(Judge):
    """Tells from which of the pictures (training photographs and the style) a patch was cut.

    Brightness is jittered, colour is not: style is colour, too.
    """

    name: ClassVar[str] = "patch_classifier"
    data: Any
    images: Callable[[], Sequence[Tensor]]

    @property
    def config(self) -> dict[str, Any]:
        recipe = {"steps": STEPS, "batch_size": BATCH_SIZE, "side": SIDE, "learning_rate": LEARNING_RATE, "seed": SEED}
        return {"judge": self.name, "data": self.data, "most_pictures": MOST_PICTURES, **recipe}

    def build(self) -> LossNetwork:
        return LossNetwork(min(len(self.images()), MOST_PICTURES))

    def train(self) -> nn.Module:
        pictures = list(self.images())[-MOST_PICTURES:]  # the style picture comes last
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = self.build()
        rng = torch.Generator().manual_seed(SEED)
        optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        for _ in range(STEPS):
            indices = torch.randint(len(pictures), (BATCH_SIZE,), generator=rng)
            patches = crop_batch(pictures, indices.tolist(), SIDE, rng, flip=True)
            gain = 0.7 + 0.6 * torch.rand(BATCH_SIZE, 1, 1, 1, generator=rng)
            loss = F.cross_entropy(network.classify((patches * gain).clamp(0, 1)), indices)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        return network


@dataclass(frozen=True)
class VGGJudge(Judge):
    """VGG-16 as torchvision ships it, loaded from the user's file of weights; nothing is trained."""

    name: ClassVar[str] = "vgg16"
    weights: Path

    @property
    def config(self) -> dict[str, Any]:
        return {"judge": self.name, "weights": file_digest(self.weights, "loss_network")}

    def build(self) -> VGG16:
        return VGG16()

    def train(self) -> nn.Module:
        network = self.build()
        try:
            state = torch.load(self.weights, map_location="cpu", weights_only=True, mmap=True)
            network.load_state_dict({name: state[name] for name in network.state_dict()})
        except Exception as error:  # torch.load raises anything on foreign bytes
            raise DataError(f"loss_network: {self.weights} does not hold torchvision's VGG-16") from error
        return network
