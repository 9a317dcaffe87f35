"""Tuning a suite: its rounds, its groups, no look at the test split, and what the command writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distillbench.bench.analysis.results import summaries
from distillbench.bench.run import runner
from distillbench.bench.run.choice import Decision
from distillbench.bench.run.jobs import Job
from distillbench.bench.run.plan import Plan, plan
from distillbench.bench.run.trials import Budget
from distillbench.bench.run.tune import decisions
from distillbench.bench.store.records import Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.resolve import Suite, load
from distillbench.bench.workers.executor import JobEnd
from distillbench.common.errors import UserError
from distillbench.methods.mimic import Mimic
from distillbench.tasks.base import Evaluation
from distillbench.tasks.classification import Classification
from support.processes import Run

TINY = {
    "name": "tiny",
    "seeds": [0, 1],
    "methods": ["scratch", "mimic", "random_teacher", "temperature"],
    "steps": 4,
    "tasks": {"classification": {"student": {"network": {"hidden": [16]}}}},
}
SMALL = Budget(3, seeds=(100, 101), confirm=(102, 103))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs run here, one after another; those that ran."""
    ran: list[Job] = []

    class SerialExecutor:
        def __init__(self, workers: int) -> None: ...

        def run(self, jobs: Sequence[Job], execute: Callable[..., Any]) -> Iterator[JobEnd[Any]]:
            for job in jobs:
                ran.append(job)
                yield JobEnd(job.id, execute(job, lambda step, steps: None), None)

    monkeypatch.setattr("distillbench.bench.run.runner.LocalExecutor", SerialExecutor)
    return ran


def tuned(suite: Suite, out: Path, budget: Budget = SMALL) -> list[Decision]:
    def run(cells: Sequence[Cell]) -> Plan:
        return runner.run(plan(suite, out, cells=cells), workers=1)

    return decisions(suite, out, budget, run)


def test_trials_of_a_seed_train_in_one_group_and_none_sees_the_test_split(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = []
    original = Classification.evaluate

    def evaluate(self: Classification, model: Any, teacher: Any, split: Any = "test") -> Evaluation:
        splits.append(split)
        return original(self, model, teacher, split)

    monkeypatch.setattr(Classification, "evaluate", evaluate)
    found = tuned(load(TINY), tmp_path)
    assert set(splits) == {"validation"}
    assert [d.tuning.label for d in found] == TINY["methods"]
    groups = [job for job in jobs if job.kind == "group"]
    assert [job.cells[0].seed for job in groups][:2] == [100, 101]
    assert len({(job.pair, job.cells[0].seed) for job in groups[:4]}) == 4
    assert [len(job.cells) for job in groups[:2]] == [4 * 3] * 2
    assert [job.kind for job in jobs].count("teacher") == 1
    for trial in Store(tmp_path):
        assert trial.split == "validation"
        assert trial.validation == {name: metric.value for name, metric in trial.metrics.items()}
        assert len(trial.examples["accuracy"]) == len(trial.example_names) > 1


def test_what_is_finished_is_not_run_again_and_more_trials_keep_the_earlier(tmp_path: Path, jobs: list[Job]) -> None:
    suite = load(TINY)
    first = tuned(suite, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("records/**/*.json")}
    jobs.clear()
    assert tuned(suite, tmp_path) == first
    assert jobs == []
    tuned(suite, tmp_path, replace(SMALL, trials=4))
    assert {path: path.read_bytes() for path in before} == before
    trials = {cell.trial for job in jobs for cell in job.cells if cell.seed in SMALL.seeds}
    assert trials == {3}


def test_tables_show_each_trial_with_its_items_and_no_test_figure(tmp_path: Path, jobs: list[Job]) -> None:
    tuned(load(TINY), tmp_path)
    (validation,) = summaries(tmp_path, "validation")
    assert len({row.name for row in validation.rows}) == len(validation.rows) == 4 * 3
    assert sum(row.name.startswith("temperature (temperature ") for row in validation.rows) == 3
    assert all(row.metrics["accuracy"].examples > 1 for row in validation.rows)
    assert all(row.difference is not None for row in validation.rows if row.name != "scratch")
    (test,) = summaries(tmp_path, "test")
    assert not any(row.metrics for row in test.rows)
    assert "trials are measured on the validation split alone: --split validation" in test.notes


def test_the_command(cli: Run, tmp_path: Path) -> None:
    suite = tmp_path / "tiny.toml"
    suite.write_text('methods = ["scratch", "mimic"]\nsteps = 4\ntuned = "tiny.tuned.toml"\n[tasks.classification]\n')
    options = (
        "--trials",
        2,
        "--seeds",
        100,
        "--confirm",
        "101,102",
        "--out",
        tmp_path / "out",
        "--cache",
        tmp_path / "cache",
    )
    done = cli("tune", suite, *options, "--output", tmp_path / "tiny.tuned.toml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny: 3 cells, 0 finished")
    text = (tmp_path / "tiny.tuned.toml").read_text()
    assert text.startswith("# Written by `distillbench tune tiny --trials 2` at revision ")
    assert ", seeds 100, 101, 102: not by hand.\n" in text
    assert "| classification | cnn_mlp | mimic" in (tmp_path / "out" / "trials.md").read_text()
    # What was chosen before has no part in choosing: the default is that of the method.
    (tmp_path / "tiny.tuned.toml").write_text(
        "[tasks.classification.pair.cnn_mlp.hyperparameters.mimic]\nweight = 0.25\n"
    )
    again = cli("tune", suite, *options)
    assert "3 cells, 3 finished: nothing to do" in again.stdout
    assert (tmp_path / "out" / "tiny.tuned.toml").read_text() == text
    (suite_,) = load(suite).entries
    assert suite_.methods["mimic"] == Mimic(weight=0.25)
    refused = cli("tune", suite, *options, "--confirm", "x")
    assert refused.returncode == 2
    assert refused.stderr.startswith("distillbench: --confirm: invalid seed 'x' (")
    assert len(refused.stderr.splitlines()) == 1


def test_a_trial_is_no_cell_of_a_run_and_a_copy_is_no_trial(tmp_path: Path, jobs: list[Job]) -> None:
    tuned(load(TINY), tmp_path)
    assert not plan(load(TINY, seeds=SMALL.seeds), tmp_path).finished
    folder = tmp_path / "records/classification/cnn_mlp/mimic"
    count = len(Store(tmp_path).scan().records)
    shutil.copytree(folder / "trial-1", folder / "trial-9")
    found = Store(tmp_path).scan()
    assert len(found.records) == count
    assert all("trial-1/seed-" in reason for reason in found.problems.values())
    assert found.problems


def test_nothing_is_chosen_by_images_that_are_trained_on(tmp_path: Path) -> None:
    message = "tiny: tasks.classification.train_on_validation: true, and nothing can be chosen by images"
    with pytest.raises(UserError, match=message):
        tuned(load(TINY, ["tasks.classification.train_on_validation=true"]), tmp_path)


def test_a_suite_without_anything_to_tune_is_refused(tmp_path: Path) -> None:
    fixed = load(TINY, ["hyperparameters.mimic.weight=2"], methods=["mimic"])
    with pytest.raises(UserError, match="tiny: methods: nothing to tune in mimic"):
        tuned(fixed, tmp_path)
