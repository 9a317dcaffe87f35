"""Standard sets by name: what is read of them, how it is split and kept."""

from __future__ import annotations

import pickle
import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distillbench.bench.suite.resolve import load
from distillbench.common.errors import DataError, DataWarning, warn_once
from distillbench.tasks.base import Folders
from distillbench.tasks.data import disk_cache, reading, sets, standard
from distillbench.tasks.data.folders import identity, labelled_outline, labelled_splits, photograph_splits
from distillbench.tasks.data.pixels import pixel_digest
from support.paths import ROOT
from support.synthetic_sets import EACH, WRITERS, Made, enter, pictures, with_checksums

# -- labelled -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_torchvisions_files_are_read_as_they_were_written_and_split_as_documented(name: str, made_set: Made) -> None:
    dataset, (images, labels), test = made_set(name)
    splits = labelled_splits(Folders(name=name))
    rank = np.array([np.sum(labels[:i] == labels[i]) for i in range(len(labels))])
    validation = rank % 10 == 1
    for part, truth in zip(
        (splits.train, splits.validation, splits.test),
        ((images[~validation], labels[~validation]), (images[validation], labels[validation]), test),
        strict=True,
    ):
        assert np.array_equal(part.images.numpy(), truth[0])
        assert part.labels.tolist() == truth[1].tolist()
        assert part.classes == dataset.classes
    counts = torch.bincount(splits.validation.labels)
    assert counts.tolist() == [len(range(1, EACH if len(dataset.classes) == 10 else 11, 10))] * len(dataset.classes)
    assert labelled_outline(Folders(name=name)).train.images.shape[1:] == splits.train.images.shape[1:]


def test_validation_images_are_trained_on_where_a_suite_says_so(made_set: Made) -> None:
    _, (images, _), _ = made_set("cifar10")
    table = {"tasks": {"classification": {"data": {"name": "cifar10"}, "train_on_validation": True}}}
    task = load(table).pairs[0].build()
    apart = labelled_splits(Folders(name="cifar10"))
    assert task.examples("train") == len(images)
    names = set(task.splits.train.names)
    assert names == {*apart.train.names, *apart.validation.names}
    assert {*task.splits.validation.names, *task.splits.fitting.names} < names
    assert not names & set(task.splits.test.names)


def test_the_table_has_torchvisions_checksums() -> None:
    from torchvision import datasets

    for dataset in sets.table().values():
        cls = getattr(datasets, dataset.reader, None)
        if cls is None or dataset.reader in ("MNIST", "FashionMNIST"):
            continue
        lists = [[*getattr(cls, "train_list", ()), *getattr(cls, "test_list", ())]]
        lists.append([[name, md5] for _, name, md5 in getattr(cls, "split_list", {}).values()])
        lists.append([[cls.meta["filename"], cls.meta["md5"]]] if hasattr(cls, "meta") else [])
        checksums = {name: md5 for entries in lists for name, md5 in entries}
        for path, md5 in dataset.files.items():
            assert checksums[Path(path).name] == md5


def test_the_same_files_have_the_same_identity_under_any_root_and_others_another(
    made_set: Made, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_set("cifar10")
    folders = Folders(name="cifar10")
    before = identity(folders, "digits")
    assert set(before) == {"name", "sha256"}
    shutil.copytree(data_root, tmp_path / "elsewhere")
    monkeypatch.setenv(sets.ROOT, str(tmp_path / "elsewhere"))
    monkeypatch.setenv(disk_cache.CACHE, str(tmp_path / "another"))
    assert identity(folders, "digits") == before
    batch = tmp_path / "elsewhere" / "cifar-10-batches-py" / "test_batch"
    content = pickle.loads(batch.read_bytes())
    content["data"][0, 0] ^= 1
    batch.write_bytes(pickle.dumps(content, 2))
    with_checksums(monkeypatch, sets.table()["cifar10"], tmp_path / "elsewhere")
    assert identity(folders, "digits") != before


def test_what_was_decoded_is_mapped_the_next_time_and_no_file_is_read(
    made_set: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, *_ = made_set("cifar10")
    first, expected = standard.splits(dataset), standard.identity(dataset)
    standard._decoded.cache_clear()
    for function in ("verify", "labelled"):
        monkeypatch.setattr(reading, function, lambda *_: pytest.fail("was read again"))
    assert standard.identity(dataset) == expected
    again = standard.splits(dataset)
    for split in standard.SPLITS:
        assert torch.equal(getattr(first, split).images, getattr(again, split).images)
    storages = {getattr(again, split).images.untyped_storage().data_ptr() for split in standard.SPLITS}
    assert len(storages) == 1  # views of what is kept, not copies


def test_what_is_kept_and_damaged_is_told_and_made_again(made_set: Made) -> None:
    dataset, *_ = made_set("svhn")
    expected = standard.identity(dataset)
    (file,) = (disk_cache.folder() / "sets").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 255]))
    standard._decoded.cache_clear()
    with pytest.warns(DataWarning, match=f"{file} is damaged"):
        standard.splits(dataset)
    assert file.read_bytes() == whole
    assert standard.identity(dataset) == expected
    flipped = expected["sha256"].translate(str.maketrans("0123456789", "1234567890"))
    file.write_bytes(whole.replace(expected["sha256"].encode(), flipped.encode()))
    standard._decoded.cache_clear()
    warn_once.cache_clear()
    assert standard.identity(dataset)["sha256"] == flipped  # nobody has looked at the pixels yet
    with pytest.warns(DataWarning), pytest.raises(DataError, match="it is repaired now: start again"):
        standard.splits(dataset)
    assert standard.identity(dataset) == expected


def test_a_set_by_folder_of_lossless_files_is_the_set_by_name(made_set: Made, tmp_path: Path) -> None:
    dataset, train, test = made_set("cifar10")
    for split, (images, labels) in {"train": train, "test": test}.items():
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = tmp_path / "png" / split / dataset.classes[label] / f"{i:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(path)
    own = labelled_splits(Folders(train=tmp_path / "png" / "train", test=tmp_path / "png" / "test"))
    splits = labelled_splits(Folders(name="cifar10"))
    for split in standard.SPLITS:
        assert pixel_digest(getattr(own, split)) == pixel_digest(getattr(splits, split))
    assert pixel_digest(splits.train, splits.validation) == pixel_digest(own.validation, own.train)
    assert pixel_digest(splits.train) != pixel_digest(splits.test)
    relabelled = splits.test.subset(torch.arange(len(splits.test)))
    relabelled.labels[0] = (relabelled.labels[0] + 1) % 10
    assert pixel_digest(relabelled) != pixel_digest(splits.test)


@pytest.mark.parametrize("command", ["run cifar10 --data", "run cifar10 --set"])
def test_the_suite_cifar10_runs_as_its_document_says(
    command: str, made_set: Made, data_root: Path, tmp_path: Path
) -> None:
    dataset, *parts = made_set("cifar10")
    for split, (images, labels) in zip(("train", "test"), parts, strict=True):
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = tmp_path / "DIR" / split / dataset.classes[label] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(path)
    document = (ROOT / "docs" / "cifar10.md").read_text().replace("\\\n", "")
    for line in re.findall(rf"^    distillbench ({command}.*)$", document, re.MULTILINE):
        words = shlex.split(line.replace("DIR", str(tmp_path / "DIR")))
        suite = load("cifar10", [word for before, word in pairwise(words) if before == "--set"])
        assert all(
            len(pair.build().splits.test) == len(parts[1][0])
            for pair in suite.pairs
            if not pair.settings.model_dump()["labels"]
        )
        assert {cell.kind for cell in suite.cells} == {"baseline", "teacher", "student"}


# -- mnist_sample ---------------------------------------------------------------------------------------------------


def test_the_sample_of_mnist_is_split_by_class_and_the_same_for_everybody(data_root: Path) -> None:
    splits = labelled_splits(Folders(name="mnist_sample"))
    parts = [getattr(splits, split) for split in standard.SPLITS]
    assert [torch.bincount(part.labels).tolist() for part in parts] == [[350] * 10, [50] * 10, [100] * 10]
    assert len({image.numpy().tobytes() for part in parts for image in part.images}) == 5000
    assert identity(Folders(name="mnist_sample"), "digits") == {
        "name": "mnist_sample",
        "sha256": "9b33fd2e203931203860688a48c48b205bbf2238bf73abf66e11b24cc0534c1f",
    }


def test_a_damaged_table_of_digits_is_named(tmp_path: Path) -> None:
    dataset = sets.table()["mnist_sample"]
    for content in (b"", b"no table", (dataset.paths(dataset.base())[0]).read_bytes()[:-1000]):
        (tmp_path / "x.csv.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"x\.csv\.gz (is damaged|has another number)"):
            reading.digits_table(tmp_path / "x.csv.gz", dataset)


# -- photographs ----------------------------------------------------------------------------------------------------


def test_photographs_by_name_are_split_by_folder_or_every_tenth(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(monkeypatch, data_root, "bsds500", train=5, validation=3, test=4)
    splits = photograph_splits(Folders(name="bsds500"))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [5, 3, 4]
    assert splits.train.images[1].shape == (3, 41, 50)
    pictures(monkeypatch, data_root, "train400", train=21)
    pictures(monkeypatch, data_root, "set12", test=2)
    splits = photograph_splits(Folders(name="train400", test_name="set12"))
    assert splits.validation.names == ("001", "011")
    assert len(splits.train) == 19
    assert splits.test.names == ("000", "001")
    assert len(photograph_splits(Folders(test_name="set12")).train) == 8  # the embedded ones


def test_a_set_that_is_not_whole_or_of_other_pixels_is_refused(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = pictures(monkeypatch, data_root, "set5", test=5)
    right = dataset.model_copy(update={"pixels": pixel_digest(standard.splits(dataset).test)})
    enter(monkeypatch, right)
    assert len(standard.splits(right).test) == 5
    (data_root / "set5" / "._004.png").write_bytes(b"hidden")
    assert sets.presence(right) == "found"
    Image.new("RGB", (50, 40)).save(data_root / "set5" / "004.png")
    with pytest.raises(DataError, match=r"'set5' under .* has other pixels"):
        standard.splits(right)
    (data_root / "set5" / "004.png").unlink()
    assert sets.presence(right) == "incomplete"
    with pytest.raises(
        DataError, match=f"'set5' is incomplete: {data_root}/set5 holds 4 pictures \\(expected 5\\); download it"
    ):
        standard.splits(right)


def test_two_pictures_of_one_name_in_a_set_are_refused(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = pictures(monkeypatch, data_root, "set5", test=5)
    Image.new("RGB", (50, 40)).save(data_root / "set5" / "003.bmp")
    (data_root / "set5" / "004.png").unlink()
    with pytest.raises(DataError, match=r"'set5' under .* holds two pictures of one name, 003$"):
        standard.splits(dataset)


def test_a_test_image_that_was_trained_on_is_refused(
    data_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pictures(monkeypatch, data_root, "bsds500", train=3, validation=2, test=2)
    (tmp_path / "own").mkdir()
    shutil.copy(data_root / "bsds500" / "val" / "001.png", tmp_path / "own" / "copy.png")
    with pytest.raises(DataError, match=r"the test image copy\.png and 001 are the same picture, and in two splits"):
        photograph_splits(Folders(name="bsds500", test=tmp_path / "own"))
    Image.new("RGB", (50, 40)).save(tmp_path / "own" / "copy.png")
    assert photograph_splits(Folders(name="bsds500", test=tmp_path / "own")).test.names == ("copy.png",)


def test_a_test_folder_beside_a_labelled_set_has_its_classes_and_shape(made_set: Made, tmp_path: Path) -> None:
    dataset, *_ = made_set("cifar10")
    path = tmp_path / "own" / "cat" / "1.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(path)
    splits = labelled_splits(Folders(name="cifar10", test=tmp_path / "own")).test
    assert (splits.classes, splits.labels.tolist(), splits.images.shape) == (dataset.classes, [3], (1, 3, 32, 32))
    Image.new("RGB", (30, 32)).save(path)
    with pytest.raises(DataError, match=r"1\.png is 30×32, but 'cifar10' is 32×32"):
        labelled_splits(Folders(name="cifar10", test=tmp_path / "own"))
    made_set("fashion_mnist")
    with pytest.raises(DataError, match="test_name: 'fashion_mnist' has other classes, or images of another size"):
        labelled_splits(Folders(name="cifar10", test_name="fashion_mnist"))
