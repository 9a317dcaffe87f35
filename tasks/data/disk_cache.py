"""What is slow to read, kept for the user's next process: tensors in a file that is mapped into memory.

A kept file is found again by what it was made of, carries a checksum of its content, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from distillbench.common.atomic import write_atomically
from distillbench.common.errors import warn_once
from distillbench.common.paths import expanded

CACHE = "DISTILLBENCH_CACHE"
"""The environment variable that says where it is kept."""
NOWHERE = Path(os.devnull)


def folder() -> Path:
    """Of this user, for all results folders: $DISTILLBENCH_CACHE, or distillbench in the system's place for caches.

    For a user without a home it is no folder: nothing can be kept there, and that is told.
    """
    if own := os.environ.get(CACHE):
        return expanded(own)
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        warn_once(f"data: no home folder is known, nothing is kept: all is read again next time ({CACHE}=DIR)")
        caches = NOWHERE
    return caches / "distillbench"


@dataclass(frozen=True)
class Kept:
    """tensors: mapped into memory. about: words. sha256: of both."""

    tensors: Mapping[str, Tensor]
    about: str
    sha256: str


def find(path: Path, state: str) -> Kept | None:
    """What is kept at a path for this state of its sources. None where nothing is; what is damaged is told."""
    if not os.path.exists(path):  # noqa: PTH110 -- Path's raises where a folder may not be entered
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- it is no dictionary
        header = header_of(path)
        found = Kept(tensors, header["about"], header["sha256"])
        if header["state"] == state and found.sha256 == checksum(found.about, tensors):
            return found
        reason = "its content is not what its checksum says"
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = str(error)
    warn_once(f"data: {path} is damaged ({reason}); it is made again")
    return None


def header_of(path: Path) -> dict[str, str]:
    """state, about and sha256, unchecked, without a look at the tensors; empty where there is no such file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("kept", "{}"))
            return {str(key): str(value) for key, value in header.items()}
    except (OSError, SafetensorError, ValueError):
        return {}


def write(path: Path, state: str, tensors: Mapping[str, Tensor], about: str = "") -> None:
    """Keep it, whole or not at all. Raises OSError."""
    header = {"state": state, "about": about, "sha256": checksum(about, tensors)}
    write_atomically(path, save(dict(tensors), {"kept": json.dumps(header)}))  # of several keys the order would vary


def write_if_possible(path: Path, state: str, tensors: Mapping[str, Tensor], about: str = "") -> None:
    """Likewise; where it cannot be written, that is told: it will be made again."""
    try:
        write(path, state, tensors, about)
    except OSError as error:
        if path.is_relative_to(NOWHERE):  # which is told already
            return
        elsewhere = f" ({CACHE}=DIR)" if path.is_relative_to(folder()) else ""
        warn_once(f"data: {path.parent} cannot be written ({error.strerror}): all is read again next time{elsewhere}")


def checksum(about: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of words, and of the names, types, shapes and content of tensors."""
    total = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        total.update(f"\0{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        total.update(tensor.numpy().data)
    return total.hexdigest()
