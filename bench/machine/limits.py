"""How much of its machine this process may use: its cores, its share of their time, its memory (cgroups(7))."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
"""The folder that holds proc and sys."""


def text_of(path: Path) -> str | None:
    """The text of a file of the system; None where it cannot be read."""
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return None


def affinity() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(root: Path = ROOT) -> float | None:
    """The CPU time that the process's group may use, in cores, as a container limits it; None without a limit."""
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


def cores(root: Path = ROOT) -> int:
    """The number of single-threaded processes that can work at once; a part of a core counts as one."""
    limit = quota(root)
    return affinity() if limit is None else max(1, min(affinity(), math.ceil(limit)))


def memory(root: Path = ROOT) -> float:
    """The bytes of memory that this process may use: the machine's, or the limit of its group; infinite if unknown."""
    names = ("memory.max", "memory.limit_in_bytes")
    texts = [text_of(folder / name) for folder in group_folders("memory", root) for name in names]
    return min([physical_memory(), *(float(text) for text in texts if text and text.isdecimal())])


def group_folders(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """The folders of the process's control group and of all groups above it, whose limits hold as well.

    Args:
        controller: "cpu" or "memory"; versions 1 and 2 of control groups are looked at.
        root: the folder that holds proc and sys.

    Yields:
        Folders that need not exist: inside a container the group's own may be the first that does.
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
    """The bytes of memory of the machine; infinite where it does not report them."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return math.inf
