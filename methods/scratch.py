"""Control: the student alone."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from distillbench.methods.base import Method


class Scratch(Method):
    """Control: the student alone, on the task's own objective. Tables show differences to this row."""

    teacher: ClassVar[Literal["none"]] = "none"

    weight: float = Field(0.0, ge=0, le=0, description="there is no distillation loss")

    def student_loss(self, task_loss: Tensor, distillation: Tensor) -> Tensor:
        return task_loss
