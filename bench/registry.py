"""What a suite may name: methods, tasks, networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from naming.registry import Registry
from tasks.networks.named import NETWORKS as NETWORKS

if TYPE_CHECKING:
    from methods.base import Method
    from tasks.base import Task

METHODS: Registry[Method] = Registry("method", "methods", "Method")
TASKS: Registry[Task] = Registry("task", "tasks", "Task")
