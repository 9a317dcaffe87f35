"""How much of its machine this process may use: its cores, its share of their time, its memory (cgroups(7))."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

HERE = Path("/")
"""Where proc and sys are."""


def text_of(path: Path) -> str | None:
    """What a file of the system says; None where it is not there."""
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return None


def affinity() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(root: Path = HERE) -> float | None:
    """So many cores' time the process's group is given, as a container's; None where that is not limited."""
    shares = [
        share
        for folder in group_folders("cpu", root)
        for share in (
            _share((text_of(folder / "cpu.max") or "").split()),
            _share([text_of(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]),
        )
        if share is not None
    ]
    return min(shares, default=None)


def cores(root: Path = HERE) -> int:
    """Processes of one thread that can work at once. Of a part of a core one more: what it is given, it can use."""
    share = quota(root)
    return affinity() if share is None else max(1, min(affinity(), math.ceil(share)))


def memory(root: Path = HERE) -> float:
    """Bytes of this machine, or of them what the process's group may have; infinite where nothing says."""
    names = ("memory.max", "memory.limit_in_bytes")
    texts = [text_of(folder / name) for folder in group_folders("memory", root) for name in names]
    return min([physical_memory(), *(float(text) for text in texts if text and text.isdecimal())])


def group_folders(controller: str, root: Path = HERE) -> Iterator[Path]:
    """Folders of the process's control group and of all above it, whose limits hold as well: of version 2 and 1.

    Inside a container the group's own folder may be the first that is there.
    """
    for line in (text_of(root / "proc/self/cgroup") or f"0::/\n1:{controller}:/").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        mounts = {controller, controllers} if controller in controllers.split(",") else set[str]()
        steps = [step for step in PurePosixPath(path).parts if step not in ("/", "..")]
        for mount in sorted(mounts if controllers else {"", "unified"}):
            for depth in range(len(steps) + 1):
                yield Path(root, "sys/fs/cgroup", mount, *steps[:depth])


def _share(words: list[str]) -> float | None:
    """Quota over period; None where there is no limit ('max', -1)."""
    if len(words) != 2 or not all(word.isdecimal() and int(word) for word in words):
        return None
    return int(words[0]) / int(words[1])


def physical_memory() -> float:
    """Bytes of the machine; infinite where it does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return math.inf
