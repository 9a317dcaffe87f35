"""The load of a machine while something is timed on it, as far as the system reports it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distillbench.bench.machine.limits import ROOT, group_folders, text_of

BUSY = 0.1
"""Cores that others may keep busy before a machine counts as loaded."""


@dataclass(frozen=True)
class Load:
    """What a machine does beside this process; None stands for what cannot be read.

    Attributes:
        cores: all of the machine's.
        busy: cores that other processes kept busy in a short observation.
        average: processes that ran or waited, over the last minute.
        throttled: how often the machine's processors, or this process's group, have been throttled so far.
        governor: of the CPU's frequency.
    """

    cores: int
    busy: float | None = None
    average: float | None = None
    throttled: int | None = None
    governor: str | None = None

    @property
    def loaded(self) -> bool:
        """Whether other processes disturb: as observed, or by the average, which still counts what has ended."""
        return (self.busy if self.busy is not None else self.average or 0.0) > BUSY

    def notes(self, after: Load | None = None) -> list[str]:
        """What a reader of the times must know, one line each. after: the load when the timing was over."""
        notes = []
        if self.loaded:
            busy = "" if self.busy is None else f"others keep {self.busy:.1f} of {self.cores} cores busy"
            average = "" if self.average is None else f"load average {self.average:.1f}"
            notes.append(f"loaded: {', '.join(filter(None, (busy, average)))}")
        if after is not None and None not in (self.throttled, after.throttled) and after.throttled != self.throttled:
            notes.append("throttled: the processor was slowed down, or its share of time used up, meanwhile")
        if self.governor not in (None, "performance"):
            notes.append(f"frequency governor: {self.governor}")
        return notes


def look(root: Path = ROOT, seconds: float = 0.5, sleep: Callable[[float], None] = time.sleep) -> Load:
    """Observe the machine for some seconds, in which this process does nothing.

    Args:
        root: the folder that holds proc and sys.
        seconds: how long.
        sleep: waits so many seconds.
    """
    before = _busy_seconds(root)
    sleep(seconds)
    after = _busy_seconds(root)
    return Load(
        cores=os.cpu_count() or 1,  # all of the machine's, as in proc/stat
        busy=None if before is None or after is None else max(0.0, after - before) / seconds,
        average=_average(root),
        throttled=_throttled(root),
        governor=governor(root),
    )


def governor(root: Path = ROOT) -> str | None:
    """The governor of the CPU's frequency; None where the system does not report it."""
    return text_of(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def _busy_seconds(root: Path) -> float | None:
    """Busy seconds of all cores since the start: user, nice, system, interrupts, stolen by a hypervisor (proc(5))."""
    words = (text_of(root / "proc/stat") or "").partition("\n")[0].split()
    if words[:1] != ["cpu"]:
        return None
    user, nice, system, _idle, _waiting, *interrupts = map(int, words[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def _average(root: Path) -> float | None:
    text = text_of(root / "proc/loadavg")
    try:
        return float(text.split()[0]) if text else os.getloadavg()[0]
    except (OSError, ValueError):
        return None


def _throttled(root: Path) -> int | None:
    """How often the cores were throttled, where the hardware counts it, and the group whose time is limited."""
    counts = [
        int(text)
        for path in root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
        if (text := text_of(path)) and text.isdecimal()
    ]
    for folder in group_folders("cpu", root):
        lines = (text_of(folder / "cpu.stat") or "").splitlines()
        counts += [int(line.split()[1]) for line in lines if line.startswith("nr_throttled ")]
    return sum(counts) if counts else None
