"""The contract of a method: how a student learns from a teacher, whatever the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from tasks.response import Events, Responses

Distillation = Callable[[Responses, Responses], Tensor]
"""(student's responses, teacher's responses) -> scalar loss."""


class Method(BaseModel):
    """A method is its hyperparameters: fields of a frozen model, each with a default and a description.

    trains_teacher: the method trains a teacher of its own, from its own initial weights, beside the student. The
    shared teacher is never touched by any method.
    uses_teacher: the method looks at a teacher's responses at all; the control that does not says False.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    trains_teacher: ClassVar[bool] = False
    uses_teacher: ClassVar[bool] = True

    weight: float = Field(1.0, ge=0, description="factor on the distillation loss")

    def prepare(self, events: Callable[[], Mapping[str, Events]]) -> Distillation:
        """The distillation loss, fitted to the teacher where the method fits something.

        events: gives the teacher's held-out responses beside the truth; computed when first called.
        """
        return self.distillation_loss

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        """How far the student is from the teacher; zero, with zero gradient, when they agree. Scalar."""
        raise TypeError(f"{type(self).__name__} needs distillation_loss or prepare")

    def student_loss(self, task_loss: Tensor, distillation: Tensor) -> Tensor:
        """What the student minimises."""
        return task_loss + self.weight * distillation

    def teacher_loss(self, task_loss: Tensor, student: Responses, teacher: Responses) -> Tensor:
        """What a teacher minimises that the method trains; ``student`` comes behind a stop-gradient."""
        return task_loss


def total(losses: Mapping[str, Tensor]) -> Tensor:
    """The sum over a model's named responses."""
    first, *rest = losses.values()
    for loss in rest:
        first = first + loss
    return first
