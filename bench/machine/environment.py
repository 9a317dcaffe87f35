"""Where and by what a figure was made."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from distillbench.bench.machine import limits, processor
from distillbench.bench.machine.load import governor as governor_of

LIBRARIES = ("torch", "numpy", "torchmetrics", "scikit-learn", "scikit-image", "onnxruntime", "torchvision")
EXTRAS = ("timm",)
"""Libraries that need not be there."""


@cache
def environment() -> dict[str, Any]:
    """Machine, system, library versions. cores: those it may run on; quota: of their time, where that is limited.

    Nothing that names a user, a host or a folder, or that changes by itself.
    """
    import torch

    found: dict[str, Any] = {
        "cpu": processor.model_name(),
        "processor": processor.about(),
        "cores": limits.affinity(),
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "libraries": {name: its for name in LIBRARIES + EXTRAS if (its := _version(name))},
    }
    if (share := limits.quota()) is not None:
        found["quota"] = share
    if (governor := governor_of()) is not None:
        found["governor"] = governor
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def revision() -> str:
    """The commit that this code is at ('-dirty' where it was changed), or the installed version outside of git."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ("git", "-C", str(root), *arguments), capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # An environment inside some other repository is not a checkout of this one.
        git("ls-files", "--error-unmatch", "bench/machine/environment.py")
        dirty = git(
            "status", "--porcelain", "--untracked-files=no", "--", "bench", "common", "distillbench", "methods", "tasks"
        )
        return git("rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.SubprocessError):
        pass
    try:
        return f"distillbench {version('distillbench')}"
    except PackageNotFoundError:
        return "unknown"
