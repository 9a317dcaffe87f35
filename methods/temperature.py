"""Temperature distillation."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import Tensor

from distillbench.methods.base import LogUniform, Method, total
from distillbench.tasks.response import Responses


class Temperature(Method):
    """Match the teacher's softened response (Hinton et al. 2015; for maps Shu et al. 2021).

    The default objective is task loss + weight · T²·KL. With ``alpha`` it is the classic (1 − α)·task + α·T²·KL:
    α weights the distillation term, as in RepDistiller's KD; torchdistill's α weights the cross-entropy. ``alpha``
    replaces ``weight``; setting both is an error.
    """

    temperature: Annotated[float, LogUniform(0.25, 16)] = Field(
        4.0, gt=0, description="T, dimensionless (Hinton et al. 2015 use 1 to 20); below 1 it sharpens"
    )
    alpha: float | None = Field(None, ge=0, le=1, description="weight of the distillation term in the classic form")

    @model_validator(mode="after")
    def _one_weight(self) -> Self:
        for name in ("weight", "task_weight") if self.alpha is not None else ():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"alpha replaces {name}; set one of the two")
        return self

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        return total({name: teacher[name].tempered_kl(student[name], self.temperature) for name in teacher})

    def student_loss(self, task_loss: Tensor, distillation: Tensor) -> Tensor:
        if self.alpha is None:
            return super().student_loss(task_loss, distillation)
        return (1 - self.alpha) * task_loss + self.alpha * distillation
