"""A method of another package: one file, registered by entry point."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity

from distillbench import Method, Responses, total


class Cosine(Method):
    """Point the student's outputs where the teacher's point."""

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        def angle(name: str) -> Tensor:
            return (1 - cosine_similarity(student[name].values.flatten(1), teacher[name].values.flatten(1))).mean()

        return total({name: angle(name) for name in teacher})
