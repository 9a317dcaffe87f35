"""Training curves: a learner's loss and validation metric during training."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from distillbench.bench.training.checkpoint import State
from distillbench.tasks.base import Task

POINTS = 50
"""Points of a curve, however long the training; a shorter training has one a step."""


def points(steps: int) -> tuple[int, ...]:
    """Return the steps after which the curve of a training of so many steps has a point."""
    count = min(POINTS, steps)
    return tuple(round((i + 1) * steps / count) for i in range(count))


@dataclass(frozen=True)
class Curve:
    """The curve of one training.

    Attributes:
        steps: the steps done at each point.
        loss: the mean loss since the point before; None where it is not finite.
        validation: ``Task.validation_metric`` at each point; None where it is not finite or not defined.
        seconds: the time of training until each point.
    """

    steps: tuple[int, ...]
    loss: tuple[float | None, ...]
    validation: tuple[float | None, ...]
    seconds: tuple[float, ...]


@dataclass
class CurveRecorder:
    """Records a curve; waits for the device at the curve's points alone.

    Attributes:
        steps: the number of steps of the training.
        seconds: the time that the validation metric has taken.
    """

    steps: int
    seconds: float = 0.0
    _total: Tensor = field(default_factory=lambda: torch.zeros(()))
    _counted: int = 0
    _steps: list[int] = field(default_factory=list)
    _loss: list[float | None] = field(default_factory=list)
    _validation: list[float | None] = field(default_factory=list)
    _times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._points = set(points(self.steps))

    def note(self, task: Task, model: nn.Module, loss: Tensor, step: int, seconds: float) -> None:
        """Record one step; the model is in train mode afterwards.

        Args:
            task: whose validation metric is measured.
            model: the model after the step.
            loss: the loss of the step, a scalar.
            step: the number of the step, from 0.
            seconds: the time of training so far.
        """
        self._total = self._total.to(loss.device) + loss.detach()
        self._counted += 1
        if step + 1 not in self._points:
            return
        self._steps.append(step + 1)
        self._times.append(float(f"{seconds:.4g}"))
        self._loss.append(_rounded(float(self._total) / self._counted))
        self._total, self._counted = torch.zeros(()), 0
        start = time.perf_counter()
        model.eval()
        self._validation.append(_rounded(task.validation_metric(model)))
        model.train()
        self.seconds += time.perf_counter() - start

    def state_dict(self) -> State:
        """Return what it has recorded so far."""
        return {name: getattr(self, name) for name in _RECORDED}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what another one had recorded."""
        for name in _RECORDED:
            setattr(self, name, state[name])

    def curve(self) -> Curve:
        """Return the curve so far."""
        return Curve(tuple(self._steps), tuple(self._loss), tuple(self._validation), tuple(self._times))


_RECORDED = ("seconds", "_total", "_counted", "_steps", "_loss", "_validation", "_times")


def _rounded(value: float | None) -> float | None:
    """Return five digits, which are more than a curve shows; None where the value is not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")
