"""The contract of a method: how a student learns from a teacher, whatever the task."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from distillbench.tasks.response import Events, Responses

Distillation = Callable[[Responses, Responses], Tensor]
"""(student's responses, teacher's responses) -> scalar loss."""


@dataclass(frozen=True)
class LogUniform:
    """A number from ``low`` to ``high`` (> 0), its logarithm uniform; two significant digits."""

    low: float
    high: float

    def at(self, share: float) -> float:
        """The value at a share in [0, 1] of the way from low to high."""
        value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        return min(max(float(f"{value:.1e}"), self.low), self.high)

    def at_edge(self, value: Any) -> bool:
        """Whether it is in the outermost tenth of the range, on the logarithmic scale: the best may lie beyond."""
        return not 0.1 < math.log(value / self.low) / math.log(self.high / self.low) < 0.9

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of some values that have no order."""

    values: tuple[Any, ...]

    def at(self, share: float) -> Any:
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def at_edge(self, value: Any) -> bool:
        return False

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Search = LogUniform | Choice
"""What tuning may set a field to: ``field: Annotated[float, LogUniform(0.1, 10)]``. A field without is not tuned."""


class Method(BaseModel):
    """A method is its hyperparameters: fields of a frozen model, each with a default and a description.

    teacher: which one the method looks at. "trained": the frozen one that all share. "untrained": one with its initial
    weights, frozen. "own": one that the method trains beside the student, from its initial weights. "none": no teacher.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    teacher: ClassVar[Literal["trained", "untrained", "own", "none"]] = "trained"

    weight: Annotated[float, LogUniform(0.003, 10)] = Field(1.0, ge=0, description="factor on the distillation loss")

    def prepare(self, events: Callable[[], Mapping[str, Events]]) -> Distillation:
        """The distillation loss, fitted to the teacher where the method fits something.

        events: gives the teacher's validation responses beside the truth; computed when first called. A teacher that
        the method trains has its initial weights then.
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


def search_space(method: type[Method]) -> dict[str, Search]:
    """What tuning may set, by field."""
    return {
        name: mark
        for name, field in method.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, LogUniform | Choice)
    }


def total(losses: Mapping[str, Tensor]) -> Tensor:
    """The sum over a model's named responses."""
    first, *rest = losses.values()
    for loss in rest:
        first = first + loss
    return first
