"""The files of the labelled standard sets -> images and labels, in the order of the files.

torchvision reads the sets that it knows. It takes a second to import, so it is imported when such a set is decoded. It
does not check the files of MNIST, nor name a wrong file: ``verify`` is called first. CIFAR's files are pickles, which
may hold code: a file with another checksum is not opened.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillbench.common.errors import DataError
from distillbench.tasks.data.sets import StandardSet

Labelled = tuple[Tensor, Tensor]
"""(n, channels, height, width) uint8, and (n,) int64."""


def verify(dataset: StandardSet, base: Path) -> None:
    """Compare the files of a set with their checksums.

    Args:
        dataset: the set.
        base: the folder that the paths of its files start from.

    Raises:
        DataError: a file has another checksum, or cannot be read; the message names it.
    """
    for name, md5 in dataset.files.items():
        if md5 and (checksum := _md5(base / name)) != md5:
            size = (base / name).stat().st_size
            raise DataError(
                f"{base / name} is damaged or another file ({size:,} bytes, MD5 {checksum}, expected {md5}): "
                "delete it and get it again"
            )


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error


def labelled(dataset: StandardSet, base: Path) -> dict[str, Labelled]:
    """Read a set of labelled images, whose files are verified.

    Args:
        dataset: the set.
        base: the folder that the paths of its files start from.

    Returns:
        Images and labels by split.

    Raises:
        DataError: the files cannot be read.
    """
    if dataset.reader == "digits_table":
        return digits_table(base / next(iter(dataset.files)), dataset)
    return {split: _by_torchvision(dataset, base, split) for split in ("train", "test")}


def _by_torchvision(dataset: StandardSet, base: Path, split: str) -> Labelled:
    factory = torchvision_class(dataset.reader)
    try:
        data = factory(base, split=split) if dataset.by_split else factory(base, train=split == "train")
        labels = data.labels if dataset.by_split else data.targets
    except Exception as error:  # numpy, scipy and pickle raise anything on foreign bytes
        raise DataError(f"{base}: {dataset.name} cannot be read ({' '.join(str(error).split())})") from error
    images = torch.as_tensor(data.data)
    if dataset.reader in ("MNIST", "FashionMNIST"):
        images = images.unsqueeze(1)
    elif dataset.reader in ("CIFAR10", "CIFAR100"):
        images = images.permute(0, 3, 1, 2)
    return images, torch.as_tensor(np.asarray(labels), dtype=torch.int64)


def torchvision_class(reader: str) -> Any:
    """Return torchvision's data set class, changed to read no more than needed.

    It ignores old copies of MNIST and the unlabelled images of STL-10.
    """
    from torchvision import datasets

    parent: Any = getattr(datasets, reader)
    changes: dict[str, Any] = {}
    if reader in ("MNIST", "FashionMNIST"):
        changes["_check_legacy_exist"] = lambda _: False
    if reader == "STL10":
        changes["train_list"] = parent.train_list[:2]
    return type(reader, (parent,), changes)  # of the same name: MNIST's folder is called as its class


def digits_table(path: Path, dataset: StandardSet) -> dict[str, Labelled]:
    """Read a packed table with a row for each image: the grey levels, then the digit.

    The splits are drawn class by class with a fixed seed.

    Raises:
        DataError: the table is damaged, or has another number of images.
    """
    columns = int(np.prod(dataset.shape)) + 1
    try:
        table = np.fromstring(gzip.decompress(path.read_bytes()).replace(b"\n", b","), dtype=np.uint8, sep=",")
        rows = torch.from_numpy(table.reshape(-1, columns))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error})") from error
    images, labels = rows[:, :-1].reshape(-1, *dataset.shape), rows[:, -1].long()
    per_class = sum(dataset.images.values()) // len(dataset.classes)
    if torch.bincount(labels, minlength=len(dataset.classes)).tolist() != [per_class] * len(dataset.classes):
        raise DataError(f"{path} has another number of images (expected {per_class} of each class)")
    random = np.random.RandomState(0)
    parts: dict[str, list[Tensor]] = {split: [] for split in ("test", "validation", "train")}
    for digit in range(len(dataset.classes)):
        members = (labels == digit).nonzero().squeeze(1)
        order = members[torch.from_numpy(random.permutation(len(members)))]
        chunks = order.split([dataset.images[split] // len(dataset.classes) for split in parts])
        for split, chunk in zip(parts, chunks, strict=True):
            parts[split].append(chunk)
    order_of = {split: torch.cat(chunks).sort().values for split, chunks in parts.items()}
    return {split: (images[order], labels[order]) for split, order in order_of.items()}
