"""The loss network of style transfer: a small classifier of patches, trained on the project's own photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.base import Judge
from tasks.data.crops import crop_batch
from tasks.networks.stylisation import LossNetwork

STEPS, BATCH_SIZE, SIDE, LEARNING_RATE, SEED = 300, 24, 32, 2e-3, 0
MOST_PICTURES = 100


@dataclass(frozen=True)
class PatchClassifierJudge(Judge):
    """Tells from which of the pictures (training photographs and the style) a patch was cut, brightness jittered."""

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
            gain = 0.7 + 0.6 * torch.rand(BATCH_SIZE, 3, 1, 1, generator=rng)
            loss = F.cross_entropy(network.classify((patches * gain).clamp(0, 1)), indices)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        return network
