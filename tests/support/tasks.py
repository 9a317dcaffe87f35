"""What tests of every cell go through, and a feature extractor that is not trained."""

from __future__ import annotations

import torch
from torch import nn

from distillbench.tasks.base import Task, read_only

TASK_NAMES = ("classification", "denoising", "gan", "style_transfer", "super_resolution", "vae")


METHOD_NAMES = ("temperature", "random_teacher", "logistic", "cross_model")


def untrained_extractor(task: Task) -> nn.Module | None:
    """The task's frozen network with random weights: enough where nothing is measured."""
    recipe = task.extractor_recipe()
    if recipe is None:
        return None
    torch.manual_seed(0)
    return read_only(recipe.build())
