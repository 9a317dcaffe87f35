"""``distillbench validate``: what passes, its output and its exit codes, by the real command where that matters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from test_validate_forgeries import FORGERIES

from distillbench.bench.suite.resolve import load
from distillbench.bench.validate import ranges
from distillbench.bench.validate.checks import CHECKS, validate
from distillbench.bench.validate.claimed_suite import ClaimedSuite, claimed_suite
from distillbench.bench.validate.measurements import training
from distillbench.bench.validate.submission import read
from support.paths import ROOT
from support.processes import Run
from support.submissions import PAIR, TASK, Submitted, lines, refusing

PUBLISHED = ROOT / "results" / "quick"


def test_an_honest_submission_passes(cli: Run, honest: Submitted, tiny_suite: Path) -> None:
    done = cli("validate", honest.root, "--suite", tiny_suite)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "passed: 17 records, 15 files of weights"
    assert all(f"\n{name} " in done.stdout for name in ("files", "records", *CHECKS))


def test_what_is_not_defined_is_not_missing(submitted: Submitted, claimed: ClaimedSuite) -> None:
    path = submitted.root / "expected.json"
    row = {"task": TASK, "pair": PAIR, "kind": "student", "label": "scratch_long", "seed": 0}
    path.write_text(json.dumps([*json.loads(path.read_text()), row | {"undefined": "needs a teacher with more steps"}]))
    assert refusing(submitted.validated(claimed)) == set()
    path.write_text(json.dumps([*json.loads(path.read_text()), row]))
    assert refusing(submitted.validated(claimed)) == {"expected"}


def test_a_forged_submission_is_refused_with_file_field_and_what_is_allowed(
    cli: Run, submitted: Submitted, tiny_suite: Path
) -> None:
    submitted.edit(lambda content: content["config"]["settings"]["student"].update(steps=80))
    submitted.drop("scratch", 2)
    done = cli("validate", submitted.root, "--suite", tiny_suite)
    assert done.returncode == 1
    lines_ = done.stdout.splitlines()
    place = f"records/{TASK}/{PAIR}"
    assert f"configuration: {place}/mimic/seed-0.json: config.settings.student.steps: 80, but the suite has 8" in lines_
    assert f"seeds: {place}/scratch: seed: 2 missing (allowed: all of 0, 1 and 2)" in lines_
    assert lines_[-1].startswith("refused: ")
    assert "Traceback" not in done.stderr


def test_as_json(cli: Run, submitted: Submitted, tiny_suite: Path) -> None:
    submitted.edit(lambda content: content.update(created="2020-01-01T00:00:00Z", warnings=["\u202e"]))
    done = cli("validate", submitted.root, "--suite", tiny_suite, "--format", "json")
    assert done.returncode == 1
    assert done.stdout.isascii()
    report = json.loads(done.stdout)
    assert (report["outcome"], report["exit_code"], report["records"]) == ("refused", 1, 17)
    refused = {check["name"]: check["violations"] for check in report["checks"] if check["violations"]}
    assert refused.keys() == {"dates", "text"}
    assert refused["dates"][0]["file"] == f"records/{TASK}/{PAIR}/mimic/seed-0.json"
    assert refused["dates"][0]["field"] == "created"


def test_a_longer_student_and_a_transfer_set_are_as_the_suite_has_them(cli: Run, tmp_path: Path) -> None:
    """A control trains for its teacher's steps; who sees the transfer set has larger batches than scratch beside it."""
    (tmp_path / "s.toml").write_text(
        'seeds = [0]\nsteps = 4\nmethods = ["scratch", "scratch_long", "mimic"]\n'
        "[tasks.classification]\ntransfer = 50\nteacher = { steps = 6 }\n"
    )
    done = cli("run", tmp_path / "s.toml", "--out", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    submission = read(tmp_path / "s")
    steps = {record.label: record.training.steps for record in submission.finished if record.training}
    assert steps == {"teacher": 6, "scratch": 4, "scratch_long": 6, "mimic": 4}
    suite = claimed_suite(load(tmp_path / "s.toml"), tmp_path / "cache")
    assert list(training(submission, suite)) == []


def test_records_of_another_suite_are_refused(cli: Run, honest: Submitted) -> None:
    done = cli("validate", honest.root)  # the quick suite
    assert done.returncode == 1
    assert "config.settings.student.steps: 8, but the suite has 500" in done.stdout
    assert "and 20 more" in done.stdout or " more\n" in done.stdout  # not a line for each of hundreds


def test_invalid_arguments_are_errors_in_one_line(cli: Run, honest: Submitted, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = {
        (tmp_path / "nowhere",): "no such results folder",
        (tmp_path / "file",): "no such results folder",
        (honest.root, "--suite", "quik"): "did you mean 'quick'?",
        (honest.root, "--cache", tmp_path): "--cache: needs --rerun or --retrain",
        (honest.root, "--rerun", "--cache", honest.root / "cache"): "is inside the submission",
        (honest.root, "--suite", "smoke", "--retrain", "vae/x/y/seed 0"): "--retrain: no record of 'vae/x/y/seed 0'",
    }
    for arguments, reason in wrong.items():
        done = cli("validate", *arguments)
        assert done.returncode == 2, arguments
        assert reason in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_contributed_method_passes_in_some_tasks(submitted: Submitted, tmp_path: Path) -> None:
    """The suite has one more task: this is noted, and no reason to refuse."""
    submitted.renamed("mimic", "novel")
    for label in ("mimic", "scratch", "temperature", "logistic", "cross_model"):
        for seed in (0, 1, 2):
            submitted.drop(label, seed)
    (submitted.root / "expected.json").unlink()
    suite = {"seeds": [0, 1, 2], "steps": 8, "tasks": {TASK: {"student": {"network": {"hidden": [16]}}}, "vae": {}}}
    report = validate(read(submitted.root), claimed_suite(load(suite), tmp_path))
    assert refusing(report) == set(), lines(report)
    assert "novel: no records of vae/mlp_256_16" in report.notes


def test_a_failed_cell_is_a_result(submitted: Submitted, claimed: ClaimedSuite) -> None:
    """A failure is a result: the seed has a record without metrics."""

    def fail(content: dict[str, object]) -> None:
        content |= {"status": "failed", "failure": {"reason": "the loss was nan at step 3 of 8"}}
        content |= {"metrics": {}, "validation": {}, "examples": {}, "example_names": []}
        content |= {"training": None, "size": None, "weights_sha256": None}

    submitted.edit(fail)
    submitted.weights().unlink()
    assert submitted.validated(claimed).violations == ()


def test_what_is_not_read_is_noted(submitted: Submitted, claimed: ClaimedSuite) -> None:
    (submitted.root / "cache" / "teachers").mkdir(parents=True)
    (submitted.root / "notes.txt").write_text("see also")
    report = submitted.validated(claimed)
    assert report.violations == ()
    assert "not read: cache and notes.txt" in report.notes


def test_an_empty_folder_is_refused(claimed: ClaimedSuite, tmp_path: Path) -> None:
    assert "contains no records" in lines(validate(read(tmp_path), claimed))


def test_the_published_results_hold(tmp_path: Path) -> None:
    shutil.copytree(PUBLISHED, tmp_path / "quick")
    report = validate(read(tmp_path / "quick"), claimed_suite(load("quick"), tmp_path))
    assert report.violations == (), lines(report)
    assert report.records == len(list((PUBLISHED / "records").rglob("*.json")))


def test_the_document_names_every_check_and_counts_the_forgeries() -> None:
    text = (PUBLISHED.parents[1] / "docs" / "submitting.md").read_text()
    table = text.partition("| check | what holds |")[2].partition("\n\n")[0]
    names = {name for row in table.splitlines()[2:] for name in row.split("|")[1].replace(",", " ").split()}
    assert names == {"files", "records", *CHECKS}
    assert f"holds {len(FORGERIES)} forgeries" in text


def test_ranges_follow_the_unit() -> None:
    for name, unit, direction, inside, outside in (
        ("accuracy", "%", "higher", 100.0, 100.1),
        ("psnr", "dB", "higher", 33.0, 101.0),
        ("ssim", "", "higher", -1.0, 1.01),
        ("classifier_fid", "", "lower", 0.0, -0.1),
        ("classifier_fid_infinity", "", "lower", -0.2, -60.0),
        ("classifier_kid", "×10⁻³", "lower", -6.0, -60.0),
        ("neg_elbo", "nats", "lower", -1.0, float("inf")),
        ("objective", "", "lower", 3.0, -3.0),
        ("novel", "points", "higher", -3.0, float("nan")),
    ):
        limits = ranges.possible_range(name, unit, direction)
        assert ranges.is_inside(inside, limits)
        assert not ranges.is_inside(outside, limits)
