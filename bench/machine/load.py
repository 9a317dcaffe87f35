"""What else a machine does while something is timed on it, as far as it says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distillbench.bench.machine.limits import HERE, group_folders, text_of

BUSY = 0.1
"""Cores that others may keep busy before a machine counts as loaded."""


@dataclass(frozen=True)
class Load:
    """busy: cores that others kept busy in a short look. average: processes that ran or waited, over the last minute.

    throttled: how often this machine's processors, or this process's group, have been throttled so far. governor: of
    the CPU's frequency. None: cannot be read.
    """

    cores: int
    busy: float | None = None
    average: float | None = None
    throttled: int | None = None
    governor: str | None = None

    @property
    def loaded(self) -> bool:
        """By the look alone where there was one: the average still counts what has ended."""
        return (self.busy if self.busy is not None else self.average or 0.0) > BUSY

    def notes(self, after: Load | None = None) -> list[str]:
        """What a reader must know, one line each. after: as it was when the timing was over."""
        found = []
        if self.loaded:
            seen = "" if self.busy is None else f"others keep {self.busy:.1f} of {self.cores} cores busy"
            mean = "" if self.average is None else f"load average {self.average:.1f}"
            found.append(f"loaded: {', '.join(filter(None, (seen, mean)))}")
        if after is not None and None not in (self.throttled, after.throttled) and after.throttled != self.throttled:
            found.append("throttled: the processor was slowed down, or its share of time used up, meanwhile")
        if self.governor not in (None, "performance"):
            found.append(f"frequency governor: {self.governor}")
        return found


def look(root: Path = HERE, seconds: float = 0.5, sleep: Callable[[float], None] = time.sleep) -> Load:
    """Watch for so many seconds, in which this process does nothing. root: where proc and sys are."""
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


def governor(root: Path = HERE) -> str | None:
    """Of the CPU's frequency."""
    return text_of(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def _busy_seconds(root: Path) -> float | None:
    """Of all cores since the start: user, nice, system, interrupts, and what a hypervisor gave to others (proc(5))."""
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
    """The cores' count where the hardware tells, and that of the group whose share of time is limited."""
    counts = [
        int(text)
        for path in root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
        if (text := text_of(path)) and text.isdecimal()
    ]
    for folder in group_folders("cpu", root):
        lines = (text_of(folder / "cpu.stat") or "").splitlines()
        counts += [int(line.split()[1]) for line in lines if line.startswith("nr_throttled ")]
    return sum(counts) if counts else None
