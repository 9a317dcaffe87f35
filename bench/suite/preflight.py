"""Networks that no machine can hold, found when a suite is read: they are built without memory and counted."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from distillbench.bench.machine import limits
from distillbench.bench.store.terms import ROLES
from distillbench.bench.suite.validation import Place
from distillbench.common.errors import UserError
from distillbench.tasks.base import Role
from distillbench.tasks.networks.base import Network

if TYPE_CHECKING:
    from distillbench.bench.suite.cells import Pair

TRAINED = 4
"""Times the weights' bytes that training takes: weights, gradients, Adam's two moments."""


def check_networks(pair: Pair, place: Place) -> None:
    """Raise UserError for a teacher or student that this machine cannot train, DataError for data that cannot be read.

    Reads no data but a header. place: how a setting is named in messages, with its file.
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
    """Initial weights are not drawn: there is no memory for them, and torch would import its compiler to see that."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("normal_", "uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@lru_cache(maxsize=256)
def training_bytes(pair: Pair, role: Role) -> dict[str, float]:
    """About what each part of a model takes to train; nothing where that cannot be told without data or memory."""
    task = pair.build()
    task.__dict__["splits"] = task.outline()  # nothing is read, least of all onto the meta device
    network = getattr(pair.settings.recipe(role), "network", None)
    try:
        if isinstance(network, Network) and network.runs:
            return {}  # a user's code may keep what it makes on the meta device
        task.load(role)
        with torch.device("meta"), _Undrawn():
            parts = task.parts(task.network(role))
        names = {"model": "network"}
        return {
            names.get(name, name): TRAINED * sum(p.numel() * p.element_size() for p in part.parameters())
            for name, part in parts.items()
        }
    except Exception as error:  # a plugin's network may need more than an outline; what is wrong, a run will say
        return {"network": math.inf} if "overflow" in str(error).lower() else {}


@lru_cache(maxsize=8)
def memory(device: str) -> tuple[float, str]:
    """Bytes of what it is trained on, the machine or its GPU, and that in words.

    A machine without the GPU only plans: what it cannot build itself it cannot plan either.
    """
    if device != "cpu" and torch.cuda.is_available():
        with suppress(RuntimeError, AssertionError):  # there is no GPU of this number, as a run will say
            size = float(torch.cuda.get_device_properties(device).total_memory)
            return size, f"the GPU {device} has {_gigabytes(size)}"
    size, unseen = limits.memory(), "" if device == "cpu" else f" ({device} was not looked at)"
    owner = "container" if size < limits.physical_memory() else "machine"
    return size, f"this {owner} has {_gigabytes(size)}{unseen}"


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:,.0f} GB"
