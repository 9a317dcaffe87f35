"""A process in which equal inputs give equal bits, and what it cannot hold to that."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.deterministic

FILL = "fill_uninitialized_memory"
UNDETERMINED = re.compile(r"(\S+) does not have a deterministic implementation")


def settle_process(device: str = "cpu") -> None:
    """One thread, one algorithm. device: where the process computes."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    _fill_memory(False)  # nothing here reads what nobody wrote, and filling costs a pass an allocation
    settle_device(device)


def settle_device(device: str) -> None:
    """A GPU as the current one, which is seeded and whose name is recorded; its float32 is float32, not TF32."""
    if (place := torch.device(device)).type != "cuda":
        return
    if place.index is not None:
        torch.cuda.set_device(place)
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]


def _fill_memory(fill: bool) -> None:
    setattr(torch.utils.deterministic, FILL, fill)  # the module makes the attribute as it is imported: mypy sees none


@contextmanager
def one_thread() -> Iterator[None]:
    """In the process of a user, which gets its threads back.

    On a busy machine the threads of one small network wait for each other ten times as long as one thread takes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def settled() -> Iterator[None]:
    """The process of a user settled for a while; it gets its own settings back. Imports torch's compiler."""
    flushed = bool((torch.full((1,), 1e-40) * 1.0 == 0).all())
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filled: bool = getattr(torch.utils.deterministic, FILL)
    with one_thread():
        settle_process()
        try:
            yield
        finally:
            torch.set_flush_denormal(flushed)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            _fill_memory(filled)


@contextmanager
def undetermined() -> Iterator[set[str]]:
    """Operations that torch has no deterministic form of here, as far as any runs meanwhile."""
    names: set[str] = set()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Warning | str, *details: Any, **more: Any) -> None:
            if (match := UNDETERMINED.match(str(message))) is not None:
                names.add(match[1])
            else:
                show(message, *details, **more)

        warnings.showwarning = note
        warnings.filterwarnings("always", UNDETERMINED.pattern)
        yield names
