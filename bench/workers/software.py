"""What a node must have as the driver has it, so that equal jobs give equal records."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

import distillbench

PACKAGE = Path(distillbench.__file__).parent


@cache
def software() -> dict[str, str]:
    """Return what must be equal on all nodes."""
    return {
        "Python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "distillbench's code": package_digest(),
    }


def difference(there: dict[str, str], here: dict[str, str]) -> str:
    """Say in what a node differs, as 'has torch 2.1, and the driver 2.2'; '' where it does not."""
    differing = (what for what in here if there[what] != here[what])
    return next((f"has {what} {there[what]}, and the driver {here[what]}" for what in differing), "")


def package_digest(root: Path = PACKAGE) -> str:
    """Return a digest of the names and contents of all modules and suites of this project."""
    total = hashlib.sha256()
    files = [Path(folder, name) for folder, _, names in os.walk(root, followlinks=True) for name in names]
    for path in sorted(path for path in files if path.suffix in (".py", ".toml")):
        total.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()[:12]
