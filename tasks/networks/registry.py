"""Networks by name: a file here each, and what other packages register as ``distillbench.networks``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distillbench.common.registry import Registry

if TYPE_CHECKING:
    from distillbench.tasks.networks.base import Network

NETWORKS: Registry[Network] = Registry("network", "distillbench.tasks.networks", "Network")
