"""The user's paths, by the real command."""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from distillbench.bench.store.records import Store
from support.processes import Run, finish, refused, reproducible


def test_help_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom distillbench.bench import cli\ntry:\n cli.app(['--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = finish([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    assert "import distillbench.bench" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["list"], ["table", "{results}"], ["plan", "smoke", "--seeds", "1,x"], ["--debug", "run", "quik"]]
)
def test_the_tests_start_it_as_a_shell_does(arguments: list[str], cli: Run, cold_cli: Run, tiny_results: Path) -> None:
    words = [word.replace("{results}", str(tiny_results)) for word in arguments]
    warm, cold = cli(*words), cold_cli(*words)
    assert (warm.returncode, warm.stdout) == (cold.returncode, cold.stdout)
    assert warm.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]  # a traceback has other frames above


def test_a_run_makes_every_record_and_says_so(tiny_results: Path, cli: Run) -> None:
    records = list(Store(tiny_results))
    assert len(records) == 1 + 1 + 5 * 3
    assert all(record.status == "finished" for record in records)
    student = next(r for r in records if r.label == "temperature")
    assert student.size is not None
    assert student.size.parameters == 64 * 16 + 16 + 16 * 10 + 10
    assert student.size.macs == 64 * 16 + 16 * 10
    assert student.size.bytes == 4 * student.size.parameters
    assert len(student.examples["accuracy"]) == 500
    assert len(student.example_names) == 500
    for name, examples in student.examples.items():
        assert student.metrics[name].value == pytest.approx(sum(examples) / 500)
    path = tiny_results / "records/classification/cnn_mlp/temperature/seed-0.json"
    assert len(path.read_text().splitlines()) < 210
    assert student.environment["libraries"]["torch"] == version("torch")
    assert (tiny_results / "figures/classification--cnn_mlp--hardest.png").stat().st_size > 1000


def test_records_say_what_stands_apart_what_is_usual_and_what_was_fitted(tiny_results: Path) -> None:
    records = {r.label: r for r in Store(tiny_results)}
    assert {label for label, r in records.items() if r.control} == {"scratch", "mimic"}
    assert {label: r.fitted for label, r in records.items() if r.fitted} == {"logistic": "half"}
    assert set(records["temperature"].defaults) == {"weight_schedule", "task_weight", "alpha"}
    assert set(records["scratch"].defaults) == {"weight", "weight_schedule", "task_weight"}
    assert records["teacher"].defaults == ()


def test_what_is_not_defined_is_said_before_anything_is_trained(cli: Run, tmp_path: Path) -> None:
    suite, out = tmp_path / "some.toml", tmp_path / "out"
    suite.write_text(
        'seeds = [0]\nsteps = 8\nmethods = ["scratch", "scratch_long"]\n[tasks.classification]\n'
        'pairs = ["cnn_mlp", "longer"]\nstudent.network.hidden = [16]\npair.longer.teacher.steps = 12\n'
    )
    reason = "scratch_long is not defined: needs a teacher with more steps than the student"
    planned = cli("plan", suite, "--out", out).stdout
    assert f"classification/cnn_mlp: {reason}" in planned
    rows = [line.split() for line in planned.splitlines()]
    assert ["classification", "cnn_mlp", "scratch_long", "–"] in rows
    assert ["classification", "longer", "scratch_long", "1", "1"] in rows
    done = cli("run", suite, "--out", out)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [line for line in lines if "cells, 0 finished" in line or line.endswith(reason)]
    assert reason not in cli("run", suite, "--out", out).stdout  # which trains nothing
    table = cli("table", out).stdout
    assert f"cnn_mlp: {reason}" in " ".join(table.split())
    assert "missing" not in table
    (task,) = json.loads(cli("table", out, "--format", "json").stdout)
    undefined = {row["pair"]: row["undefined"] for row in task["rows"] if row["method"] == "scratch_long"}
    assert undefined == {"cnn_mlp": reason.partition(": ")[2], "longer": None}


def test_a_second_run_does_nothing_and_says_so(tiny_results: Path, tiny_suite: Path, cli: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_results.rglob("*") if path.is_file()}
    done = cli("run", tiny_suite, "--out", tiny_results)
    assert done.returncode == 0
    assert "17 cells, 17 finished: nothing to do" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in tiny_results.rglob("*") if path.is_file()}


def test_what_is_missing_is_made_again_to_the_bit(
    tiny_results: Path, tiny_suite: Path, cli: Run, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(tiny_results, out)
    expected_records = reproducible(out)
    shutil.rmtree(out / "cache")
    for gone in ("logistic/seed-1", "cross_model/seed-2", "teacher/seed-0"):
        (out / f"records/classification/cnn_mlp/{gone}.json").unlink()
    plan = cli("plan", tiny_suite, "--out", out)
    assert "17 cells, 14 finished" in plan.stdout
    assert cli("run", tiny_suite, "--out", out).returncode == 0
    assert reproducible(out) == expected_records


def test_another_configuration_is_not_overwritten_unasked(
    tiny_results: Path, tiny_suite: Path, cli: Run, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(tiny_results, out)
    before = reproducible(out)
    change = ("--set", "tasks.classification.student.learning_rate=0.5")
    refused = cli("run", tiny_suite, "--out", out, *change)
    assert refused.returncode == 2
    assert "settings.student.learning_rate: made with 0.002, asked for 0.5 (15 of 17 records" in refused.stderr
    assert reproducible(out) == before
    assert cli("run", tiny_suite, "--out", out, *change, "--overwrite").returncode == 0
    changed = {key for key, record in reproducible(out).items() if record != before[key]}
    assert len(changed) == 15


def test_validation_figures_are_marked_as_such(tiny_results: Path, cli: Run) -> None:
    table = cli("table", tiny_results, "--split", "validation", "--format", "markdown").stdout
    assert "measured on the validation split: for choosing, not for reporting" in table


def test_formats_agree(tiny_results: Path, cli: Run, tmp_path: Path) -> None:
    import pandas as pd

    (task,) = json.loads(cli("table", tiny_results, "--format", "json").stdout)
    (tmp_path / "t.csv").write_text(cli("table", tiny_results, "--format", "csv").stdout)
    frame = pd.read_csv(tmp_path / "t.csv")
    assert [row["method"] for row in task["rows"]] == frame["method"].tolist()
    assert [row["accuracy"] for row in task["rows"]] == pytest.approx(frame["accuracy"].tolist())
    latex = cli("table", tiny_results, "--format", "latex").stdout
    assert r"\toprule" in latex
    assert r"cross\_model" in latex
    assert latex.isascii() or "—" not in latex
    written = cli("table", tiny_results, "--format", "markdown", "--output", tmp_path / "t.md")
    assert written.returncode == 0
    assert (tmp_path / "t.md").read_text() == cli("table", tiny_results, "--format", "markdown").stdout


def test_show_prints_a_record(tiny_results: Path, cli: Run) -> None:
    printed = cli("show", tiny_results / "records/classification/cnn_mlp/temperature/seed-0.json").stdout
    assert "'temperature': 4.0" in printed
    assert "'config_hash'" in printed


def test_the_library_gives_the_same_records(tiny_results: Path) -> None:
    from distillbench import load_records

    frame = load_records(tiny_results)
    assert len(frame) == 17
    assert set(frame["status"]) == {"finished"}
    assert frame.loc[frame["kind"] == "student", "accuracy"].notna().all()


@pytest.mark.parametrize("kind", ["methods", "tasks", "pairs"])
def test_every_setting_is_listed_with_its_default_and_range(cli: Run, kind: str) -> None:
    name = {"methods": "cross_model", "tasks": "super_resolution", "pairs": "super_resolution"}[kind]
    text = cli("list", kind, name).stdout
    expected = {
        "methods": ["task_weight", "> 0", "λ, on the student's own task loss"],
        "tasks": ["tasks.super_resolution.…", "scale", "whole, ≥ 2, ≤ 4", "student.network.features"],
        "pairs": ["edsr_espcn_x3", "scale     3", "edsr(width=32"],
    }[kind]
    for part in expected:
        assert part in text


def test_lists_import_no_torch_and_plans_no_more_than_they_need(tmp_path: Path) -> None:
    """What makes them quick: timings are not for tests."""
    code = (
        "import sys\nfrom distillbench.bench import cli\ntry:\n cli.app(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'torch._dynamo', 'sklearn', 'skimage', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    listed = finish([sys.executable, "-c", code, "list"])
    assert listed.stdout.endswith("[]\n"), listed.stderr
    planned = finish([sys.executable, "-c", code, "plan", "smoke", "--out", str(tmp_path)])
    # torch's own counter of operations, of which the estimate is made, imports its compiler.
    assert planned.stdout.endswith("['torch', 'torch._dynamo']\n"), planned.stderr


def test_completion_knows_suites_methods_and_tasks(cli: Run) -> None:
    def complete(words: str) -> list[str]:
        shell = {"_DISTILLBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        script = Path(sys.executable).with_name("distillbench")  # a shell completes a command by its name
        return finish([str(script)], env=os.environ | shell).stdout.split()

    assert complete("distillbench run qu") == ["quick"]
    assert complete("distillbench run quick --methods temp") == ["temperature"]
    assert complete("distillbench run quick --task v") == ["vae"]


def test_methods_and_seeds_are_chosen_on_the_command_line(cli: Run, tmp_path: Path) -> None:
    arguments = ("--task", "vae,gan", "--methods", "scratch", "--methods", "logistic", "--seeds", "2-4,9")
    plan = cli("plan", "smoke", *arguments, "--out", tmp_path).stdout
    assert "22 cells" in plan  # for each task: a teacher, 2 × 4 students, 2 baselines
    assert "temperature" not in plan
    refused(cli("plan", "smoke", "--seeds", "1,x"), "--seeds: invalid seed 'x'")
    refused(cli("plan", "smoke", "--seeds", "5-2"), "--seeds: the range '5-2' has 0 values (allowed: 1 to 10000)")
    refused(cli("plan", "smoke", "--seeds", "0-999999999"), "--seeds: the range '0-999999999' has 1000000000 values")
    for option in ("--seeds", "--methods", "--tasks"):
        refused(cli("plan", "smoke", option, ""), f"{option}: is empty")
    refused(cli("plan", "smoke", "--methods", "heat"), "--methods: methods: unknown method 'heat'")


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_empty_results_folder_is_refused(cli: Run, command: str) -> None:
    refused(cli(command, "smoke", "--out", ""), "--out: is empty")


# -- bad input --------------------------------------------------------------------------------------------------


def test_unknown_names_are_guessed(cli: Run, tiny_results: Path) -> None:
    refused(cli("run", "quik"), "no suite 'quik'; did you mean 'quick'?")
    refused(cli("plan", "quick", "--set", "tasks.gan.stepz=1"), "tasks.gan.stepz: unknown key; did you mean 'steps'?")
    refused(cli("table", tiny_results, "--task", "clasification"), "did you mean 'classification'?")
    refused(cli("list", "method"), "did you mean 'methods'?")


def test_cuda_without_a_device_is_said(cli: Run, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        refused(cli("run", "smoke", "--device", "cuda:99", "--out", tmp_path), "cuda:99")
    else:
        refused(cli("run", "smoke", "--device", "cuda", "--out", tmp_path), "torch sees no CUDA device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "cannot be read as a record"),
        ("[1, 2]", "not a distillbench record"),
        ('{"name": "other"}', "not a distillbench record (no field schema_version)"),
        ('{"schema_version": 99}', "schema_version: 99 is not a version that this program reads (allowed: 6)"),
        ('{"schema_version": 6}', "kind: Field required"),
    ],
)
def test_foreign_and_newer_records_are_named(cli: Run, tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "records" / "x.json"
    path.parent.mkdir()
    path.write_text(content)
    refused(cli("show", path), str(path), expected)
    refused(cli("table", tmp_path), str(path), expected)


def test_a_folder_without_records_is_named(cli: Run, tmp_path: Path) -> None:
    refused(cli("table", tmp_path / "nowhere"), "no such results folder")
    refused(cli("table", tmp_path), "holds no records")


def test_a_folder_that_cannot_be_written_stops_the_run_before_it_starts(
    cli: Run, tiny_suite: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    refused(cli("run", tiny_suite, "--out", tmp_path / "file" / "out"), "cannot be written: Not a directory")


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """Writes that fail at the last moment: no file, no temporary file."""
    import errno
    from unittest.mock import patch

    from distillbench.common.atomic import write_atomically

    with (
        patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device")),
        pytest.raises(OSError, match="No space left"),
    ):
        write_atomically(tmp_path / "x.json", b"{}")
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(cli: Run) -> None:
    done = cli("--debug", "run", "quik")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_folders_that_cannot_be_used_are_named_by_the_command(cli: Run, tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    for i in range(40):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8 if i else 9), i, dtype=np.uint8)).save(path)
    setting = f"tasks.classification.data.train={tmp_path / 'data'}"
    for command in ("plan", "run"):
        done = cli(command, "smoke", "--task", "classification", "--set", setting, "--out", tmp_path / "out")
        refused(done, "0.png is 9×8", "class folders need images of one size")
    missing = cli("run", "smoke", "--task", "gan", "--set", "tasks.gan.data.train=/nowhere", "--out", tmp_path / "out")
    refused(missing, "tasks.gan.data: /nowhere is not a folder")


def test_a_suite_can_be_cut_to_some_tasks(cli: Run, tmp_path: Path) -> None:
    plan = cli("plan", "smoke", "--task", "vae", "--out", tmp_path)
    assert "vae" in plan.stdout
    assert "gan" not in plan.stdout
    refused(cli("plan", "smoke", "--task", "va", "--out", tmp_path), "the suite has no task 'va'; did you mean 'vae'?")


def test_a_disk_that_fills_up_stops_the_run_and_keeps_what_was_finished(
    cli: Run, tiny_suite: Path, tiny_results: Path, tmp_path: Path
) -> None:
    """The records' folder cannot be written any more: one line, exit code 2, the other records still read."""
    out = tmp_path / "copy"
    shutil.copytree(tiny_results, out)
    expected_records = reproducible(out)
    target = out / "records/classification/cnn_mlp/mimic"
    shutil.rmtree(target)
    target.write_text("in the way")  # as on a read-only disk, but also for root
    refused(cli("run", tiny_suite, "--out", out), "cannot be written", "what was finished is kept")
    target.unlink()
    assert cli("run", tiny_suite, "--out", out).returncode == 0
    assert reproducible(out) == expected_records


@pytest.mark.parametrize("form", ["terminal", "markdown"])
def test_output_that_cannot_be_written_is_said_in_a_line(tiny_results: Path, form: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = finish([sys.executable, "-m", "distillbench", "table", str(tiny_results), "--format", form], stdout=full)
    assert done.returncode == 2
    assert done.stderr == "distillbench: standard output: cannot be written (No space left on device)\n"


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
@pytest.mark.parametrize("form", ["terminal", "markdown"])
def test_a_locale_without_our_signs_gets_others(
    cold_cli: Run, tiny_results: Path, variables: dict[str, str], form: str
) -> None:
    done = cold_cli("table", tiny_results, "--format", form, env=os.environ | variables)
    assert done.returncode == 0, done.stderr
    assert "temperature" in done.stdout
    assert done.stderr == ""
