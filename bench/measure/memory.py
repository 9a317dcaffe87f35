"""How much memory it takes to make a network ready and to run it."""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STATUS = Path("/proc/self/status")
PASSES = 3
LONGEST = 300.0
"""Seconds after which the process that measures is given up."""

Make = Callable[[], Callable[[], object]]


def resident_growth(make: Make) -> int | None:
    """Bytes by which the resident set of a fresh process grows at most while ``make`` and three of its calls run.

    The process is a fork of this one, which must have no other threads at work; what was loaded before does not count.
    None where the system does not tell, or the process failed.
    """
    if not hasattr(os, "fork") or not STATUS.exists():
        return None
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        found = b""
        with suppress(BaseException):  # nothing of the parent's may run here, whatever happens
            found = str(_growth(make)).encode()
        os.write(writing, found)
        os._exit(0)
    os.close(writing)
    try:
        ready = select.select([reading], [], [], LONGEST)[0]
        said = os.read(reading, 32) if ready else b""
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return int(said) if said else None


def allocated_growth(make: Make, device: str) -> int:
    """Bytes by which what torch has allocated on a CUDA device grows at most, likewise."""
    import torch

    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call = make()
    for _ in range(PASSES):
        call()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device)) - before


def _growth(make: Make) -> int:
    """A forked process begins with a peak that is what it has."""
    with suppress(OSError, AttributeError):  # not every C library has it
        ctypes.CDLL(None).malloc_trim(0)
    before = _kilobytes("VmRSS")
    call = make()
    for _ in range(PASSES):
        call()
    return 1024 * max(0, _kilobytes("VmHWM") - before)


def _kilobytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
