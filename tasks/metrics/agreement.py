"""What frozen networks answer, computed once: all students of a group are compared with one teacher."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from weakref import WeakKeyDictionary

from torch import Tensor, nn


class Answers:
    """Kept as long as the network lives. Of a network that changes they would be wrong."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[nn.Module, dict[Hashable, Tensor]] = WeakKeyDictionary()

    def __call__(self, model: nn.Module, question: Hashable, ask: Callable[[], Tensor]) -> Tensor:
        """The answer to a question, which must name all that it depends on besides the network."""
        known = self._known.setdefault(model, {})
        if question not in known:
            known[question] = ask()
        return known[question]
