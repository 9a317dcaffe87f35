"""Control: the student alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from distillbench.methods.base import LogUniform, Method
from distillbench.tasks.response import Events
from distillbench.tasks.settings import Recipe


class Scratch(Method):
    """Control: the student alone, on the task's own objective. Tables show differences to this row.

    It is tuned like a method, by what it has: its learning rate and its weight decay.
    """

    teacher: ClassVar[Literal["none"]] = "none"
    control: ClassVar[bool] = True

    weight: float = Field(0.0, ge=0, le=0, description="there is no distillation loss")
    task_weight: float = Field(1.0, ge=1, le=1, description="there is nothing else")
    rate_factor: Annotated[float, LogUniform(0.25, 4)] = Field(
        1.0, gt=0, description="factor on the recipe's learning rate"
    )
    weight_decay: Annotated[float | None, LogUniform(1e-5, 0.3)] = Field(
        None, ge=0, description="in place of the recipe's"
    )

    def recipe(self, recipe: Recipe) -> Recipe:
        decay = recipe.weight_decay if self.weight_decay is None else self.weight_decay
        rate = recipe.learning_rate * self.rate_factor
        return recipe.model_copy(update={"learning_rate": rate, "weight_decay": decay})

    def prepare(self, events: Callable[[], Mapping[str, Events]]) -> None:
        return None
