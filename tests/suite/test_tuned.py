"""Files of chosen hyperparameters: when a run warns that they were chosen with something else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from distillbench.bench.run.choice import Decision
from distillbench.bench.run.trials import Tuning
from distillbench.bench.run.tune import as_toml
from distillbench.bench.suite.resolve import as_table, load
from distillbench.bench.suite.tuned import outdated, warn_of_outdated
from distillbench.common.errors import DataWarning, UserError
from distillbench.methods.mimic import Mimic
from distillbench.methods.scratch import Scratch
from support.processes import Run

SUITE: dict[str, Any] = {
    "methods": ["scratch", "mimic"],
    "tuned": "mine.tuned.toml",
    "tasks": {"classification": {}, "vae": {}},
}
BETTER = {"scratch": Scratch(rate_factor=2.0), "mimic": Mimic(weight=0.5)}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A suite of two methods on two tasks, and what was chosen for them, as ``tune`` writes it."""
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(SUITE))
    found = [
        Decision(Tuning(entry.pair, label, (method, BETTER[label])), {}, 1, 1)
        for entry in load(path, tuned=False).entries
        for label, method in entry.methods.items()
    ]
    (tmp_path / "mine.tuned.toml").write_text(as_toml(found, "Written by a test."))
    return path


def test_nothing_is_out_of_date_where_nothing_changed(mine: Path) -> None:
    suite = load(mine)
    assert [dict(entry.methods) for entry in suite.entries] == [BETTER, BETTER]
    assert [entry.tuned.keys() for entry in suite.entries] == [BETTER.keys()] * 2
    assert outdated(suite) == []


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        (["tasks.vae.steps=7"], ["vae/mlp_256_16: scratch, mimic tuned with other settings"]),
        (["tasks.vae.teacher.steps=7"], ["vae/mlp_256_16: mimic tuned with other teacher"]),
        (
            ["tasks.vae.latent=3", "hyperparameters.mimic.task_weight=2"],
            [
                "classification/cnn_mlp: mimic tuned with other settings",
                "vae/mlp_256_16: scratch, mimic tuned with other settings",
            ],
        ),
        (["hyperparameters.mimic.weight=3"], []),  # what was chosen is not in effect
        (["tuned=none", "steps=7"], []),
    ],
)
def test_a_line_a_pair_says_what_is_not_as_it_was(mine: Path, overrides: list[str], lines: list[str]) -> None:
    assert outdated(load(mine, overrides)) == [f"mine.tuned.toml: {line}" for line in lines]


def test_other_images_are_other_data(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distillbench.tasks.vae import VAE

    monkeypatch.setattr(VAE, "data_identity", classmethod(lambda cls, settings: {"digest": "other"}))
    assert outdated(load(mine)) == ["mine.tuned.toml: vae/mlp_256_16: scratch, mimic tuned with other data"]


def test_a_method_that_is_not_run_is_not_looked_at(mine: Path) -> None:
    suite = load(mine, ["tasks.vae.steps=7"], methods=["scratch"])
    assert outdated(suite) == ["mine.tuned.toml: vae/mlp_256_16: scratch tuned with other settings"]


def test_values_without_digests_are_not_looked_at(mine: Path) -> None:
    tuned = mine.parent / "mine.tuned.toml"
    tuned.write_text(tuned.read_text().partition("[digests")[0])
    suite = load(mine, ["steps=7"])
    assert [dict(entry.methods) for entry in suite.entries] == [BETTER, BETTER]
    assert outdated(suite) == []


def test_a_resolved_suite_is_its_own(mine: Path) -> None:
    suite = load(mine)
    again = load(as_table(suite))
    assert [cell.hash for cell in again.cells] == [cell.hash for cell in suite.cells]
    assert outdated(again) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("digests = 3", "digests: input should be a table, not '3'"),
        ("[digests.vae.mlp_256_16]\nmimic = 3", "digests.vae.mlp_256_16.mimic: input should be a table, not '3'"),
        ("[digests.vae.mlp_256_16.mimic]\ncode = 'x'\ndata = 'x'", "digests.vae.mlp_256_16.mimic.settings: missing"),
        (
            "[digests.vae.mlp_256_16.mimic]\ncode = 'x'\ndata = 'x'\nsettings = 'x'\nteachers = 'x'",
            "digests.vae.mlp_256_16.mimic.teachers: unknown key; did you mean 'teacher'? (allowed: ",
        ),
    ],
)
def test_digests_that_are_none_are_refused_in_one_line(mine: Path, text: str, problem: str) -> None:
    tuned = mine.parent / "mine.tuned.toml"
    tuned.write_text(text)
    with pytest.raises(UserError) as error:
        load(mine)
    assert str(error.value).startswith(f"{tuned}: {problem}")


def test_a_suite_has_no_digests(mine: Path) -> None:
    mine.write_text(mine.read_text() + "[digests.vae.mlp_256_16.mimic]\ncode = 'x'\n")
    with pytest.raises(UserError, match=r"mine\.toml: digests: unknown key"):
        load(mine)


PICKY = '''
from distillbench import Method, total

class Picky(Method):
    """Fails with its default, so that another weight is chosen."""

    def distillation_loss(self, student, teacher):
        if self.weight == 1:
            raise RuntimeError("not by default")
        return total({name: teacher[name].mse(student[name]) for name in teacher})
'''


def test_an_edit_of_a_methods_code_is_told_in_one_line(cli: Run, tmp_path: Path) -> None:
    suite, module, register = tmp_path / "mine.toml", tmp_path / "picky.py", tmp_path / "picky-1.0.dist-info"
    register.mkdir()
    (register / "METADATA").write_text("Metadata-Version: 2.1\nName: picky\nVersion: 1.0\n")
    (register / "entry_points.txt").write_text("[distillbench.methods]\npicky = picky:Picky\n")
    table = {"methods": ["picky"], "tuned": "mine.tuned.toml", "steps": 3, "tasks": {"classification": {}}}
    suite.write_text(tomli_w.dumps(table))

    def told(code: str, *command: object) -> list[str]:
        """What the command says on standard error, with this code of the method."""
        module.write_text(code)
        done = cli(
            *command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr.splitlines()

    budget = ("--trials", 2, "--seeds", 100, "--confirm", "101,102", "--output", "mine.tuned.toml")
    assert told(PICKY, "tune", suite, *budget) == []
    assert "[digests.classification.cnn_mlp.picky]" in (tmp_path / "mine.tuned.toml").read_text()
    assert told(PICKY, "plan", suite) == []
    assert told(PICKY.replace("Fails with", "# Always fails with") + "\n# A comment.\n", "plan", suite) == []
    edited = PICKY.replace("mse", "kl")
    line = "distillbench: mine.tuned.toml: classification/cnn_mlp: picky tuned with other code"
    assert told(edited, "plan", suite) == [line]
    assert told(edited, "run", suite, "--seeds", "0") == [line]


def test_the_library_warns_as_well(mine: Path) -> None:
    suite = load(mine, ["tasks.vae.steps=9"])
    with pytest.warns(
        DataWarning, match=r"^mine\.tuned\.toml: vae/mlp_256_16: scratch, mimic tuned with other settings$"
    ):
        warn_of_outdated(suite)
