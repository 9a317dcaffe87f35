"""A cache on disk of tensors that are slow to compute, for all of a user's processes; they are mapped into memory.

A cached file is found by the state of its sources, carries a checksum of its content, and may be deleted at any time.
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
"""The environment variable that names the folder of the cache."""
NOWHERE = Path(os.devnull)


def folder() -> Path:
    """Return the user's cache folder: $DISTILLBENCH_CACHE, or distillbench in the system's folder for caches.

    A user without a home folder is warned, and gets a path that cannot be a folder: nothing is cached.
    """
    if setting := os.environ.get(CACHE):
        return expanded(setting)
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        warn_once(f"data: there is no home folder to cache in, so all is read again next time (set {CACHE}=DIR)")
        caches = NOWHERE
    return caches / "distillbench"


@dataclass(frozen=True)
class CachedTensors:
    """The content of a cached file.

    Attributes:
        tensors: the tensors by name, mapped into memory.
        about: a text beside them.
        sha256: the checksum of both.
    """

    tensors: Mapping[str, Tensor]
    about: str
    sha256: str


def find(path: Path, state: str) -> CachedTensors | None:
    """Return what is cached at a path, None where nothing is, or something damaged, of which the user is warned.

    Args:
        path: the cached file.
        state: the state of the sources for which it was written.
    """
    if not os.path.exists(path):  # noqa: PTH110 -- Path's raises where a folder may not be entered
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a dictionary
        header = header_of(path)
        cached = CachedTensors(tensors, header["about"], header["sha256"])
        if header["state"] == state and cached.sha256 == checksum(cached.about, tensors):
            return cached
        reason = "its content does not match its checksum"
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = str(error)
    warn_once(f"data: {path} is damaged ({reason}); it is made again")
    return None


def header_of(path: Path) -> dict[str, str]:
    """Return state, about and sha256 of a cached file, unchecked; empty where there is no such file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("kept", "{}"))
            return {str(key): str(value) for key, value in header.items()}
    except (OSError, SafetensorError, ValueError):
        return {}


def write(path: Path, state: str, tensors: Mapping[str, Tensor], about: str = "") -> None:
    """Write a cached file, whole or not at all.

    Args:
        path: the file.
        state: the state of the sources.
        tensors: the tensors by name.
        about: a text beside them.

    Raises:
        OSError: the file cannot be written.
    """
    header = {"state": state, "about": about, "sha256": checksum(about, tensors)}
    write_atomically(path, save(dict(tensors), {"kept": json.dumps(header)}))  # of several keys the order would vary


def write_if_possible(path: Path, state: str, tensors: Mapping[str, Tensor], about: str = "") -> None:
    """Write a cached file; where that is not possible, warn the user that it will be made again each time."""
    try:
        write(path, state, tensors, about)
    except OSError as error:
        if path.is_relative_to(NOWHERE):  # the user has been warned
            return
        remedy = f" (set {CACHE}=DIR)" if path.is_relative_to(folder()) else ""
        warn_once(f"data: {path.parent} cannot be written ({error.strerror}): all is read again next time{remedy}")


def checksum(about: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a text, and of the names, types, shapes and content of tensors."""
    total = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        total.update(f"\0{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        total.update(tensor.numpy().data)
    return total.hexdigest()
