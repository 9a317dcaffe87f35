"""Weights of models on disk (safetensors) and their digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from tasks.data.atomic import write_atomically


def save_weights(path: Path, model: nn.Module, metadata: dict[str, str] | None = None) -> None:
    """All parameters and buffers, atomically."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    write_atomically(path, save(state, metadata))


def load_weights(path: Path, model: nn.Module) -> dict[str, str]:
    """Load into a model of the same architecture; returns the metadata. Raises ValueError for another file."""
    try:
        with safe_open(path, framework="pt") as file:
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            return dict(file.metadata() or {})
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path}: not the weights of this network ({error})") from error


def digest(model: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all parameters and buffers."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        total.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return total.hexdigest()
