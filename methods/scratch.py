"""Control: the student alone."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from methods.base import Method


class Scratch(Method):
    """Control: the student alone, on the task's own objective. Differences in tables are taken to this row."""

    uses_teacher: ClassVar[bool] = False

    def student_loss(self, task_loss: Tensor, distillation: Tensor) -> Tensor:
        return task_loss
