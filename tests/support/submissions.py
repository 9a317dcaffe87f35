"""Submissions for tests: an honest one, and what a forger would change in it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import record_path
from distillbench.bench.store.weights import digest, save_weights
from distillbench.bench.validate import checks
from distillbench.bench.validate.claimed_suite import ClaimedSuite
from distillbench.bench.validate.submission import read
from distillbench.bench.validate.violations import Report

TASK, PAIR = "classification", "cnn_mlp"
REVISION = "0123456789abcdef0123456789abcdef01234567"
Content = dict[str, Any]


@dataclass(frozen=True)
class Submitted:
    """A results folder that a test may spoil."""

    root: Path

    def place(self, label: str = "mimic", seed: int = 0) -> Path:
        return self.root / record_path("student", TASK, PAIR, label, seed)

    def weights(self, label: str = "mimic", seed: int = 0) -> Path:
        return self.root / "weights" / TASK / PAIR / label / f"seed-{seed}.safetensors"

    def load(self, label: str = "mimic", seed: int = 0) -> Content:
        content: Content = json.loads(self.place(label, seed).read_text())
        return content

    def edit(self, change: Callable[[Content], object], label: str = "mimic", seed: int = 0, mend: bool = True) -> None:
        """Change one record. mend: its hash as well, and where it lies, as a forger who knows the format would."""
        content = self.load(label, seed)
        change(content)
        path = self.place(label, seed)
        if mend:
            content["config_hash"] = canonical_hash(content["config"])
            path.unlink()
            fields = (content[field] for field in ("kind", "task", "pair", "label", "seed", "trial"))
            path = self.root / record_path(*fields)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    def everywhere(self, change: Callable[[Content], object], label: str = "*") -> None:
        """Change all records, or all of one method."""
        for path in sorted(self.root.glob(f"records/*/*/{label}/*.json")):
            content = json.loads(path.read_text())
            change(content)
            path.write_text(json.dumps(content))

    def renamed(self, label: str, as_: str, jitter: bool = True) -> None:
        """All records and weights of one method once more, as those of a contributed method."""
        for seed in (0, 1, 2):
            content = self.load(label, seed)
            content["label"] = content["config"]["method"] = as_
            content["config"]["method_code"] = "ab" * 32
            content["config"]["hyperparameters"] = {"strength": 0.5, "schedule": "cosine"}
            content["config_hash"] = canonical_hash(content["config"])
            state = load_file(self.weights(label, seed))
            if jitter:
                state = {name: tensor + 1e-9 + 1e-6 * tensor for name, tensor in state.items()}
                shift(content, "nll", 1e-4)
            content["weights_sha256"] = self.keep(state, as_, seed, content["config_hash"])
            place = self.place(as_, seed)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(content))

    def keep(self, state: dict[str, Tensor], label: str, seed: int, of: str) -> str:
        """Write a file of weights with a valid checksum; return the digest of the weights."""
        model = Holder(state)
        save_weights(self.weights(label, seed), model, of)
        return digest(model)

    def drop(self, label: str = "mimic", seed: int = 0) -> None:
        self.place(label, seed).unlink()
        self.weights(label, seed).unlink(missing_ok=True)

    def validated(self, suite: ClaimedSuite) -> Report:
        return checks.validate(read(self.root), suite)


class Holder(nn.Module):
    """Tensors by name, as a network's state."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.state = state

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Tensor]:  # type: ignore[override]
        return self.state


def shift(content: Content, metric: str, by: float) -> None:
    """Shift a metric and all its examples equally: the mean still agrees."""
    values = [float(f"{value + by:.7g}") for value in content["examples"][metric]]
    content["examples"][metric] = values
    content["metrics"][metric]["value"] = math.fsum(values) / len(values)


def copy_of(results: Path, to: Path) -> Submitted:
    """What a contributor submits of a finished run, from committed code."""
    for part in ("records", "weights"):
        shutil.copytree(results / part, to / part)
    shutil.copy(results / "expected.json", to / "expected.json")
    submitted = Submitted(to)
    submitted.everywhere(lambda content: content.update(revision=REVISION))
    return submitted


def refusing(report: Report) -> set[str]:
    """The names of the checks with violations."""
    return {violation.check for violation in report.violations}


def lines(report: Report) -> str:
    return "\n".join(f"{violation.check}: {violation}" for violation in report.violations)
