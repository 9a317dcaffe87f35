"""The optimiser of a recipe, and its learning rate at each step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from distillbench.tasks.base import Recipe


def optimiser(parameters: Iterable[nn.Parameter], recipe: Recipe, rate: float) -> torch.optim.Optimizer:
    """Return a recipe's optimiser: AdamW (Loshchilov & Hutter 2019), or SGD with momentum as torch has it.

    Args:
        parameters: the weights to train.
        recipe: the optimiser's name and hyperparameters.
        rate: the highest learning rate.
    """
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    return torch.optim.AdamW(parameters, lr=rate, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True)


def rate_factor(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate at a step as a fraction of the highest: torch's schedulers, written out.

    A warm-up of w steps is LinearLR from 1/w, and the schedule follows on the steps that are left: CosineAnnealingLR to
    zero, MultiStepLR, or none. Milestones are fractions of the whole training.

    Args:
        recipe: the schedule and its hyperparameters.
        step: the number of the step, from 0.
        steps: the number of steps in all.
    """
    warmup = round(recipe.warmup * steps)
    if step < warmup:
        return (1 + (warmup - 1) * step / warmup) / warmup
    match recipe.schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * ((step - warmup) / (steps - warmup))))
        case "step":
            return recipe.gamma ** sum(step >= round(milestone * steps) for milestone in recipe.milestones)
        case "constant":
            return 1.0
