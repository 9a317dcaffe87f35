"""Weights of models on disk (safetensors), what they are of, and their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError

CHECKSUM = "sha256"


class DamagedError(UserError):
    """A file of weights that cannot be used; ``where`` is the file."""


def teacher_path(cache: Path, config_hash: str) -> Path:
    """Where a cache keeps a teacher's weights: under the hash of its configuration."""
    return cache / "teachers" / f"{config_hash}.safetensors"


def extractor_path(cache: Path, config_hash: str) -> Path:
    """Where a cache keeps a feature extractor's weights: under the hash of its configuration."""
    return cache / "feature_extractors" / f"{config_hash}.safetensors"


def save_weights(path: Path, model: nn.Module, of: str, metadata: Mapping[str, str] | None = None) -> None:
    """All parameters and buffers, atomically. of: the hash of what decides them."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    known = {**(metadata or {}), "of": of}
    write_atomically(path, save(state, known | {CHECKSUM: _checksum(state, known)}))


def load_weights(path: Path, model: nn.Module, of: str) -> dict[str, str]:
    """Load into a model of the same architecture; returns the metadata. Raises DamagedError for another file."""
    state, metadata = _read(path, of)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise DamagedError("holds the weights of another network", path) from error
    return metadata


def damage(path: Path, of: str) -> str | None:
    """Why a file cannot be used, in a line that names it; None where it is whole, or not there."""
    if not path.exists():
        return None
    try:
        _read(path, of)
    except DamagedError as error:
        return str(error)
    return None


def usable(path: Path, of: str) -> bool:
    """Whether the file is there, whole, and of what it should be."""
    return path.exists() and damage(path, of) is None


def _read(path: Path, of: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError, RuntimeError) as error:
        raise DamagedError(f"cannot be read as weights ({error})", path) from error
    checksum = metadata.pop(CHECKSUM, None)
    if checksum != _checksum(state, metadata):
        raise DamagedError("the content does not match its checksum", path)
    if metadata.pop("of", None) != of:
        raise DamagedError("holds the weights of another configuration", path)
    return state, metadata


def _checksum(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    return hashlib.sha256(f"{json.dumps(dict(metadata), sort_keys=True)}{_digest(state)}".encode()).hexdigest()


def digest(model: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all parameters and buffers."""
    return _digest(model.state_dict())


def _digest(state: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        value = tensor.detach().cpu().contiguous()
        total.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return total.hexdigest()
