"""Getting a standard set, where a program can: asked for, and never by a run."""

from __future__ import annotations

import socket
from pathlib import Path

from distillbench.common.errors import DataError
from distillbench.tasks.data.reading import torchvision_class
from distillbench.tasks.data.sets import StandardSet, how_to_get

PATIENCE = 60.0
"""Seconds that a server may be silent for; torchvision would wait for ever."""


def fetch(its: StandardSet, root: Path) -> None:
    """Download and unpack it under a root, which is made; torchvision verifies what it downloads.

    Raises DataError for a set that no program gets, with where it is to be had, and where the network or the disk fail.
    """
    if not its.fetched:
        raise DataError(f"{its.name!r} is not fetched by program: {how_to_get(its, root)}")
    made, before = torchvision_class(its.reader), socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for split in ("train", "test"):
            which = {"split": split} if its.by_split else {"train": split == "train"}
            made(root, download=True, **which)
    except Exception as error:  # of sockets, archives, disks and torchvision itself
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{its.name!r} cannot be fetched from {its.origin} ({reason})") from error
    finally:
        socket.setdefaulttimeout(before)
