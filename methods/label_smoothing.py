"""Control: the student alone, with softened labels."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from distillbench.methods.base import LogUniform, Method, Need, total
from distillbench.tasks.response import Categorical, Responses


class LabelSmoothing(Method):
    """Control: the student alone, on labels a part ε of which is spread over all classes (Szegedy et al. 2016).

    The loss is (1 − ε)·CE(y, p) + ε·CE(uniform, p). A method that helps no more softens labels, and transfers nothing.
    """

    teacher: ClassVar[Literal["none"]] = "none"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})
    control: ClassVar[bool] = True
    zero_at_agreement: ClassVar[bool] = False

    weight: Annotated[float, LogUniform(0.01, 0.6)] = Field(0.1, ge=0, lt=1, description="ε, the part that is spread")
    task_weight: float = Field(1.0, ge=1, le=1, description="1 − weight is the factor on the task's objective")

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        answers = {name: response.values for name, response in student.items() if isinstance(response, Categorical)}
        return total({name: -logits.log_softmax(-1).mean() for name, logits in answers.items()})

    def student_loss(self, task_loss: Tensor, distillation: Tensor) -> Tensor:
        return (1 - self.weight) * task_loss + self.weight * distillation
