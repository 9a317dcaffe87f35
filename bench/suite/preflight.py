"""Networks that are too large for this machine, found when a suite is read: built without memory, and counted."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from distillbench.bench.machine import limits
from distillbench.bench.suite.validation import Place
from distillbench.common.errors import UserError
from distillbench.tasks.base import Role
from distillbench.tasks.networks.interfaces import ROLES

if TYPE_CHECKING:
    from distillbench.bench.suite.cells import Pair

TRAINED = 4
"""Memory for training in multiples of the weights: weights, gradients, Adam's two moments."""
LIBRARIES = 0.4e9
"""Bytes of a process that has loaded PyTorch, and nothing else."""


def check_networks(pair: Pair, place: Place) -> None:
    """Check that this machine can train the networks of a pair, without reading more than the header of an image.

    Args:
        pair: with resolved settings.
        place: names a setting, for messages.

    Raises:
        UserError: a network does not fit into memory.
        DataError: the data cannot be read.
    """
    for role in ROLES:
        where, network = place([role, "network"])
        field = network.removesuffix(".network")
        if role not in field.split("."):  # nothing sets the network itself
            where, field = "", f"tasks.{pair.task}.{role}"
        for part, size in training_bytes(pair, role).items():
            room, limit = memory(pair.device)
            if size > room:
                amount = f"about {_gigabytes(size)}" if math.isfinite(size) else "more bytes than can be counted"
                cost = f"its {part} takes {amount} to train (weights, gradients and Adam's moments)"
                raise UserError(f"{cost}, {limit}", where, field)


class _Undrawn(TorchFunctionMode):
    """Leaves out drawing initial weights: there is no memory for them, and torch would import its compiler for it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("normal_", "uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@lru_cache(maxsize=256)
def training_bytes(pair: Pair, role: Role) -> dict[str, float]:
    """The bytes that training takes, about, by part of a model; empty where that needs data or memory to know."""
    task = pair.build()
    task.__dict__["splits"] = task.outline()  # nothing is read, least of all onto the meta device
    network = pair.settings.recipe(role).network
    try:
        if network is not None and network.runs:
            return {}  # a user's code may keep what it makes on the meta device
        task.load(role)
        with torch.device("meta"), _Undrawn():
            model = task.network(role)
        parts = {"network": task.deployed(model), **task.adversaries(model)}
        return {
            name: TRAINED * sum(p.numel() * p.element_size() for p in part.parameters()) for name, part in parts.items()
        }
    except Exception as error:  # a plugin's network may need more than an outline; a run will report what is wrong
        return {"network": math.inf} if "overflow" in str(error).lower() else {}


def least_bytes(pair: Pair) -> float:
    """Return how much memory a process needs at least that trains one network of a pair on the CPU, libraries included.

    Args:
        pair: with resolved settings.
    """
    trained = max(sum(training_bytes(pair, role).values()) for role in ROLES) if pair.device == "cpu" else 0.0
    return LIBRARIES + trained


@lru_cache(maxsize=8)
def memory(device: str) -> tuple[float, str]:
    """The memory of the device that trains, in bytes, and in words.

    A machine without that GPU only plans: there it is the machine's own memory, in which networks are built.
    """
    if device != "cpu" and torch.cuda.is_available():
        with suppress(RuntimeError, AssertionError):  # there is no GPU of this number, which a run will report
            size = float(torch.cuda.get_device_properties(device).total_memory)
            return size, f"the GPU {device} has {_gigabytes(size)}"
    size, unseen = limits.memory(), "" if device == "cpu" else f" ({device} was not looked at)"
    owner = "container" if size < limits.physical_memory() else "machine"
    return size, f"this {owner} has {_gigabytes(size)}{unseen}"


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:,.0f} GB"
