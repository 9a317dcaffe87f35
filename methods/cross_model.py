"""Cross-model distillation: teacher and student learn together."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from distillbench.methods.base import LogUniform, Method, total
from distillbench.tasks.response import Responses


class CrossModel(Method):
    """Train teacher and student together: L = task(t) + λ·task(s) + γ·KL(sg p_t ‖ p_s) (after Guo et al. 2020).

    Both start from their initial weights, the teacher earlier by the steps that its recipe is longer; it sees its own
    batches, augmented as its recipe says, and answers the student's in eval mode. The shared teacher is not used.
    γ couples the two: without it the sum has no term in which both appear, and nothing is distilled. Only with
    ``mutual`` does the student feed back, γ·KL(sg p_s ‖ p_t) in the teacher's loss (Zhang et al. 2018, eq. 5).
    """

    teacher: ClassVar[Literal["own"]] = "own"

    weight: Annotated[float, LogUniform(0.003, 100)] = Field(
        1.0, gt=0, description="γ, on KL(sg p_t ‖ p_s); must not be zero (Zhang et al. 2018: 1)"
    )
    task_weight: float = Field(1.0, gt=0, description="λ, on the student's own task loss (Zhang et al. 2018: 1)")
    mutual: bool = Field(False, description="whether the teacher learns from the student too")

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        return total({name: teacher[name].kl(student[name]) for name in teacher})

    @property
    def feeds_back(self) -> bool:
        return self.mutual

    def teacher_loss(self, task_loss: Tensor, student: Responses, teacher: Responses) -> Tensor:
        return task_loss + self.weight * total({name: student[name].kl(teacher[name]) for name in student})
