"""What identifies data in a configuration: their pixels, wherever these come from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from distillbench.bench.suite.resolve import load
from distillbench.common.errors import DataWarning, warn_once
from distillbench.tasks.base import Folders, Splits
from distillbench.tasks.data import disk_cache, embedded
from distillbench.tasks.data.embedded import digits, photographs
from distillbench.tasks.data.folders import identity, photograph_splits


def teacher_hash(task: str) -> str:
    (pair,) = load("smoke", [], [task]).pairs
    return pair.teacher_hash(0)


def inverted(splits: Splits[Any]) -> Splits[Any]:
    test = splits.test
    images = tuple(255 - image for image in test.images)
    return replace(
        splits, test=replace(test, images=torch.stack(images) if isinstance(test.images, torch.Tensor) else images)
    )


@pytest.mark.parametrize(("kind", "task"), [("digits", "classification"), ("photographs", "denoising")])
def test_embedded_data_of_other_pixels_are_other_data(kind: str, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known, before = identity(Folders(), kind), teacher_hash(task)
    assert known["name"] == kind
    changed = inverted(digits() if kind == "digits" else photographs())
    monkeypatch.setattr(f"distillbench.tasks.data.folders.{kind}", lambda: changed)
    assert identity(Folders(), kind) != known
    assert teacher_hash(task) != before


def test_a_set_to_report_on_leaves_the_pixels_of_the_embedded_ones_in_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "x.png")
    before = identity(Folders(test=tmp_path), "photographs")
    assert before["train"] == before["validation"] == identity(Folders(), "photographs")
    changed = inverted(photographs())
    monkeypatch.setattr("distillbench.tasks.data.folders.photographs", lambda: changed)
    assert identity(Folders(test=tmp_path), "photographs")["train"] != before["train"]


@pytest.mark.parametrize(("file", "kind"), [("camera.png", "photographs"), ("digits.csv.gz", "digits")])
def test_a_changed_file_of_a_package_changes_the_identity(
    file: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, installed = identity(Folders(), kind), embedded._installed

    def elsewhere(package: str, path: str) -> Path:
        return tmp_path / file if path.endswith(file) else installed(package, path)

    if kind == "photographs":
        with Image.open(installed("skimage", "data/camera.png")) as image:
            image.point(lambda level: 255 - level).save(tmp_path / file)
    else:
        table = installed("sklearn", "datasets/data/digits.csv.gz")
        shutil.copy(table, tmp_path / file)
        content = embedded.np.loadtxt(table, delimiter=",", dtype=int)
        content[0, 0] = 16
        embedded.np.savetxt(tmp_path / file, content, fmt="%d", delimiter=",")
    monkeypatch.setattr(embedded, "_installed", elsewhere)
    loader = embedded.digits if kind == "digits" else embedded.photographs
    monkeypatch.setattr(f"distillbench.tasks.data.folders.{kind}", loader.__wrapped__)
    assert identity(Folders(), kind) != known


def test_another_style_picture_is_another_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    before, picture = teacher_hash("style_transfer"), embedded.read_picture(*embedded.STYLE_PICTURE)
    monkeypatch.setattr("distillbench.tasks.style_transfer.read_picture", lambda *_: 255 - picture)
    assert teacher_hash("style_transfer") != before


def test_without_a_home_nothing_is_kept_and_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for variable in (disk_cache.CACHE, "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    warn_once.cache_clear()
    Image.new("RGB", (40, 40)).save(tmp_path / "x.png")
    assert photograph_splits(Folders(test=tmp_path)).test.names == ("x.png",)
    identity(Folders(test=tmp_path), "photographs")
    embedded.photographs.__wrapped__()
    identity(Folders(name="mnist_sample"), "digits")
    line = "data: there is no home folder to cache in, so all is read again next time (set DISTILLBENCH_CACHE=DIR)"
    assert [str(warning.message) for warning in recwarn] == [line]


def test_a_place_that_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(disk_cache.CACHE, str(tmp_path / ("x" * 300)))
    warn_once.cache_clear()
    with pytest.warns(DataWarning, match=r"x/images cannot be written \(File name too long\): all is read again"):
        assert len(embedded.photographs.__wrapped__().test) == 6


def test_embedded_photographs_are_decoded_once_for_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = photographs()
    monkeypatch.setattr("distillbench.tasks.data.files.read", lambda *_: pytest.fail("was decoded again"))
    for split in ("train", "validation", "test"):
        again: Any = getattr(embedded.photographs.__wrapped__(), split)
        assert all(map(torch.equal, again.images, getattr(before, split).images))
