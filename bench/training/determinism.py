"""A process in which equal inputs give equal bits, and the operations for which it cannot."""

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
    """Let a process compute on one thread, with deterministic algorithms.

    Args:
        device: the device on which the process computes.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    _fill_memory(False)  # the project reads no memory that it has not written, and filling costs a pass an allocation
    settle_device(device)


def settle_device(device: str) -> None:
    """Make a GPU the current device, which is seeded and recorded, with float32 in full precision, not TF32."""
    if (place := torch.device(device)).type != "cuda":
        return
    if place.index is not None:
        torch.cuda.set_device(place)
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]


def _fill_memory(fill: bool) -> None:
    setattr(torch.utils.deterministic, FILL, fill)  # the module makes the attribute as it is imported: mypy sees none


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread for a while, in a user's process, whose number of threads is restored.

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
    """Settle a user's process for a while and restore its settings afterwards. Imports torch's compiler."""
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
    """Yield a set that fills with the operations run meanwhile of which torch has no deterministic form."""
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
