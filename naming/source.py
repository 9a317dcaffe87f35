"""Where the source of a module lies, without importing it."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path


def source_file(module: str) -> Path | None:
    """The file of a module; None for a name that is none (``from module import name``)."""
    spec = _spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _spec(module: str) -> ModuleSpec | None:
    """find_spec imports what is above a module, also where that is no package, and so nothing can be in it."""
    parent = module.rpartition(".")[0]
    if parent and ((above := _spec(parent)) is None or above.submodule_search_locations is None):
        return None
    return find_spec(module)
