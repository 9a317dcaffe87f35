"""Control: plain output matching."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distillbench.methods.base import Method, total
from distillbench.tasks.response import Responses


class Mimic(Method):
    """Control: match the teacher's raw outputs by squared error (Ba & Caruana 2014), beside the task's objective."""

    control: ClassVar[bool] = True

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        return total({name: teacher[name].mse(student[name]) for name in teacher})
