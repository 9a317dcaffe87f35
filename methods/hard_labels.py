"""Control: the teacher's answers as if they were labels."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from distillbench.methods.base import Method, Need, total
from distillbench.tasks.response import Categorical, Responses


class HardLabels(Method):
    """Control: cross-entropy towards the class that the teacher holds most likely (pseudo-labels, Lee 2013).

    A method that helps no more uses the teacher as an annotator; what it knows beyond the top class is not used.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})
    control: ClassVar[bool] = True
    zero_at_agreement: ClassVar[bool] = False

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        answers = {name: response.values for name, response in teacher.items() if isinstance(response, Categorical)}
        return total({name: _cross_entropy(student[name].values, logits) for name, logits in answers.items()})


def _cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Towards the teacher's top class: logits, (..., classes) each -> a scalar."""
    return F.cross_entropy(student.flatten(0, -2), teacher.argmax(-1).flatten())
