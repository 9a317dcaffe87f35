"""What networks answered, kept as long as they stay as they are.

One teacher stands beside all students of a group, one judge sees the same real images for all of them, and both splits
are held to the same generated ones.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import chain
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

T = TypeVar("T")


class Answers:
    """Of a network whose tensors were written to or replaced, whose hooks are others, or that dies, they are forgotten.

    An answer must not refer to its network, which would then never die.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[nn.Module, tuple[Hashable, dict[Hashable, Any]]] = WeakKeyDictionary()

    def __call__(self, model: nn.Module, question: Hashable, ask: Callable[[], T]) -> T:
        """The answer to a question, which must name all that it depends on besides the network."""
        state = _state(model)
        if model not in self._known or self._known[model][0] != state:
            self._known[model] = state, {}
        known = self._known[model][1]
        if question not in known:
            known[question] = ask()
        answer: T = known[question]
        return answer


def _state(model: nn.Module) -> Hashable:
    """Another one after each step of training, each load of weights: torch counts what is written to a tensor."""
    tensors = chain(model.parameters(), model.buffers())
    hooks = (each for part in model.modules() for each in (*part._forward_pre_hooks, *part._forward_hooks))
    return model.training, tuple((id(tensor), tensor._version) for tensor in tensors), tuple(hooks)
