"""What a training needs to go on after it was interrupted, as it would have gone on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

State = dict[str, Any]
"""Tensors, numbers and texts in tables and lists: what ``torch.load`` reads without running code."""


class Checkpoint(Protocol):
    """Keeps the state of a training, so that a later process can take it up."""

    def load(self) -> State | None:
        """Return the state that was kept; None where there is none, or it is of another training."""
        ...

    def due(self) -> bool:
        """Whether the state is to be kept now: it may take a moment, and is not worth it at each step."""
        ...

    def keep(self, state: State) -> None:
        """Keep a state in place of the one before."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """What changes in training besides the weights, as ``torch.nn.Module`` and ``torch.optim.Optimizer`` have it."""

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any: ...


def state_of(value: object) -> State | None:
    """Return the state of something; None where it has none."""
    return value.state_dict() if isinstance(value, Stateful) else None


def restore(value: object, state: State | None) -> None:
    """Give something the state that ``state_of`` returned for its like."""
    if state is not None and isinstance(value, Stateful):
        value.load_state_dict(state)
