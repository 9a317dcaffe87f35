"""The place of the source of a module, found without importing it."""

from __future__ import annotations

import sysconfig
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path


def source_file(module: str) -> Path | None:
    """The file of a module; None for a name that is not a module (``from module import name``)."""
    spec = _spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@cache
def local_root(module: str) -> Path | None:
    """The folder of a module, or of its top-level package; None for one that is installed, or missing."""
    try:
        spec = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    root = path.parent.parent if path.name == "__init__.py" else path.parent
    installed = {Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib")}
    return None if any(folder in (root, *root.parents) for folder in installed) else root


def _spec(module: str) -> ModuleSpec | None:
    """The specification of a module; find_spec alone would also import parents that are not packages."""
    parent = module.rpartition(".")[0]
    if parent and ((above := _spec(parent)) is None or above.submodule_search_locations is None):
        return None
    return find_spec(module)
