"""Consistent forgeries: which of them --rerun detects, which only --retrain does, and which nothing does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distillbench.bench.run.execution import Execution
from distillbench.bench.run.jobs import load_teacher
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.weights import digest, load_weights, save_weights
from distillbench.bench.suite.cells import Cell
from distillbench.bench.training.determinism import settled
from distillbench.bench.training.loop import initial, train_students
from distillbench.bench.validate import retrain as training
from distillbench.bench.validate.claimed_suite import ClaimedSuite
from distillbench.bench.validate.rerun import rerun
from distillbench.bench.validate.submission import read
from distillbench.bench.validate.violations import Check
from distillbench.common.errors import UserError
from distillbench.tasks.base import Splits, Task, read_only
from support.processes import Run
from support.submissions import PAIR, TASK, Content, Submitted, lines, refusing, shift

ONE = Execution(workers=1)
CELL = f"{TASK}/{PAIR}/mimic/seed 0"


@pytest.fixture(scope="session")
def cache(tiny_results: Path) -> Path:
    """The official teacher."""
    return tiny_results / "cache"


def evaluated(submitted: Submitted, suite: ClaimedSuite, cache: Path) -> Check:
    check, _ = rerun(read(submitted.root), suite, (), cache, lambda line: None)
    return check


def trained(submitted: Submitted, suite: ClaimedSuite, cache: Path, name: str = CELL) -> Check:
    submission = read(submitted.root)
    record = training.find_record(submission, name)
    check, _ = training.retrain(submission, record, training.cell_to_train(suite, record), suite, cache, ONE)
    return check


def messages(check: Check) -> str:
    return "\n".join(map(str, check.violations))


# -- made with the harness itself, from weights that are not honest ---------------------------------------------------


def cell(suite: ClaimedSuite, label: str = "mimic", seed: int = 0) -> Cell:
    return suite.cells[TASK, PAIR, "student", label, seed]


def measured(submitted: Submitted, suite: ClaimedSuite, cache: Path, task: Task, model: torch.nn.Module) -> None:
    """Write a record that is true of these weights, whatever they were trained on, and the weights."""
    target = cell(suite)
    teacher, _ = load_teacher(task, target.pair.teacher_path(cache, 0))
    test, validation = task.evaluate(model, teacher), task.evaluate(model, teacher, "validation")

    def change(content: Content) -> None:
        for name, values in test.examples.items():
            content["examples"][name] = [float(f"{value:.7g}") for value in values.values()]
        for name, value in test.metrics.items():
            content["metrics"][name]["value"] = value
        content["validation"] = dict(validation.metrics)
        content["weights_sha256"] = digest(model)

    submitted.edit(change)
    save_weights(submitted.weights(), task.deployed(model), target.hash)


def learned_from_the_test_split(submitted: Submitted, suite: ClaimedSuite, cache: Path) -> None:
    target = cell(suite)
    assert target.method is not None
    cheating, honest = target.pair.build(), target.pair.build()
    splits = honest.splits
    cheating.__dict__["splits"] = Splits(splits.test, splits.validation, splits.test)
    with settled():
        teacher, _ = load_teacher(honest, target.pair.teacher_path(cache, 0))
        student = train_students(cheating, {"trained": teacher}, {"cheat": target.method}, 0)["cheat"].model
        measured(submitted, suite, cache, honest, student)


def the_best_of_other_seeds(submitted: Submitted, suite: ClaimedSuite, cache: Path) -> None:
    """Another seed's student, scaled slightly so that it is no copy, with its true measurements."""
    task = cell(suite).pair.build()
    model = initial(task, "student", 0)
    load_weights(submitted.weights(seed=2), task.deployed(model), cell(suite, seed=2).hash)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.001)
    with settled():
        measured(submitted, suite, cache, task, read_only(model))


def another_loss(submitted: Submitted, suite: ClaimedSuite, cache: Path) -> None:
    submitted.edit(lambda content: content["training"].update(final_loss=1e-3))


# -- values that the weights do not give -----------------------------------------------------------------------------


def better_examples(submitted: Submitted) -> None:
    """A metric and its examples: hash and mean agree."""
    submitted.edit(lambda content: shift(content, "nll", -0.01))


def one_more_right(submitted: Submitted) -> None:
    """Two answers of 500."""

    def change(content: Content) -> None:
        values = content["examples"]["accuracy"]
        for index in [i for i, value in enumerate(values) if value == 0][:2]:
            values[index] = 100.0
        content["metrics"]["accuracy"]["value"] = sum(values) / len(values)

    submitted.edit(change)


def better_without_examples(submitted: Submitted) -> None:
    submitted.edit(lambda content: content["metrics"]["ece"].update(value=1.0))


def better_validation(submitted: Submitted) -> None:
    submitted.edit(lambda content: content["validation"].update(accuracy=99.0))


def another_seeds_weights_as_new(submitted: Submitted) -> None:
    """Weights of another seed, moved by a rounding, the record's digest and the file's hash mended."""
    state = {name: tensor * 1.001 for name, tensor in load_file(submitted.weights(seed=2)).items()}
    sha = submitted.keep(state, "mimic", 0, submitted.load()["config_hash"])
    submitted.edit(lambda content: content.update(weights_sha256=sha))


def a_better_teacher(submitted: Submitted) -> None:
    submitted.everywhere(lambda content: shift(content, "nll", -0.1), "teacher")


def a_worse_baseline(submitted: Submitted) -> None:
    def change(content: Content) -> None:
        content["examples"]["accuracy"] = [0.0] * len(content["example_names"])
        content["metrics"]["accuracy"]["value"] = 0.0

    submitted.everywhere(change, "baseline-*")


ONLY_RERUN: Mapping[str, tuple[Callable[[Submitted], None], str]] = {
    "a metric with its examples": (better_examples, "metrics.nll"),
    "two answers of 500": (one_more_right, "metrics.accuracy"),
    "a metric that has no examples": (better_without_examples, "metrics.ece: 1 is recorded"),
    "a validation metric": (better_validation, "validation.accuracy: 99 is recorded"),
    "weights of another seed as new ones": (another_seeds_weights_as_new, "metrics.nll"),
    "a teacher's metrics": (a_better_teacher, "metrics.nll"),
    "a baseline's metrics": (a_worse_baseline, "metrics.accuracy: 0 is recorded"),
}
ONLY_RETRAIN: Mapping[str, tuple[Callable[[Submitted, ClaimedSuite, Path], None], str]] = {
    "a student that learned from the test split": (learned_from_the_test_split, "weights_sha256"),
    "the best of more seeds than are shown": (the_best_of_other_seeds, "weights_sha256"),
    "another loss at the end": (another_loss, "training.final_loss"),
}


@pytest.mark.parametrize("name", ONLY_RERUN)
def test_only_rerun_detects(submitted: Submitted, claimed: ClaimedSuite, cache: Path, name: str) -> None:
    forge, field = ONLY_RERUN[name]
    forge(submitted)
    assert submitted.validated(claimed).violations == (), "detected without --rerun: it belongs to the other table"
    check = evaluated(submitted, claimed, cache)
    assert check.violations
    assert field in messages(check)


@pytest.mark.parametrize("name", ONLY_RETRAIN)
def test_only_retrain_detects(submitted: Submitted, claimed: ClaimedSuite, cache: Path, name: str) -> None:
    forge, field = ONLY_RETRAIN[name]
    forge(submitted, claimed, cache)
    assert submitted.validated(claimed).violations == ()
    assert evaluated(submitted, claimed, cache).violations == ()
    assert field in messages(trained(submitted, claimed, cache))


def test_nothing_detects_a_consistent_time(submitted: Submitted, claimed: ClaimedSuite, cache: Path) -> None:
    """Times are of the contributor's machine: no check can say what they were."""

    def change(content: Content) -> None:
        content["training"]["seconds"] /= 2
        content["training"]["images_per_second"] *= 2
        content["training"]["curve"]["seconds"] = [x / 2 for x in content["training"]["curve"]["seconds"]]

    submitted.edit(change)
    assert submitted.validated(claimed).violations == ()
    assert evaluated(submitted, claimed, cache).violations == ()
    assert trained(submitted, claimed, cache).violations == ()


def test_training_on_another_machine_is_within_the_tolerance(
    submitted: Submitted, claimed: ClaimedSuite, cache: Path
) -> None:
    """Another machine trains different bits: the tolerance is the spread of the row's seeds."""

    def elsewhere(content: Content) -> None:
        content["environment"]["cpu"] = "another processor"
        content["weights_sha256"] = "ab" * 32

    submitted.edit(elsewhere)
    assert trained(submitted, claimed, cache).violations == ()
    submitted.edit(lambda content: shift(content, "nll", -1.0))
    assert "metrics.nll" in messages(trained(submitted, claimed, cache))


def test_an_honest_submission_is_equal_to_the_last_digit(honest: Submitted, claimed: ClaimedSuite, cache: Path) -> None:
    check, notes = rerun(read(honest.root), claimed, (), cache, lambda line: None)
    assert check.violations == ()
    assert "all equal to the last digit" in notes[-1]
    assert notes[-1].startswith("17 records evaluated again")  # 5 methods × 3 seeds, teacher, baseline


def test_missing_weights_are_refused_where_they_are_needed(
    submitted: Submitted, claimed: ClaimedSuite, cache: Path
) -> None:
    submitted.weights().unlink()
    report = submitted.validated(claimed)
    assert report.violations == ()
    assert f"1 student without weights, which --rerun cannot evaluate: {CELL}" in report.notes
    assert "has no weights to evaluate again" in messages(evaluated(submitted, claimed, cache))


def test_weights_that_are_not_numbers_are_refused(submitted: Submitted, claimed: ClaimedSuite, cache: Path) -> None:
    state = {name: tensor * float("nan") for name, tensor in load_file(submitted.weights()).items()}
    sha = submitted.keep(state, "mimic", 0, submitted.load()["config_hash"])
    submitted.edit(lambda content: content.update(weights_sha256=sha))
    assert submitted.place().name in messages(evaluated(submitted, claimed, cache))


def test_another_teacher_is_noted_and_its_agreement_left_out(
    submitted: Submitted, claimed: ClaimedSuite, cache: Path
) -> None:
    submitted.everywhere(lambda content: content.update(weights_sha256="cd" * 32), "teacher")
    check, notes = rerun(read(submitted.root), claimed, (), cache, lambda line: None)
    assert check.violations == ()
    assert any("teacher_agreement not compared" in note for note in notes)
    assert any(
        f"{TASK}/{PAIR}/teacher/seed 0: not compared, since the weights trained here are different" in note
        for note in notes
    )


def test_a_contributed_method_is_evaluated(submitted: Submitted, claimed: ClaimedSuite, cache: Path) -> None:
    submitted.renamed("mimic", "novel")
    report = submitted.validated(claimed)
    assert refusing(report) == set(), lines(report)
    check, notes = rerun(read(submitted.root), claimed, (), cache, lambda line: None)
    assert check.violations == ()
    assert notes[-1].startswith("20 records evaluated again")
    submitted.edit(lambda content: shift(content, "nll", -0.01), "novel")
    assert "novel/seed-0.json: metrics.nll" in messages(evaluated(submitted, claimed, cache))


def test_a_method_that_is_not_installed_cannot_be_trained(submitted: Submitted, claimed: ClaimedSuite) -> None:
    submitted.renamed("mimic", "novel")
    record = training.find_record(read(submitted.root), f"{TASK}/{PAIR}/novel/seed 1")
    with pytest.raises(UserError, match="unknown method 'novel'"):
        training.cell_to_train(claimed, record)


def test_a_wrong_cell_is_an_error_with_a_suggestion(honest: Submitted) -> None:
    submission = read(honest.root)
    with pytest.raises(UserError, match=f"did you mean '{CELL}'"):
        training.find_record(submission, CELL.replace("mimic", "mimik"))
    with pytest.raises(UserError, match="is a baseline, which is not trained"):
        training.find_record(submission, f"{TASK}/{PAIR}/nearest centroid/seed 0")


def test_another_configuration_is_not_trained(submitted: Submitted, claimed: ClaimedSuite) -> None:
    submitted.edit(lambda content: content["config"]["settings"].update(batch_size=1))
    content = submitted.load()
    assert content["config_hash"] == canonical_hash(content["config"])
    with pytest.raises(UserError, match="does not have the suite's configuration"):
        training.cell_to_train(claimed, training.find_record(read(submitted.root), CELL))


def test_the_command_evaluates_and_trains_again(cli: Run, honest: Submitted, tiny_suite: Path, cache: Path) -> None:
    options = ("--suite", tiny_suite, "--rerun", "--retrain", CELL, "--cache", cache)
    done = cli("validate", honest.root, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "17 records evaluated again" in done.stdout
    assert f"{CELL}: trained again in" in done.stdout
    assert done.stdout.splitlines()[-1] == "passed: 17 records, 15 files of weights"


def test_missing_teachers_are_trained(cli: Run, honest: Submitted, tiny_suite: Path) -> None:
    done = cli("validate", honest.root, "--suite", tiny_suite, "--rerun")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"training the teacher {TASK}/{PAIR} seed 0: it is not in the cache (about" in done.stderr
    assert "all equal to the last digit" in done.stdout
