"""Small synthetic sets in the layouts of the standard ones, and in their place in the table."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from distillbench.tasks.data import sets
from distillbench.tasks.data.sets import StandardSet

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


def make(monkeypatch: pytest.MonkeyPatch, root: Path, name: str) -> tuple[StandardSet, Part, Part]:
    """A small synthetic set in torchvision's layout, by name: the set, its training part, its test part."""
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
