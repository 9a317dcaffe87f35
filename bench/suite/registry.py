"""The registries of what a suite may name: methods, tasks, networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distillbench.common.registry import Registry
from distillbench.tasks.networks.registry import NETWORKS as NETWORKS

if TYPE_CHECKING:
    from distillbench.methods.base import Method
    from distillbench.tasks.base import Task

METHODS: Registry[Method] = Registry("method", "distillbench.methods", "Method")
TASKS: Registry[Task] = Registry("task", "distillbench.tasks", "Task")
