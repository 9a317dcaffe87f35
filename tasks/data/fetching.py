"""Downloading standard sets: only when the user asks for it, never in a run."""

from __future__ import annotations

import socket
from pathlib import Path

from distillbench.common.errors import DataError
from distillbench.tasks.data.reading import torchvision_class
from distillbench.tasks.data.sets import StandardSet, how_to_get

PATIENCE = 60.0
"""Seconds that a server may be silent; torchvision would wait for ever."""


def fetch(dataset: StandardSet, root: Path) -> None:
    """Download and unpack a set; torchvision verifies what it downloads.

    Args:
        dataset: the set.
        root: the folder to unpack it under; created where it does not exist.

    Raises:
        DataError: the set must be fetched by hand (the message says where), or the network or the disk failed.
    """
    if not dataset.fetched:
        raise DataError(f"{dataset.name!r} cannot be fetched by this command: {how_to_get(dataset, root)}")
    factory, before = torchvision_class(dataset.reader), socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for split in ("train", "test"):
            part = {"split": split} if dataset.by_split else {"train": split == "train"}
            factory(root, download=True, **part)
    except Exception as error:  # of sockets, archives, disks and torchvision itself
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{dataset.name!r} cannot be fetched from {dataset.origin} ({reason})") from error
    finally:
        socket.setdefaulttimeout(before)
