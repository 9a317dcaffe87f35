"""A cache of what frozen networks put out, so that an evaluation need not run them again.

One teacher stands beside all students of a group, one feature extractor sees the same real images for all of them, and
a generator makes the same images for both splits.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import chain
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

T = TypeVar("T")


class OutputCache:
    """Values computed with a network, by network and key, valid as long as the network would give them again.

    They are dropped when a tensor of the network is written to or replaced, when its mode or its hooks change, and when
    it dies. So a student may be evaluated in the middle of its training, or with an exported file in its place.
    """

    def __init__(self) -> None:
        self._entries: WeakKeyDictionary[nn.Module, tuple[Hashable, dict[Hashable, Any]]] = WeakKeyDictionary()

    def __call__(self, network: nn.Module, key: Hashable, compute: Callable[[], T]) -> T:
        """The cached value, computed at the first call.

        Args:
            network: The network that ``compute`` runs.
            key: Everything else that the value depends on; other networks as weak references.
            compute: Makes the value, which must not refer to the network: neither would ever be freed.
        """
        state = _state(network)
        if network not in self._entries or self._entries[network][0] != state:
            self._entries[network] = state, {}
        values = self._entries[network][1]
        if key not in values:
            values[key] = compute()
        value: T = values[key]
        return value


def _state(network: nn.Module) -> Hashable:
    """Equal as long as the network computes the same: torch counts how often a tensor was written to."""
    tensors = chain(network.parameters(), network.buffers())
    hooks = (hook for part in network.modules() for hook in (*part._forward_pre_hooks, *part._forward_hooks))
    return network.training, tuple((id(tensor), tensor._version) for tensor in tensors), tuple(hooks)
