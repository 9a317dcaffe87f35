"""``distillbench check``: whether a network meets the contract of a task."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distillbench.bench.run.network_check import examine, pair_with
from distillbench.bench.store.architecture import OF_TRAINING
from distillbench.bench.suite.registry import TASKS
from distillbench.tasks.base import Recipe, TaskSettings
from distillbench.tasks.networks.interfaces import ROLES
from distillbench.tasks.settings import WithheldTruth
from support.paths import USER
from support.processes import Run
from support.tasks import TASK_NAMES


def verdicts(task: str, network: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {f.name: (f.verdict, f.text) for f in examine(*pair_with(task, network), Path("nowhere"))}


def test_a_good_network_passes_every_check() -> None:
    found = verdicts("denoising", {"name": "module", "factory": "my_networks:denoiser"})
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert found["size"][1].startswith("115 parameters, ")
    assert found["shapes"][1] == "1×64×64 → 1×64×64"


def test_what_is_wrong_with_a_network_is_found() -> None:
    around = verdicts("denoising", {"name": "module", "factory": "my_networks:LooksAround"})
    assert around["in eval mode"][0] == "no"
    assert "depends on the other examples of its batch" in around["in eval mode"][1]
    assert around["gradients"] == (
        "no",
        "none for unused.weight, unused.bias: they would keep their initial values",
    )
    draws = verdicts("denoising", {"name": "module", "factory": "my_networks:Draws"})
    assert draws["in eval mode"][0] == "no"
    assert "two passes over one batch differ" in draws["in eval mode"][1]


def test_a_network_whose_train_returns_nothing_is_a_network() -> None:
    found = verdicts("denoising", {"name": "module", "factory": "my_networks:Quiet"})
    assert {verdict for verdict, _ in found.values()} == {"ok"}


def test_what_fails_while_a_network_is_looked_at_is_a_finding() -> None:
    found = verdicts("denoising", {"name": "module", "factory": "my_networks:Uncopied"})
    assert found["gradients"] == ("no", "failed (TypeError: there is one of me)")
    assert found["range"][0] == "ok"


def test_check_says_so_and_its_exit_code_too(cli: Run, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(USER)}
    good = cli("check", "gan", "my_networks:Generator", env=environment)
    assert good.returncode == 0, good.stderr
    assert "shapes        ok  16 → 1×8×8" in good.stdout
    bad = cli("check", "denoising", "my_networks:smaller", env=environment)
    assert bad.returncode == 1
    assert bad.stdout.startswith("built  no  student.network: returns 2×62×62")
    unknown = cli("check", "denoising", "dnccn")
    assert unknown.returncode == 2
    assert "unknown network 'dnccn'; did you mean 'dncnn'?" in unknown.stderr


def test_settings_of_training_are_no_part_of_an_architecture() -> None:
    models = [TASKS.get(name).Settings for name in TASK_NAMES]
    recipes = [model.model_fields[role].annotation for model in models for role in ROLES]
    settings = {name for model in (*models, *recipes) for name in model.model_fields}
    shared = set(TaskSettings.model_fields) - {"data"}
    of_truth = set(WithheldTruth.model_fields) - set(TaskSettings.model_fields)
    assert (set(Recipe.model_fields) - {"network"}) | shared | of_truth <= OF_TRAINING
    assert settings >= OF_TRAINING
