"""Training curves: a learner's loss, and its primary metric on validation data, on the way."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from distillbench.tasks.base import Task

POINTS = 50
"""So many of a curve, however long the training; with fewer steps one a step."""


@dataclass(frozen=True)
class Curve:
    """steps: done at each point. loss: its mean since the point before. validation: ``Task.validation_metric`` then.

    None stands for what is not finite, or not there.
    """

    steps: tuple[int, ...]
    loss: tuple[float | None, ...]
    validation: tuple[float | None, ...]


@dataclass
class CurveRecorder:
    """Asks a device for a loss at the points alone. seconds: what the validation metric took."""

    steps: int
    seconds: float = 0.0
    _total: Tensor = field(default_factory=lambda: torch.zeros(()))
    _counted: int = 0
    _steps: list[int] = field(default_factory=list)
    _loss: list[float | None] = field(default_factory=list)
    _validation: list[float | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = min(POINTS, self.steps)
        self._points = {round((i + 1) * self.steps / count) for i in range(count)}

    def note(self, task: Task, model: nn.Module, loss: Tensor, step: int) -> None:
        """Call it after each step, the first of which is 0. The model goes on in train mode."""
        self._total = self._total.to(loss.device) + loss.detach()
        self._counted += 1
        if step + 1 not in self._points:
            return
        self._steps.append(step + 1)
        self._loss.append(_kept(float(self._total) / self._counted))
        self._total, self._counted = torch.zeros(()), 0
        start = time.perf_counter()
        model.eval()
        self._validation.append(_kept(task.validation_metric(model)))
        model.train()
        self.seconds += time.perf_counter() - start

    def curve(self) -> Curve:
        return Curve(tuple(self._steps), tuple(self._loss), tuple(self._validation))


def _kept(value: float | None) -> float | None:
    """Five digits are more than a curve shows."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")
