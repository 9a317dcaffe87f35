"""What a distillation method is: how a student learns from a teacher, whatever the task.

A method is a frozen model of its hyperparameters with one function, ``distillation_loss``. This is a whole method,
in ``methods/mimic_scaled.py``::

    class MimicScaled(Method):
        temperature: Annotated[float, LogUniform(1, 16)] = Field(4.0, ge=1, description="divides both responses")

        def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
            return total({name: teacher[name].mse(student[name]) / self.temperature**2 for name in teacher})

It runs on every task. docs/writing-a-method.md walks through one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from distillbench.tasks.response import Events, Responses
from distillbench.tasks.settings import Recipe, Role

Distillation = Callable[[Responses, Responses], Tensor]
"""(student's responses, teacher's responses) -> scalar loss."""


@dataclass(frozen=True)
class LogUniform:
    """A search range from ``low`` to ``high`` (> 0), uniform in the logarithm; values have two significant digits."""

    low: float
    high: float

    def at(self, share: float) -> float:
        """Return the value at a share in [0, 1] of the way from low to high."""
        value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        return min(max(float(f"{value:.1e}"), self.low), self.high)

    def at_boundary(self, value: Any) -> bool:
        """Return whether a value lies in the outermost tenth of the range: the best value may lie beyond."""
        return not 0.1 < math.log(value / self.low) / math.log(self.high / self.low) < 0.9

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choice:
    """A search space of a few values that have no order."""

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        """Return the value at a share in [0, 1] of the way through the values."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def at_boundary(self, value: Any) -> bool:
        """Return False: values without an order have no search boundary."""
        return False

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


SearchSpace = LogUniform | Choice
"""What tuning may set a field to: ``field: Annotated[float, LogUniform(0.1, 10)]``. A field without is not tuned."""


Teacher = Literal["trained", "self", "untrained", "own", "none"]
"""Kinds of teachers (``Method.teacher``)."""
Need = Literal["labels", "longer teacher"]
"""What a method may need of a task and a pair (``Method.needs``)."""


class Method(BaseModel):
    """The base class of distillation methods: the fields are hyperparameters, with a default and a description each.

    Attributes:
        teacher: the teacher whose responses the method compares with. "trained": the trained, frozen teacher that all
            methods share; "self": a frozen network equal to the student, trained alone before; "untrained": a frozen
            teacher with its initial weights; "own": a teacher that the method trains beside the student, from its
            initial weights; "none": no teacher.
        needs: what the method is not defined without. "labels": classes as ground truth; "longer teacher": a teacher
            that is trained here, for more steps than the student.
        control: whether the method is there to be compared with, and never ranked.
        zero_at_agreement: whether the distillation loss is zero, with zero gradient, where student and teacher agree.
        steps_of: the role whose number of steps the student trains for.
        weight: the factor of the distillation loss.
        weight_schedule: how that factor changes during training.
        task_weight: the factor of the task's own objective.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    teacher: ClassVar[Teacher] = "trained"
    needs: ClassVar[frozenset[Need]] = frozenset()
    control: ClassVar[bool] = False
    zero_at_agreement: ClassVar[bool] = True
    steps_of: ClassVar[Role] = "student"

    weight: Annotated[float, LogUniform(0.003, 100)] = Field(1.0, ge=0, description="factor on the distillation loss")
    weight_schedule: Literal["constant", "linear"] = Field(
        "constant", description="of the weight; linear: to zero at the end of the training"
    )
    task_weight: float = Field(
        1.0, ge=0, description="factor on the task's own objective; 0: the student learns from the teacher alone"
    )

    def recipe(self, recipe: Recipe) -> Recipe:
        """Return the recipe that the student trains by, from that of the pair."""
        return recipe

    def prepare(self, events: Callable[[], Mapping[str, Events]]) -> Distillation | None:
        """Return the distillation loss, None where there is none; what a method fits to the teacher it fits here, once.

        Args:
            events: returns the teacher's responses on data to fit to beside the ground truth, by the name of the
                response. They are computed at the first call. A teacher that the method trains has its initial weights.
        """
        return self.distillation_loss

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        """Return how far the student is from the teacher on one batch.

        Args:
            student: the student's responses by name, with gradient.
            teacher: the teacher's responses by the same names, without gradient; shared, so not to be written to. Empty
                where there is no teacher.

        Returns:
            A scalar (shape ``()``): zero, with zero gradient, where the two agree (see ``zero_at_agreement``).
        """
        raise TypeError(f"{type(self).__name__} needs distillation_loss or prepare")

    def weight_factor(self, progress: float) -> float:
        """Return the factor on the distillation loss, beside ``weight``, at a share of the training in [0, 1]."""
        return 1.0 - progress if self.weight_schedule == "linear" else 1.0

    @property
    def sees_task_loss(self) -> bool:
        """Whether the task's own objective is part of what the student minimises; else it need not be computed."""
        return self.task_weight > 0

    @property
    def feeds_back(self) -> bool:
        """Whether a teacher that the method trains (``teacher = "own"``) learns from the student's responses."""
        return False

    def student_loss(self, task_loss: Tensor, distillation: Tensor) -> Tensor:
        """Return what the student minimises, a scalar.

        Args:
            task_loss: the task's own objective on the batch, a scalar; zero where ``sees_task_loss`` says so.
            distillation: the distillation loss times ``weight_factor``, a scalar; zero where there is none.
        """
        return self.task_weight * task_loss + self.weight * distillation

    def teacher_loss(self, task_loss: Tensor, student: Responses, teacher: Responses) -> Tensor:
        """Return what a teacher that the method trains minimises where the student feeds back, a scalar.

        Args:
            task_loss: the task's own objective for the teacher, on a batch of its own, a scalar.
            student: the student's responses, behind a stop-gradient.
            teacher: the teacher's responses, with gradient.
        """
        return task_loss


def search_space(method: type[Method]) -> dict[str, SearchSpace]:
    """Return the fields that tuning may set, each with its search space."""
    return {
        name: space
        for name, field in method.model_fields.items()
        for space in field.metadata
        if isinstance(space, LogUniform | Choice)
    }


def usual(method: Method) -> tuple[str, ...]:
    """Return the hyperparameters that have their default and that tuning does not set: no result need name them."""
    searched = search_space(type(method))
    return tuple(
        name
        for name, field in type(method).model_fields.items()
        if name not in searched and getattr(method, name) == field.default
    )


def total(losses: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the losses (scalars) of a model's named responses."""
    first, *rest = losses.values()
    for loss in rest:
        first = first + loss
    return first
