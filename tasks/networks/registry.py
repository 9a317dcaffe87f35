"""The registry of networks: one file each in this package, and those that packages register."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distillbench.common.registry import Registry

if TYPE_CHECKING:
    from distillbench.tasks.networks.base import Network

NETWORKS: Registry[Network] = Registry("network", "distillbench.tasks.networks", "Network")
