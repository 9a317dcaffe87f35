"""What frozen networks answer, computed once: one teacher beside all students of a group, one judge of real images."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

T = TypeVar("T")


class Answers:
    """Kept as long as the network lives. Of a network that changes they would be wrong."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[nn.Module, dict[Hashable, Any]] = WeakKeyDictionary()

    def __call__(self, model: nn.Module, question: Hashable, ask: Callable[[], T]) -> T:
        """The answer to a question, which must name all that it depends on besides the network."""
        known = self._known.setdefault(model, {})
        if question not in known:
            known[question] = ask()
        answer: T = known[question]
        return answer
