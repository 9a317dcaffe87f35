"""Control: the student alone."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from methods.base import Method


class Scratch(Method):
    """The student on the task's own objective; no teacher. Every difference in a table is taken to this row."""

    uses_teacher: ClassVar[bool] = False

    def student_loss(self, task_loss: Tensor, distillation: Tensor) -> Tensor:
        return task_loss
