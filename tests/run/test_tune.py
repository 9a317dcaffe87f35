"""Tuning a suite: its rounds, its groups, no look at the test split, and what the command writes."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

import distillbench
from distillbench.bench.analysis.results import summaries
from distillbench.bench.report.trials import COLUMNS, FILE, table
from distillbench.bench.report.writers import csv
from distillbench.bench.run import runner
from distillbench.bench.run.choice import Decision
from distillbench.bench.run.execution import Execution
from distillbench.bench.run.jobs import Job
from distillbench.bench.run.plan import Plan, plan
from distillbench.bench.run.trials import Budget, tunings
from distillbench.bench.run.tune import decisions, expected, spot_checked
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Failure, Record, Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.resolve import Suite, load
from distillbench.bench.workers.executor import JobEnd
from distillbench.common.errors import UserError
from distillbench.methods.mimic import Mimic
from distillbench.tasks.base import Evaluation
from distillbench.tasks.classification import Classification
from support.paths import PLUGIN
from support.processes import Run, refused
from support.records import record

TINY = {
    "name": "tiny",
    "seeds": [0, 1],
    "methods": ["scratch", "mimic", "random_teacher", "temperature"],
    "steps": 4,
    "tasks": {"classification": {"student": {"network": {"hidden": [16]}}}},
}
SMALL = Budget(3, seeds=(100, 101), confirm=(102, 103))


class SerialExecutor:
    """Runs jobs here, one after another, and notes them."""

    ran: ClassVar[list[Job]]

    def __init__(self, workers: int) -> None: ...

    def run(self, jobs: Sequence[Job], execute: Callable[..., Any]) -> Iterator[JobEnd[Any]]:
        for job in jobs:
            self.ran.append(job)
            yield JobEnd(job.id, execute(job, lambda step, steps: None), None)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs run here; those that ran."""
    SerialExecutor.ran = []
    monkeypatch.setattr("distillbench.bench.run.execution.LocalExecutor", SerialExecutor)
    return SerialExecutor.ran


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trials of a tiny suite, to be read."""
    SerialExecutor.ran, out = [], tmp_path_factory.mktemp("trials")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distillbench.bench.run.execution.LocalExecutor", SerialExecutor)
        tuned(load(TINY), out)
    return out


def tuned(suite: Suite, out: Path, budget: Budget = SMALL) -> list[Decision]:
    def run(cells: Sequence[Cell]) -> Plan:
        return runner.run(plan(suite, out, cells=cells), Execution(workers=1))

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


def test_students_that_train_longer_are_a_job_of_their_own(tmp_path: Path, jobs: list[Job]) -> None:
    steps = {"tasks": {"classification": {"teacher": {"steps": 8}}}}
    tuned(load(TINY | steps, methods=["scratch", "scratch_long", "mimic"]), tmp_path)
    groups = {job.id: {cell.label for cell in job.cells} for job in jobs if job.kind == "group"}
    assert groups["students classification/cnn_mlp seed 100"] == {"scratch", "mimic"}
    assert groups["students classification/cnn_mlp seed 100, as long as teachers"] == {"scratch_long"}
    lengths = {(trial.label, trial.training.steps) for trial in Store(tmp_path) if trial.training is not None}
    assert lengths == {("scratch", 4), ("mimic", 4), ("scratch_long", 8)}


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


def test_tables_show_each_trial_with_its_items_and_no_test_figure(trials: Path) -> None:
    (validation,) = summaries(trials, "validation")
    assert len({row.name for row in validation.rows}) == len(validation.rows) == 4 * 3
    assert sum(row.name.startswith("temperature (temperature ") for row in validation.rows) == 3
    assert all(row.metrics["accuracy"].examples > 1 for row in validation.rows)
    (test,) = summaries(trials, "test")
    assert not any(row.metrics for row in test.rows)
    assert "trials are measured on the validation split alone: --split validation" in test.notes


def test_tables_compare_trials_with_scratch_by_the_pairs_recipe(trials: Path) -> None:
    (found,) = summaries(trials, "validation")
    scratch = {row.name: row for row in found.rows if row.name.startswith("scratch")}
    plain = scratch["scratch (rate_factor 1, weight_decay null)"].values_by_seed
    assert len(scratch) == 3
    assert all(row.difference is None for row in scratch.values())
    for row in found.rows:
        if row.name not in scratch:
            differences = {seed: value - plain[seed] for seed, value in row.values_by_seed.items()}
            assert row.differences_by_seed == pytest.approx(differences)


def test_the_command(cli: Run, tmp_path: Path) -> None:
    suite, chosen = tmp_path / "tiny.toml", tmp_path / "tiny.tuned.toml"
    suite.write_text('methods = ["scratch", "mimic"]\nsteps = 3\ntuned = "tiny.tuned.toml"\n[tasks.classification]\n')
    budget = ("--trials", 2, "--seeds", 100, "--confirm", "101,102")
    options = (*budget, "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    done = cli("tune", suite, *options, "--output", chosen)
    assert done.returncode == 0, done.stderr
    # Both trials of both methods with seed 100, then the best and the default, if it is another, with two more.
    assert re.match(r"tiny: 12 cells, 0 finished, about \d+ s on \d+ workers?\n", done.stdout)
    text = chosen.read_text()
    assert text.startswith("# Written by `distillbench tune tiny --trials 2` at revision ")
    assert ", seeds 100, 101, 102: not by hand.\n" in text
    assert "| classification | cnn_mlp | mimic" in (tmp_path / "out" / "trials.md").read_text()
    frame = distillbench.load_trials(tmp_path / "out")
    assert set(frame["method"]) == {"scratch", "mimic"}
    assert set(frame["seed"]) == {100, 101, 102}
    # What was chosen before has no part in choosing: the default is that of the method.
    chosen.write_text("[tasks.classification.pair.cnn_mlp.hyperparameters.mimic]\nweight = 0.25\n")
    again = cli("tune", suite, *options)
    assert re.match(rf"tiny: {len(frame)} cells, {len(frame)} finished: nothing to do\n", again.stdout)
    assert (tmp_path / "out" / "tiny.tuned.toml").read_text() == text
    (suite_,) = load(suite).entries
    assert suite_.methods["mimic"] == Mimic(weight=0.25)
    refused(cli("tune", suite, *options, "--confirm", "x"), "--confirm: invalid seed 'x' (")
    refused(cli("tune", suite, *options, "--trials", 5_000_000), "--trials: 5000000 is out of range (allowed: 2 to ")
    fixed = ("--methods", "mimic", "--set", "hyperparameters.mimic.weight=2")
    refused(cli("tune", suite, *options, *fixed), "tiny: methods: nothing to tune in mimic")


def test_the_command_ends_with_1_where_every_trial_failed(cli: Run, tmp_path: Path) -> None:
    suite = tmp_path / "tiny.toml"
    suite.write_text('methods = ["scratch", "explosive"]\nsteps = 3\n[tasks.classification]\n')
    budget = ("--trials", 2, "--seeds", 100, "--confirm", "101,102", "--out", tmp_path / "out")
    done = cli("tune", suite, *budget, env=os.environ | {"PYTHONPATH": str(PLUGIN)})
    assert (done.returncode, done.stderr) == (1, "")
    assert "nothing to choose from; 2 of 2 trials failed" in done.stdout
    frame = distillbench.load_trials(tmp_path / "out").query("method == 'explosive'")
    assert set(frame["failure"]) == {"RuntimeError: boom"}
    assert frame["value"].isna().all()


def test_a_trial_is_no_cell_of_a_run_and_a_copy_is_no_trial(trials: Path, tmp_path: Path) -> None:
    assert not plan(load(TINY, seeds=SMALL.seeds), trials).finished
    shutil.copytree(trials / "records", tmp_path / "records")
    folder = tmp_path / "records/classification/cnn_mlp/mimic"
    count = len(Store(tmp_path).scan().records)
    shutil.copytree(folder / "trial-1", folder / "trial-9")
    found = Store(tmp_path).scan()
    assert len(found.records) == count > 0
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


# -- rounds, with records written by hand -----------------------------------------------------------------------------

# -- trials of other code -------------------------------------------------------------------------------------------


def rewritten(trials: Path, out: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of trials with all records changed, each with the hash of its configuration."""
    for trial in Store(trials):
        content = json.loads(trial.model_dump_json())
        change(content)
        content["config_hash"] = canonical_hash(content["config"])
        Store(out).write(trial.path, Record.model_validate(content))
    return out


def other_code(content: dict[str, Any]) -> None:
    content["config"] |= {"code": "0" * 64, "teacher": "1" * 64}


def other_rate(content: dict[str, Any]) -> None:
    content["config"]["settings"]["student"]["learning_rate"] = 0.5


def other_loss(content: dict[str, Any]) -> None:
    other_code(content)
    content["training"]["final_loss"] *= 1 + 1e-15


def test_trials_of_other_code_count_where_one_of_each_method_comes_out_the_same(
    trials: Path, tmp_path: Path, jobs: list[Job]
) -> None:
    suite = load(TINY)

    def again(cells: Sequence[Cell]) -> list[Record]:
        runner.run(plan(suite, tmp_path / "again", cells=cells), Execution(workers=1))
        return [Store(tmp_path / "again").read(tmp_path / "again" / cell.path) for cell in cells]

    first = tuned(suite, trials)
    jobs.clear()
    checked = spot_checked(suite, rewritten(trials, tmp_path / "other", other_code), SMALL, again)
    assert [(d.tuning.key, d.chosen) for d in checked] == [(d.tuning.key, d.chosen) for d in first]
    made = [(cell.label, cell.trial, cell.seed) for job in jobs for cell in job.cells if job.kind == "group"]
    assert sorted(made) == sorted((d.tuning.label, d.chosen, 100) for d in first)
    with pytest.raises(UserError, match=r"seed-100\.json: comes out otherwise with today's code: training \(run"):
        spot_checked(suite, rewritten(trials, tmp_path / "loss", other_loss), SMALL, again)
    with pytest.raises(UserError, match=r"seed-100\.json: was made with other student\.learning_rate \(run"):
        spot_checked(suite, rewritten(trials, tmp_path / "rate", other_rate), SMALL, again)
    with pytest.raises(UserError, match="is missing, and without it nothing can be checked"):
        spot_checked(suite, tmp_path / "nothing", SMALL, again)


Value = Callable[[Cell], float | None]
"""The accuracy of a cell; None: it fails."""


def by_hand(out: Path, value: Value, rounds: list[list[Cell]] | None = None) -> Callable[[Sequence[Cell]], Any]:
    """What makes the records of cells in place of training; rounds: what it was asked for."""

    def run(cells: Sequence[Cell]) -> None:
        if rounds is not None:
            rounds.append(list(cells))
        for cell in cells:
            accuracy, noise = value(cell), (cell.seed * 7919 % 11 - 5) / 100
            fields: dict[str, Any] = {"trial": cell.trial, "pair": cell.pair.pair}
            if accuracy is None:
                fields["failure"] = Failure(reason="RuntimeError: boom")
            made = record("student", cell.label, cell.seed, None if accuracy is None else accuracy + noise, **fields)
            Store(out).write(cell.path, made)

    return run


def accuracy(cell: Cell) -> float | None:
    """Scratch has 80, a method the less the greater its weight; a tenth of the weight is enough for mimic."""
    assert cell.method is not None
    return 80.0 if cell.label == "scratch" else 80.0 - cell.method.weight


def asked(cells: Sequence[Cell], label: str) -> set[tuple[int | None, int]]:
    return {(cell.trial, cell.seed) for cell in cells if cell.label == label}


def test_every_method_has_the_same_budget_and_scratch_too(tmp_path: Path) -> None:
    suite, rounds = load(TINY), list[list[Cell]]()
    found = decisions(suite, tmp_path, SMALL, by_hand(tmp_path, accuracy, rounds))
    every = {(trial, seed) for trial in range(3) for seed in (100, 101)}
    assert [asked(rounds[0], label) for label in suite.methods] == [every] * 4
    for decision in found:
        confirmed = {(trial, seed) for trial in {0, decision.best} for seed in (102, 103)}
        assert asked(rounds[1], decision.tuning.label) == confirmed
    assert len(rounds) == 2 or {cell.seed for cell in rounds[2]} == {102, 103}


def test_the_smallest_weight_is_compared_only_where_the_choice_is_worse_than_scratch(tmp_path: Path) -> None:
    """Trial 2 of mimic looks best with the picking seeds, and is as bad as the default with the others."""

    def value(cell: Cell) -> float | None:
        lucky = cell.label == "mimic" and cell.trial == lucky_trial and cell.seed in SMALL.seeds
        return 90.0 if lucky else accuracy(cell)

    suite, rounds = load(TINY, methods=["scratch", "mimic"]), list[list[Cell]]()
    mimic = next(tuning for tuning in tunings(suite, 3) if tuning.label == "mimic")
    lucky_trial = max(range(3), key=lambda number: mimic.trials[number].weight)
    found = {d.tuning.label: d for d in decisions(suite, tmp_path, SMALL, by_hand(tmp_path, value, rounds))}
    assert [len(cells) for cells in rounds] == [12, 6, 2]
    assert asked(rounds[2], "mimic") == {(mimic.mildest, 102), (mimic.mildest, 103)}
    assert found["mimic"].best == lucky_trial
    assert found["mimic"].harmful >= {lucky_trial, 0}
    frame = frame_of(list(found.values()), tmp_path)
    chosen = frame.query("method == 'mimic' and chosen")
    assert set(chosen["trial"]) == {found["mimic"].chosen}


def test_what_is_expected_before_the_start_is_what_is_made(tmp_path: Path) -> None:
    suite, rounds = load(TINY, methods=["scratch", "mimic"]), list[list[Cell]]()
    before = expected(suite, tmp_path, SMALL)
    assert len(before) == 2 * (3 * 2 + 2 * 2)
    decisions(suite, tmp_path, SMALL, by_hand(tmp_path, lambda cell: cell.trial and 80.0 + cell.trial, rounds))
    made = [str(cell) for cells in rounds for cell in cells]
    assert sorted(made) == sorted(str(cell) for cell in expected(suite, tmp_path, SMALL))
    assert len(made) == len(before)


# -- every trial as a file ------------------------------------------------------------------------------------------


def frame_of(found: Sequence[Decision], folder: Path) -> pd.DataFrame:
    (folder / FILE).write_text(csv([table(found, SMALL)]))
    return distillbench.load_trials(folder)


def test_the_trials_that_are_read_back_explain_each_choice(tmp_path: Path) -> None:
    def value(cell: Cell) -> float | None:
        failing = cell.label == "temperature" and cell.trial == 1
        return None if failing else accuracy(cell)

    found = decisions(load(TINY), tmp_path, SMALL, by_hand(tmp_path, value))
    frame = frame_of(found, tmp_path)
    assert tuple(frame.columns[: len(COLUMNS)]) == COLUMNS
    assert set(frame["seed_for"]) == {"picking", "confirming"}
    for decision in found:
        rows = frame[frame["method"] == decision.tuning.label]
        picking = rows[rows["seed_for"] == "picking"].groupby("trial")["value"].mean()
        assert picking.idxmax() == decision.best
        assert set(rows.loc[rows["chosen"], "trial"]) == {decision.chosen}
        for number, by_seed in decision.results.items():
            for seed, its in by_seed.items():
                (row,) = rows[(rows["trial"] == number) & (rows["seed"] == seed)].to_dict("records")
                assert row["metric"] == "accuracy"
                if its.failure is None:
                    assert row["value"] == pytest.approx(its.metrics["accuracy"].value, rel=1e-6)
                    assert row["failure"] == ""
                else:
                    assert math.isnan(row["value"])
                    assert row["failure"] == "RuntimeError: boom"
                for name, setting in decision.tuning.settings(number).items():
                    read = row[f"hyperparameters.{name}"]
                    assert math.isnan(read) if setting is None else read == setting


@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n"])
def test_a_file_that_holds_no_trials_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(UserError, match=rf"^{re.escape(str(tmp_path / FILE))}: (cannot be read as|holds no) trials"):
        distillbench.load_trials(tmp_path)
