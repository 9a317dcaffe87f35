"""A method and a task of another package, found by entry point: no edit anywhere else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from support.paths import PLUGIN
from support.processes import Run

ENVIRONMENT = os.environ | {"PYTHONPATH": str(PLUGIN)}
SUITE = """
seeds = [0, 1]
steps = 5
methods = ["scratch", "explosive", "cosine"]
[tasks.parity]
[tasks.classification]
"""


@pytest.fixture(scope="module")
def done(cli: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "own.toml").write_text(SUITE)
    result = cli("run", folder / "own.toml", "--out", folder / "out", env=ENVIRONMENT)
    return folder / "out", result.returncode, result.stdout + result.stderr


def test_they_are_listed(cli: Run) -> None:
    listed = cli("list", env=ENVIRONMENT).stdout
    assert "parity            Tell odd digits from even ones." in listed
    assert "cosine            Point the student's outputs where the teacher's point." in listed


def test_a_name_that_is_taken_is_said_to_be(cli: Run) -> None:
    lines = cli("list", env=ENVIRONMENT).stdout.splitlines()
    for name, hidden in (("mimic", "cosine:Cosine"), ("gan", "parity:Parity")):
        (line,) = (line for line in lines if line.startswith(f"  {name} "))
        note = f"(built in; hides distillbench_example.{hidden}, which is registered under the same name)"
        assert line.endswith(note)
    assert sum("hides" in line for line in lines) == 2


def test_they_run_like_the_built_in_ones(done: tuple[Path, int, str]) -> None:
    out, _, _ = done
    for task in ("parity", "classification"):
        for seed in (0, 1):
            record = json.loads((out / f"records/{task}/cnn_mlp/cosine/seed-{seed}.json").read_text())
            assert record["status"] == "finished"
            assert record["training"]["final_distillation"] > 0


def test_a_method_is_tuned_by_itself_and_takes_its_place_beside_those_that_were_run_before(
    cli: Run, tmp_path: Path
) -> None:
    """As docs/writing-a-method.md has it of the suite quick."""
    suite, out, chosen = tmp_path / "few.toml", tmp_path / "out", tmp_path / "cosine.tuned.toml"
    suite.write_text('seeds = [0, 1]\nsteps = 5\nmethods = ["scratch", "mimic"]\n[tasks.classification]\n')
    budget = ("--trials", "2", "--seeds", "100", "--confirm", "101,102", "--out", tmp_path / "trials")
    for command in (
        ("tune", suite, "--methods", "cosine", *budget, "--output", chosen),
        ("run", suite, "--out", out),
        ("run", suite, "--methods", "cosine", "--set", f"tuned={chosen}", "--out", out),
    ):
        result = cli(*command, env=ENVIRONMENT)
        assert result.returncode == 0, result.stderr
    assert "cosine" in (tmp_path / "trials" / "trials.md").read_text()
    (table,) = json.loads(cli("table", out, "--format", "json", env=ENVIRONMENT).stdout)
    students = {row["method"]: (row["finished"], row["missing"]) for row in table["rows"] if row["kind"] == "student"}
    assert students == {"scratch": (2, 0), "mimic": (2, 0), "cosine": (2, 0)}


def test_a_method_that_raises_fails_alone_and_the_exit_code_tells(cli: Run, done: tuple[Path, int, str]) -> None:
    out, code, text = done
    assert code == 1
    assert "failed: parity/cnn_mlp/explosive/seed 0: RuntimeError: boom" in text
    record = json.loads((out / "records/parity/cnn_mlp/explosive/seed-1.json").read_text())
    assert record["status"] == "failed"
    assert "boom" in record["failure"]["traceback"]
    table = cli("table", out, "--format", "markdown").stdout
    assert "| explosive" in table
    assert "0, 2 failed" in table
    assert "explosive, seed 1 failed: RuntimeError: boom" in table


def test_something_else_under_the_entry_point_is_refused(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('methods = ["not_a_method"]\n[tasks.classification]\n')
    result = cli("plan", tmp_path / "own.toml", env=ENVIRONMENT)
    assert result.returncode == 2
    assert "is not a subclass of distillbench.Method" in result.stderr


def test_imports_of_before_are_answered_with_what_to_write_now(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('methods = ["before_the_move"]\n[tasks.classification]\n')
    result = cli("plan", tmp_path / "own.toml", env=ENVIRONMENT)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    # Whether the old name is found at all depends on whether the checkout itself is on the path.
    assert re.search(r"; write 'from distillbench\.(methods\S*) import …' in place of 'from \1 import …'$", line)
