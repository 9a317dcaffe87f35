"""Processes: who one is, whether it still runs, and what memory it has."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told from later ones of its number.

    Attributes:
        host: The name of its machine.
        pid: Its number there.
        started: When it started, in seconds since 1970 by that machine's clock.
    """

    host: str
    pid: int
    started: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def ended(self) -> bool | None:
        """Whether it has ended; None where that cannot be told from here, since it is of another machine."""
        if self.host != socket.gethostname():
            return None
        try:
            process = psutil.Process(self.pid)
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return True
            # A second: how exactly a system knows when a process started.
            return abs(process.create_time() - self.started) > 1
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def this_process() -> ProcessIdentity:
    """Return the identity of this process."""
    return ProcessIdentity(socket.gethostname(), os.getpid(), psutil.Process().create_time())


def resident(pid: int) -> float:
    """Return the bytes of memory that a process has; 0 where it has ended, or its owner is somebody else."""
    try:
        return float(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0.0
