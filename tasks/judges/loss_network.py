"""VGG-16 as the loss network of style transfer, from a file of weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from tasks.base import Judge
from tasks.data.files import DataError, file_digest
from tasks.networks.stylisation import VGG16


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
