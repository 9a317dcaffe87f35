"""Standard sets by name: what is said of them, by cards, records and the command."""

from __future__ import annotations

from pathlib import Path

from distillbench.bench.export.trained_network import pair_of
from distillbench.bench.report.card import licences
from distillbench.bench.report.suite_of_record import suite_file, suite_of
from distillbench.bench.store.records import Store
from distillbench.bench.suite.resolve import as_table, load
from distillbench.tasks.base import Folders
from distillbench.tasks.data import sets, standard
from support.processes import Run

# -- what is said of them -------------------------------------------------------------------------------------------


def test_every_set_of_the_table_is_credited_and_consistent() -> None:
    for name, dataset in sets.table().items():
        assert all((dataset.title, dataset.citation, dataset.licence, dataset.origin.startswith("http"))), name
        assert set(dataset.shares) <= set(sets.table()) - {name}
        assert all(name in sets.table()[other].shares for other in dataset.shares)
        assert bool(dataset.files) != bool(dataset.folders)
        assert set(dataset.folders) <= set(dataset.images) <= set(standard.SPLITS)
        assert (dataset.kind == "labelled") == bool(dataset.classes) == (dataset.shape != (0, 0, 0))
        assert len(set(dataset.classes)) == len(dataset.classes)


def test_a_card_credits_the_sets_of_a_configuration() -> None:
    identity = {"name": "train400", "sha256": "0"}
    assert licences(identity)[0].startswith(
        "all splits: DnCNN's 400 grey training images, cut from BSDS500 (Chen & Pock 2017"
    )
    both = licences(
        {"photographs": identity | {"test": {"name": "set5", "sha256": "1"}}, "style": "x", "loss_network": None}
    )
    assert both[0].startswith("train and validation: DnCNN's 400")
    assert both[1].startswith("test: Set5 (Bevilacqua et al. 2012; no licence stated), from https://")
    assert licences({"images": {"name": "cifar10", "sha256": "0"}, "inception": "1"})[0].startswith(
        "all splits: CIFAR-10"
    )
    assert licences({"train": "a", "validation": "carved", "test": {"name": "set5"}})[2].startswith("test: Set5 (")
    assert licences({"name": "gone", "sha256": "0"}) == ["all splits: gone; its licence is not known"]


def test_the_settings_of_named_sets_are_read_off_a_configuration() -> None:
    identity = {"name": "train400", "sha256": "0", "test": {"name": "set5", "sha256": "1"}}
    both = {"name": "train400", "test_name": "set5"}
    for whole in (identity, {"photographs": identity, "style": "x"}, {"images": identity, "inception": "y"}):
        assert sets.settings_of(whole) == both
    for other in (
        {"name": "digits", "sha256": "0"},
        "digits",
        {"train": "a", "validation": "carved", "test": "b"},
        None,
        {"name": 3},
    ):
        assert sets.settings_of(other) == {}


# -- the command ----------------------------------------------------------------------------------------------------


def test_the_command_says_what_there_is(cli: Run, tmp_path: Path) -> None:
    listed = cli("data", "list", "--data", tmp_path)
    assert listed.returncode == 0, listed.stderr
    rows = {line.split()[0]: line.split() for line in listed.stdout.splitlines() if line.split()}
    assert rows["mnist_sample"][:6] == ["mnist_sample", "labelled", "3,500", "500", "1,000", "found"]
    assert rows["cifar10"][:7] == ["cifar10", "labelled", "50,000", "a", "tenth", "10,000", "missing"]
    assert f"data root: {tmp_path}" in listed.stdout
    whole = cli("data", "check", "mnist_sample")
    assert whole.returncode == 0, whole.stderr
    assert "3,500 train, 500 validation, 1,000 test" in whole.stdout
    (tmp_path / "set5").mkdir()
    for arguments, message in {
        ("check", "cifar10", "--data", tmp_path): f"'cifar10' is missing: there is no {tmp_path}/cifar-10-batches-py/",
        (
            "check",
            "set5",
            "--data",
            tmp_path,
        ): f"'set5' is incomplete: {tmp_path}/set5 holds 0 pictures (expected 5); down",
        ("check", "cifr10"): "unknown set 'cifr10'; did you mean 'cifar10'?",
        ("fetch", "set14"): "'set14' cannot be fetched by this command: download it from https://",
        ("fetch", "cifar10"): "'cifar10': the data root is not set",
        ("list", "--data", ""): "--data: is empty",
        ("list", "--data", tmp_path / "nowhere"): f"--data: {tmp_path}/nowhere is not a folder",
    }.items():
        result = cli("data", *arguments)
        assert result.returncode == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1, result.stderr


def test_a_run_on_a_set_by_name_leaves_records_that_know_it(cli: Run, tmp_path: Path) -> None:
    suite = tmp_path / "named.toml"
    suite.write_text(
        'seeds = [0]\nsteps = 4\nmethods = ["scratch"]\n'
        '[tasks.classification]\nlabels = 200\ndata = { name = "mnist_sample" }\n'
        "student = { network = { hidden = [16] } }\n"
    )
    result = cli("run", suite, "--out", tmp_path / "out", "--data", tmp_path)
    assert result.returncode == 0, result.stderr
    records = list(Store(tmp_path / "out"))
    assert {record.config["data"]["name"] for record in records} == {"mnist_sample"}
    student = next(record for record in records if record.kind == "student")
    assert pair_of(student).settings.data == Folders(name="mnist_sample")
    again = suite_of(student)
    assert again["tasks"]["classification"]["data"] == {"name": "mnist_sample"}
    (cell,) = [cell for cell in load(again).cells if cell.kind == "student"]
    assert cell.hash == student.config_hash
    assert '[tasks.classification.data]\nname = "mnist_sample"\n' in suite_file(student)
    assert load(as_table(load(str(suite)))) == load(str(suite))
    exported = cli("export", tmp_path / "out" / student.path, "--out", tmp_path / "onnx")
    assert exported.returncode == 0, exported.stderr
    assert "all splits: 5,000 images of MNIST" in (tmp_path / "onnx" / "README.md").read_text()
