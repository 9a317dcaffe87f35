"""The files of the labelled standard sets -> images and labels, in the order of the files.

torchvision reads its own sets. It takes a second to import, and so is imported here, when such a set is decoded. It
checks no file of MNIST's, and names none that is wrong: ``verify`` goes before. CIFAR's files are pickles, which may
hold code: none is opened whose checksum is another.
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


def verify(its: StandardSet, base: Path) -> None:
    """Raise DataError, naming the file, where one of its files is not what its checksum says."""
    for name, md5 in its.files.items():
        if md5 and (found := _md5(base / name)) != md5:
            size = (base / name).stat().st_size
            raise DataError(
                f"{base / name} is damaged or another file ({size:,} bytes, MD5 {found}, and the set's is {md5}); "
                "delete it and get it again"
            )


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error


def labelled(its: StandardSet, base: Path) -> dict[str, Labelled]:
    """By split. Its files are verified. Raises DataError where they cannot be read all the same."""
    if its.reader == "digits_table":
        return digits_table(base / next(iter(its.files)), its)
    return {split: _by_torchvision(its, base, split) for split in ("train", "test")}


def _by_torchvision(its: StandardSet, base: Path, split: str) -> Labelled:
    made = torchvision_class(its.reader)
    try:
        data = made(base, split=split) if its.by_split else made(base, train=split == "train")
        labels = data.labels if its.by_split else data.targets
    except Exception as error:  # numpy, scipy and pickle raise anything on foreign bytes
        raise DataError(f"{base}: {its.name} cannot be read ({' '.join(str(error).split())})") from error
    images = torch.as_tensor(data.data)
    if its.reader in ("MNIST", "FashionMNIST"):
        images = images.unsqueeze(1)
    elif its.reader in ("CIFAR10", "CIFAR100"):
        images = images.permute(0, 3, 1, 2)
    return images, torch.as_tensor(np.asarray(labels), dtype=torch.int64)


def torchvision_class(reader: str) -> Any:
    """torchvision's data set, without what it reads besides: MNIST's old copies, the unlabelled images of STL-10."""
    from torchvision import datasets

    parent: Any = getattr(datasets, reader)
    changes: dict[str, Any] = {}
    if reader in ("MNIST", "FashionMNIST"):
        changes["_check_legacy_exist"] = lambda _: False
    if reader == "STL10":
        changes["train_list"] = parent.train_list[:2]
    return type(reader, (parent,), changes)  # of the same name: MNIST's folder is called as its class


def digits_table(path: Path, its: StandardSet) -> dict[str, Labelled]:
    """A packed table, a row an image: its grey levels, then its digit. Split by class, drawn once with a fixed seed."""
    columns = int(np.prod(its.shape)) + 1
    try:
        table = np.fromstring(gzip.decompress(path.read_bytes()).replace(b"\n", b","), dtype=np.uint8, sep=",")
        rows = torch.from_numpy(table.reshape(-1, columns))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error})") from error
    images, labels = rows[:, :-1].reshape(-1, *its.shape), rows[:, -1].long()
    each = sum(its.images.values()) // len(its.classes)
    if torch.bincount(labels, minlength=len(its.classes)).tolist() != [each] * len(its.classes):
        raise DataError(f"{path} has another number of images than {each} of each class")
    random = np.random.RandomState(0)
    parts: dict[str, list[Tensor]] = {split: [] for split in ("test", "validation", "train")}
    for digit in range(len(its.classes)):
        members = (labels == digit).nonzero().squeeze(1)
        order = members[torch.from_numpy(random.permutation(len(members)))]
        chunks = order.split([its.images[split] // len(its.classes) for split in parts])
        for split, chunk in zip(parts, chunks, strict=True):
            parts[split].append(chunk)
    order_of = {split: torch.cat(chunks).sort().values for split, chunks in parts.items()}
    return {split: (images[order], labels[order]) for split, order in order_of.items()}
