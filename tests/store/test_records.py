"""Files that are no records, or not what they say: named, never counted, and made again. By the real command."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Store
from support.processes import Run, refused, reproducible

FOLDER = Path("records/classification/cnn_mlp")


@pytest.fixture
def out(tiny_results: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be spoilt."""
    folder = tmp_path / "copy"
    shutil.copytree(tiny_results, folder)
    return folder


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def table(cli: Run, out: Path) -> dict[str, Any]:
    done = cli("table", out, "--format", "json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    return found | {"finished": {row["method"]: row["finished"] for row in found["rows"]}}


# -- a row is one configuration ---------------------------------------------------------------------------------


def test_a_folder_that_ran_twice_shows_both_configurations(cli: Run, tiny_suite: Path, tmp_path: Path) -> None:
    short = ("--set", "steps=2", "--set", 'methods=["scratch", "mimic"]', "--out", tmp_path)
    assert cli("run", tiny_suite, *short, "--set", "seeds=[0]").returncode == 0
    other = ("--set", "seeds=[1]", "--set", "tasks.classification.student.learning_rate=0.5")
    assert cli("run", tiny_suite, *short, *other).returncode == 0
    finished = table(cli, tmp_path)["finished"]
    assert finished["mimic (student.learning_rate 0.002)"] == finished["mimic (student.learning_rate 0.5)"] == 1
    assert "mimic" not in finished


def test_teachers_one_a_seed_are_one_row(cli: Run, tiny_suite: Path, tmp_path: Path) -> None:
    options = ("--set", "steps=2", "--set", 'methods=["scratch", "mimic"]', "--set", 'teachers="per-seed"')
    assert cli("run", tiny_suite, *options, "--out", tmp_path).returncode == 0
    finished = table(cli, tmp_path)["finished"]
    assert finished == {"teacher": 3, "scratch": 3, "mimic": 3, "nearest centroid": 1}


# -- copies are no seeds ----------------------------------------------------------------------------------------


def test_copies_are_named_and_not_counted(cli: Run, out: Path) -> None:
    before = table(cli, out)
    shutil.copytree(out / FOLDER / "mimic", out / FOLDER / "mimic_backup")
    shutil.copy(out / FOLDER / "mimic/seed-0.json", out / FOLDER / "mimic/seed-0 (1).json")
    shutil.copy(out / FOLDER / "mimic/seed-0.json", out / FOLDER / "mimic/seed-7.json")
    after = table(cli, out)
    assert after["rows"] == before["rows"]
    assert len(after["problems"]) == 5
    place = FOLDER / "mimic/seed-0.json"
    assert f"{out / FOLDER}/mimic/seed-0 (1).json: holds the record of {place}" in after["problems"]
    text = cli("table", out, "--format", "markdown").stdout
    assert f"- left out: {out / FOLDER}/mimic_backup/seed-0.json: holds the record of {place}\n" in text


EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another seed": (lambda r: r.update(seed=9), "config.seed: 0, in a record of 9"),
    "another method": (lambda r: r.update(label="scratch"), "config.method: 'mimic', in a record of 'scratch'"),
    "another task": (lambda r: r.update(task="gan"), "config.task: 'classification', in a record of 'gan'"),
    "another pair": (
        lambda r: r.update(pair="big"),
        "holds the record of records/classification/big/mimic/seed-0.json",
    ),
    "another setting": (lambda r: r["config"].update(device="cuda"), "config_hash: is not the hash of config"),
    "another figure": (
        lambda r: r["metrics"]["nll"].update(value=r["metrics"]["nll"]["value"] - 0.01),
        "and the mean of its examples is",
    ),
    "an infinity in its configuration": (
        lambda r: r["config"].update(version=[1.0, math.inf]),
        "config.version.1: inf is not a number (allowed: finite numbers)",
    ),
    "no number in its environment": (
        lambda r: r["environment"]["libraries"].update(torch=math.nan),
        "environment.libraries.torch: nan is not a number (allowed: finite numbers)",
    ),
    "another item": (lambda r: r["examples"]["nll"].pop(), "examples.nll: 499 values of 500 examples"),
    "another direction": (
        lambda r: r["metrics"]["nll"].update(direction="higher"),
        "metrics.nll.direction: 'higher', and 'lower' in other records of classification",
    ),
    "another unit": (
        lambda r: r["metrics"]["nll"].update(unit="bits"),
        "metrics.nll.unit: 'bits', and 'nats' in other records of classification",
    ),
    "another way to compare": (
        lambda r: r["metrics"]["ece"].update(compared="ratio"),
        "metrics.ece.compared: 'ratio', and 'difference' in other records of classification",
    ),
    "a ratio of nothing": (
        lambda r: r["metrics"]["ece"].update(compared="ratio", value=0.0),
        "metrics.ece: 0, of a metric that is compared as a ratio (positive)",
    ),
    "a ratio with a result for each example": (
        lambda r: r["metrics"]["nll"].update(compared="ratio"),
        "examples.nll: per-example results of a metric that is compared as a ratio",
    ),
    "a quality beyond all measurements": (
        lambda r: r["metrics"]["nll"].update(value=1e308),
        "metrics.nll.value: 1e+308 is out of range (allowed: at most 1e+100)",
    ),
    "a size beyond all networks": (
        lambda r: r["size"].update(parameters=10**400),
        "size.parameters: 10000000000000000000… is out of range (allowed: below 9.22337e+18)",
    ),
    "half of a character": (lambda r: r.update(pair="\ud800"), r"pair: '\ud800' has half of a character"),
    "half of a character in a name": (
        lambda r: r["config"].update({"\udc00": 1}),
        r"'\udc00' has half of a character (allowed: whole characters)",
    ),
    "more digits than a number has": (
        lambda r: r["metrics"]["nll"].update(decimals=10**6),
        "metrics.nll.decimals: 1000000 is out of range (allowed: at most 9)",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_record_that_is_not_what_it_says_is_left_out(cli: Run, out: Path, name: str) -> None:
    change, reason = EDITS[name]
    path = out / FOLDER / "mimic/seed-0.json"
    edit(path, change)
    found = table(cli, out)
    assert found["finished"]["mimic"] == 2
    (problem,) = found["problems"]
    assert problem.startswith(f"{path}: ")
    assert reason in problem


@pytest.mark.parametrize("value", [[], None, 3, {"student": []}, {"student": None}])
def test_settings_that_are_no_tables_break_no_table(cli: Run, out: Path, value: object) -> None:
    path = out / FOLDER / "mimic/seed-0.json"
    edit(path, lambda r: r["config"].update(settings=value))
    edit(path, lambda r: r.update(config_hash=canonical_hash(r["config"])))
    assert sum(count for name, count in table(cli, out)["finished"].items() if name.startswith("mimic")) == 3


def test_rounding_and_what_is_no_part_of_a_configuration_are_no_problem(tiny_results: Path) -> None:
    assert not Store(tiny_results).scan().problems


# -- one bad file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "json"])
def test_an_unreadable_file_is_named_beneath_the_table(cli: Run, out: Path, form: str) -> None:
    (out / FOLDER / "mimic/seed-0.json").write_text('{"schema_version": 2, "kind"')
    (out / "records/notes.json").write_text('{"name": "\\ud800"}')
    os.mkfifo(out / FOLDER / "pipe.json")
    (out / "expected.json").write_text("[{")
    done = cli("table", out, "--format", form)
    assert done.returncode == 0, done.stderr
    shown = "".join(done.stdout.split())
    for name in ("mimic/seed-0.json", "records/notes.json", "pipe.json", "expected.json"):
        assert f"{name}:" in shown, name
    assert "scratch" in shown


def test_csv_stays_clean_and_stderr_names_the_file(cli: Run, out: Path) -> None:
    for seed in (0, 1):
        (out / FOLDER / f"mimic/seed-{seed}.json").write_text("")
    done = cli("table", out, "--format", "csv")
    assert done.returncode == 0
    assert [row["finished"] for row in csv.DictReader(io.StringIO(done.stdout)) if row["method"] == "mimic"] == ["1"]
    assert [line.split(": cannot be read")[0] for line in done.stderr.splitlines()] == [
        f"left out: {out / FOLDER}/mimic/seed-{seed}.json" for seed in (0, 1)
    ]


def test_a_folder_in_which_nothing_can_be_read_is_refused(cli: Run, out: Path) -> None:
    for path in (out / "records").rglob("*.json"):
        path.write_text("{}")
    refused(cli("table", out), f"{out}: holds no records that can be used", "seed-0.json: not a distillbench record")


def test_the_library_warns_and_goes_on(out: Path) -> None:
    from distillbench import load_records

    (out / FOLDER / "mimic/seed-0.json").write_text("")
    with pytest.warns(UserWarning, match=r"left out: .*mimic/seed-0.json: cannot be read"):
        assert len(load_records(out)) == 16


# -- made again -------------------------------------------------------------------------------------------------


def test_a_run_makes_again_what_cannot_be_used(cli: Run, tiny_suite: Path, out: Path) -> None:
    wanted = reproducible(out)
    mimic, scratch = out / FOLDER / "mimic", out / FOLDER / "scratch"
    (mimic / "seed-0.json").write_text("")
    (mimic / "seed-2.json").write_text('{"name": "other"}')
    edit(mimic / "seed-1.json", lambda r: r.update(config_hash="0" * 64))
    edit(scratch / "seed-0.json", lambda r: r["metrics"]["nll"].update(direction="higher"))
    edit(scratch / "seed-1.json", lambda r: r["metrics"]["accuracy"].update(value=100.0))
    (scratch / "seed-2.json").write_text("[1]")
    plan = cli("plan", tiny_suite, "--out", out)
    assert "17 cells, 11 finished, 6 unreadable" in plan.stdout
    done = cli("run", tiny_suite, "--out", out)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if "it is made again" in line]
    assert len(said) == 5
    assert any(f"{mimic}/seed-1.json: config_hash: is not the hash of config" in line for line in said)
    assert "and 1 more\n" in done.stdout
    assert reproducible(out) == wanted


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_record_of_another_schema_is_not_replaced_unasked(
    cli: Run, tiny_suite: Path, out: Path, overwrite: bool
) -> None:
    wanted = reproducible(out)
    old = out / FOLDER / "mimic/seed-0.json"
    edit(old, lambda r: r.update(schema_version=1))
    (out / FOLDER / "mimic/seed-1.json").write_text("")
    before = old.read_bytes()
    plan = cli("plan", tiny_suite, "--out", out)
    assert "15 finished, 1 unreadable, 1 of another configuration" in plan.stdout
    done = cli("run", tiny_suite, "--out", out, *(["--overwrite"] if overwrite else []))
    if overwrite:
        assert done.returncode == 0, done.stderr
        assert reproducible(out) == wanted
    else:
        assert done.returncode == 2
        assert f"{old}: schema_version: 1 is not a version that this program reads (allowed: 6)" in done.stderr
        assert old.read_bytes() == before


def test_a_record_in_the_place_of_another_seed_is_not_replaced_unasked(cli: Run, tiny_suite: Path, out: Path) -> None:
    (out / FOLDER / "mimic/seed-0.json").replace(out / FOLDER / "mimic/seed-1.json")
    done = cli("run", tiny_suite, "--out", out)
    assert done.returncode == 2
    assert "mimic/seed-1.json: seed: made with 0, asked for 1" in done.stderr


# -- where a table goes -----------------------------------------------------------------------------------------


def test_a_table_replaces_nothing_but_a_regular_file(cli: Run, tiny_results: Path, tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target.md"
    os.mkfifo(pipe)
    link.symlink_to(target)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    write = ("table", tiny_results, "--format", "markdown", "--output")
    for path in (pipe, tmp_path, Path("/dev/null"), Path("/dev/full")):
        kind = path.stat().st_mode
        refused(cli(*write, path), f"--output: {path} is not a regular file")
        assert path.stat().st_mode == kind
    refused(cli(*write, ""), "is not a regular file")
    refused(cli(*write, tmp_path / "loop"), "--output", "cannot be written")
    assert cli(*write, link).returncode == 0
    assert link.is_symlink()
    assert "| mimic" in target.read_text()
