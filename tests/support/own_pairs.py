"""Pairs of networks of one's own, and a pretrained one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.resolve import load
from distillbench.tasks.base import read_only


def pair(task: str, methods: tuple[str, ...] = ("scratch",), **settings: Any) -> Pair:
    """The first pair of a task with some settings."""
    suite = load({"methods": methods, "seeds": [0], "steps": 5, "tasks": {task: settings}})
    return suite.entries[0].pair


def module(factory: str, **arguments: Any) -> dict[str, Any]:
    return {"network": {"name": "module", "factory": f"my_networks:{factory}", "arguments": arguments}}


def saved_resnet(folder: Path) -> tuple[nn.Module, Path]:
    """torchvision's resnet18 for the ten digits, in grey through three channels; and its weights in a file."""
    torch.manual_seed(3)
    model = torchvision.models.resnet18(num_classes=10)
    save_file(model.state_dict(), folder / "resnet18.safetensors")
    return read_only(model), folder / "resnet18.safetensors"
