"""distillbench: a benchmark of knowledge distillation.

>>> from distillbench import run, load_records
>>> frame = run("quick", out="runs/quick")  # one row a run: method × teacher-student pair × seed
>>> frame = load_records("runs/quick")

What a method, a task or a network of your own needs is here as well (docs/writing-a-method.md):

>>> from distillbench import Method, Responses, total

Nothing heavy is imported before it is needed: ``import distillbench`` imports neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from distillbench.bench.api import load_records, load_trials, run
from distillbench.common.errors import FailedCellsError, UserError

if TYPE_CHECKING:
    from distillbench.methods.base import Choice, LogUniform, Method, total
    from distillbench.tasks.base import Task
    from distillbench.tasks.networks.base import Network
    from distillbench.tasks.response import Responses

__all__ = [
    "Choice",
    "FailedCellsError",
    "LogUniform",
    "Method",
    "Network",
    "Responses",
    "Task",
    "UserError",
    "load_records",
    "load_trials",
    "run",
    "total",
]

_PLUGIN_MODULES = {
    "Choice": "methods.base",
    "LogUniform": "methods.base",
    "Method": "methods.base",
    "total": "methods.base",
    "Network": "tasks.networks.base",
    "Responses": "tasks.response",
    "Task": "tasks.base",
}


def __getattr__(name: str) -> Any:
    """Look up the classes of plugins, which import torch, only when they are used."""
    if name not in _PLUGIN_MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLUGIN_MODULES[name]}"), name)
