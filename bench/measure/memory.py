"""How much memory a network takes when it is ready, and while it runs."""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PASSES = 3
LONGEST = 300.0
"""Seconds after which the measuring process is given up."""

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of mallopt, from glibc's malloc.h."""

Make = Callable[[], Callable[[], object]]


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, where the C library is glibc, as allocators for servers do.

    By default glibc returns large blocks at once, and each pass takes its pages anew from the system, until the process
    happens to have freed a larger block: a pass then takes half the time, or a third. The history of a process would
    decide its times.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)


def resident_growth(make: Make) -> int | None:
    """Measure by how much the resident set of a fresh process grows at its peak in three calls.

    The process is a fork of this one, which must have no other threads at work. It makes and calls the same once
    before, so that libraries do not count, nor does what only ``make`` needs.

    Args:
        make: Returns the call.

    Returns:
        Bytes; None where the system does not report them, or the process failed.
    """
    if not hasattr(os, "fork") or not STATUS.exists():
        return None
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b""
        with suppress(BaseException):  # nothing of the parent's may run in the child, whatever happens
            answer = str(_growth(make)).encode()
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    try:
        ready = select.select([reading], [], [], LONGEST)[0]
        answer = os.read(reading, 32) if ready else b""
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return int(answer) if answer else None


def allocated_growth(make: Make, device: str) -> int:
    """Measure by how much the memory that torch has allocated on a CUDA device grows at its peak in three calls.

    Args:
        make: Returns the call.
        device: "cuda" or "cuda:N".

    Returns:
        Bytes.
    """
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
    make()()
    _return_freed_memory()
    before = _kilobytes("VmRSS")
    call = make()
    _return_freed_memory()  # what only making needs, where this process keeps what it frees
    REFERENCES.write_text("5")  # sets the peak to the present value (proc(5))
    for _ in range(PASSES):
        call()
    return 1024 * max(0, _kilobytes("VmHWM") - before)


def _return_freed_memory() -> None:
    gc.collect()
    with suppress(OSError, AttributeError):  # not every C library has it
        ctypes.CDLL(None).malloc_trim(0)


def _kilobytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
