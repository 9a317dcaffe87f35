"""What tests of every cell go through, and the tasks of the smoke suite with transfer sets."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from distillbench.bench.suite.registry import METHODS
from distillbench.bench.training.loop import initial
from distillbench.methods.base import Method, Teacher
from distillbench.tasks.base import Task, read_only

TASK_NAMES = ("classification", "denoising", "gan", "style_transfer", "super_resolution", "vae")
METHOD_NAMES = ("temperature", "random_teacher", "self_teacher", "logistic", "cross_model")
SMALL = ("super_resolution.patch=8", "denoising.patch=16", "style_transfer.patch=32")
"""Settings for small patches."""
TRANSFER: Mapping[str, tuple[str, ...]] = {
    "classification": ("transfer=200", "transfer_batch=48"),
    "denoising": ("originals=3", "transfer='rest'", "transfer_batch=3"),
    "super_resolution": ("originals=3", "transfer='rest'", "teacher_data='all'"),
    "vae": ("images=300", "transfer=500"),
}
"""Settings that give a task a transfer set, of each task that can have one."""


def overrides(transfer: bool) -> list[str]:
    """Settings for ``load("smoke", …)``: small patches, and transfer sets where they are asked for."""
    sets = [f"{name}.{setting}" for name, settings in TRANSFER.items() for setting in settings] if transfer else []
    return [f"tasks.{setting}" for setting in (*SMALL, *sets)]


def teachers_of(task: Task) -> dict[Teacher, nn.Module]:
    """Untrained networks in the place of the teachers that are trained before the students."""
    self_teacher = initial(task, "student", 7)
    return {"trained": read_only(initial(task, "teacher", 0)), "self": read_only(self_teacher)}


def methods_of(task: Task) -> dict[str, Method]:
    """Every method that a task defines, with its defaults."""
    methods = {name: METHODS.get(name)() for name in METHODS.names()}
    return {name: method for name, method in methods.items() if "labels" not in method.needs or task.truth == "labels"}
