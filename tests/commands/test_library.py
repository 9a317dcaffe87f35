"""The library: what a script or a notebook does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import distillbench
from distillbench.common.errors import UserError
from support.processes import Run, finish

TINY: dict[str, Any] = {
    "name": "tiny",
    "seeds": [0, 1],
    "steps": 4,
    "methods": ["scratch", "temperature"],
    "tasks": {"classification": {"student": {"network": {"hidden": [8]}}}},
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("library")


def test_a_suite_as_a_table_is_run_with_progress_and_a_cache_of_its_own(out: Path) -> None:
    heard: list[tuple[int, int]] = []
    frame = distillbench.run(
        TINY,
        out / "first",
        ["hyperparameters.temperature.weight=0.5"],
        cache=out / "cache",
        progress=lambda *n: heard.append(n),
    )
    assert heard[0] == (0, 6)
    assert heard[-1] == (6, 6)
    assert heard == sorted(heard)
    assert (out / "cache" / "teachers").is_dir()
    assert not (out / "first" / "cache").exists()
    students = frame[frame["kind"] == "student"]
    assert len(students) == 4
    assert set(students.loc[students["label"] == "temperature", "hyperparameters.weight"]) == {0.5}
    assert set(students["teachers"]) == {"shared"}
    assert students["final_loss"].notna().all()
    assert (students.loc[students["label"] == "temperature", "final_distillation"] > 0).all()
    assert not [column for column in frame if column.startswith("settings.")], "all settings are the same"


def test_the_users_process_keeps_its_own_settings_of_torch(out: Path) -> None:
    def settings() -> tuple[object, ...]:
        tiny = (torch.full((1,), 1e-40) * 1.0).item()
        return torch.get_num_threads(), tiny, torch.are_deterministic_algorithms_enabled()

    torch.set_num_threads(2)
    before = settings()
    distillbench.run(TINY, out / "settings", seeds=[0], methods=["scratch"], cache=out / "cache")
    assert settings() == before
    assert before[1] > 0


def test_settings_that_differ_are_columns(out: Path) -> None:
    for rate in (0.01, 0.02):
        distillbench.run(
            TINY,
            out / f"rate-{rate}",
            [f"tasks.classification.student.learning_rate={rate}"],
            methods=["scratch"],
            seeds=[int(rate * 100)],
            cache=out / "cache",
        )
    (out / "rate-0.01" / "records/classification/cnn_mlp/scratch/seed-1.json").rename(
        out / "rate-0.02" / "records/classification/cnn_mlp/scratch/seed-1.json"
    )
    frame = distillbench.load_records(out / "rate-0.02")
    students = frame[frame["kind"] == "student"].set_index("seed")
    assert students["settings.student.learning_rate"].to_dict() == {1: 0.01, 2: 0.02}
    assert [column for column in frame if column.startswith("settings.")] == ["settings.student.learning_rate"]


def test_failed_cells_are_raised_or_returned_as_asked(tmp_path: Path) -> None:
    suite = TINY | {"seeds": [0], "hyperparameters": {"temperature": {"weight": 1e38}}}
    suite["tasks"] = {"classification": {"student": {"learning_rate": 1e30}}}
    with pytest.raises(distillbench.FailedCellsError, match=r"2 of 4 cells failed, first .*scratch/seed 0: ") as error:
        distillbench.run(suite, tmp_path)
    assert set(error.value.failures) == {
        f"classification/cnn_mlp/{label}/seed 0" for label in ("scratch", "temperature")
    }
    frame = distillbench.run(suite, tmp_path, failures="return")
    failed = frame[frame["status"] == "failed"]
    assert len(failed) == 2
    assert failed["reason"].str.contains("NonFiniteLossError").all()


def test_a_suite_that_is_wrong_is_refused() -> None:
    with pytest.raises(UserError, match="suite: tasks: missing"):
        distillbench.run({"seeds": [0]})
    with pytest.raises(ValueError, match="failures: 'ignore'"):
        distillbench.run(TINY, failures="ignore")  # type: ignore[arg-type]


def test_the_package_is_what_users_type(tmp_path: Path) -> None:
    done = finish([sys.executable, "-m", "distillbench", "--version"])
    assert done.stdout.startswith("distillbench 0.")
    code = "import sys, distillbench; assert 'torch' not in sys.modules; print(distillbench.__all__)"
    assert "load_records" in finish([sys.executable, "-c", code]).stdout


def test_show_gives_a_record_as_json(out: Path, cli: Run) -> None:
    path = out / "first" / "records/classification/cnn_mlp/temperature/seed-0.json"
    printed = json.loads(cli("show", path, "--json").stdout)
    assert printed == json.loads(path.read_text())
