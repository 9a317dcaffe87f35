"""Files of weights (safetensors): where they lie, what configuration they are of, and their digest."""

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
    """Write all parameters and buffers of a model, whole or not at all.

    Args:
        path: the file.
        model: on any device.
        of: the hash of the configuration that decides the weights.
        metadata: further texts to keep in the file.
    """
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    texts = {**(metadata or {}), "of": of}
    write_atomically(path, save(state, texts | {CHECKSUM: _checksum(state, texts)}))


def load_weights(path: Path, model: nn.Module, of: str) -> dict[str, str]:
    """Load a file of weights into a model of the same architecture.

    Args:
        path: the file.
        model: gets the weights.
        of: the hash of the configuration that they must be of.

    Returns:
        The texts that ``save_weights`` was given as metadata.

    Raises:
        DamagedError: the file is missing or damaged, or of another configuration or network.
    """
    state, metadata = _read(path, of)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise DamagedError("holds the weights of another network", path) from error
    return metadata


def damage(path: Path, of: str) -> str | None:
    """Why a file cannot be used, in a line that names it; None where it is whole, or missing."""
    if not path.exists():
        return None
    try:
        _read(path, of)
    except DamagedError as error:
        return str(error)
    return None


def usable(path: Path, of: str) -> bool:
    """Whether a file exists, whole, and is of this configuration."""
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
