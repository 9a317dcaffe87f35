"""A method that fails, to see that nothing else does."""

from __future__ import annotations

from torch import Tensor

from distillbench import Method, Responses


class Explosive(Method):
    """Raise in every step."""

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        raise RuntimeError("boom")
