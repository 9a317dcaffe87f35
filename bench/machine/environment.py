"""The environment in which a result was made: machine, libraries, revision."""

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
"""Libraries that are optional."""


@cache
def environment() -> dict[str, Any]:
    """Machine, system and library versions, as records keep them.

    ``cores`` are those that the process may run on, ``quota`` their time in cores where it is limited. Nothing in it
    names a user, a host or a folder, or changes by itself.
    """
    import torch

    facts: dict[str, Any] = {
        "cpu": processor.model_name(),
        "processor": processor.about(),
        "cores": limits.affinity(),
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "libraries": {name: number for name in LIBRARIES + EXTRAS if (number := _version(name))},
    }
    if (quota := limits.quota()) is not None:
        facts["quota"] = quota
    if (governor := governor_of()) is not None:
        facts["governor"] = governor
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
        facts["cuda"] = torch.version.cuda
    return facts


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def revision() -> str:
    """The commit of this code, with '-dirty' where it was changed; outside of git the installed version."""
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
