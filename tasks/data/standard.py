"""The splits of standard sets, decoded once for all of a user's processes, and the digests that identify them.

A decoded set is kept in the disk cache under a name made of the paths, sizes and times of change of its files; the
digest that identifies the set in every configuration is in the header of the cached file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillbench.common.errors import DataError
from distillbench.tasks.base import Splits
from distillbench.tasks.data import disk_cache
from distillbench.tasks.data.decoding import read_each
from distillbench.tasks.data.embedded import LabelledImages, Photographs
from distillbench.tasks.data.files import state_of
from distillbench.tasks.data.image_files import check_readable, pictures
from distillbench.tasks.data.packing import SPLITS as SPLITS
from distillbench.tasks.data.packing import packed
from distillbench.tasks.data.pixels import pixel_digest
from distillbench.tasks.data.sets import StandardSet, absent, how_to_get, known

FORMAT = 3
"""Raise it when sets are decoded, split or kept in another way: older cached files are then ignored."""
CARVE = 10
"""Where a set has no validation split, one training image in so many becomes part of one."""
IRRELEVANT = {"title", "citation", "licence", "origin", "shares", "extra"}
"""Fields of a set that do not affect its pixels."""


@dataclass(frozen=True)
class Decoded:
    """A set in memory.

    Attributes:
        splits: LabelledImages or Photographs.
        sha256: the digest of the names of classes or pictures, and of the shapes, labels and pixels of all splits.
    """

    splits: Splits[Any]
    sha256: str


def identity(dataset: StandardSet) -> dict[str, str]:
    """Return the name and digest that identify a set in a configuration; pixels are read the first time alone.

    Raises:
        DataError: the set is not there, or incomplete.
    """
    base = dataset.base()
    state = _state(dataset, base)
    header = disk_cache.header_of(_cache_path(dataset, state))
    sha256 = header["sha256"] if header.get("state") == state else _decoded(dataset.name, base, state).sha256
    return {"name": dataset.name, "sha256": sha256}


def splits(dataset: StandardSet) -> Splits[Any]:
    """Return the splits of a set, mapped into memory: LabelledImages or Photographs, empty where it has none.

    Raises:
        DataError: the set is not there, incomplete, or differs from its checksums.
    """
    base = dataset.base()
    return _decoded(dataset.name, base, _state(dataset, base)).splits


def verified(dataset: StandardSet) -> Decoded:
    """Read a set from its files, without the cache.

    Raises:
        DataError: the files are missing, damaged, or not those of the set.
    """
    base = dataset.base()
    _check_present(dataset, base)
    return _unpacked(dataset, _decode(dataset, base))


def outline(dataset: StandardSet) -> Splits[LabelledImages]:
    """Return a labelled set without examples, for its classes and the shape of its images; no file is read."""
    none = _labelled(
        dataset, torch.empty((0, *dataset.shape), dtype=torch.uint8), torch.empty(0, dtype=torch.int64), ""
    )
    return Splits(none, none, none)


def _check_present(dataset: StandardSet, base: Path) -> None:
    missing = list(absent(dataset, base))
    if missing:
        state = "missing" if len(missing) == len(dataset.paths(base)) else "incomplete"
        raise DataError(f"{dataset.name!r} is {state}: there is no {missing[0]}; {how_to_get(dataset, base)}")
    for split, folder in dataset.folders.items():
        if (count := len(pictures(base / folder))) != dataset.images[split]:
            mismatch = f"{base / folder} holds {count} pictures (expected {dataset.images[split]})"
            raise DataError(f"{dataset.name!r} is incomplete: {mismatch}; {how_to_get(dataset, base)}")


def _state(dataset: StandardSet, base: Path) -> str:
    """Return the key of a set's cached file. Raises DataError where the set is not there."""
    _check_present(dataset, base)
    paths = [path for entry in dataset.paths(base) for path in (pictures(entry) if entry.is_dir() else [entry])]
    return state_of(paths, f"{FORMAT} {dataset.model_dump_json(exclude=IRRELEVANT)}")


def _cache_path(dataset: StandardSet, state: str) -> Path:
    return disk_cache.folder() / "sets" / f"{dataset.name}-{state[:32]}.safetensors"


@lru_cache(maxsize=4)
def _decoded(name: str, base: Path, state: str) -> Decoded:
    dataset = known(name)
    path = _cache_path(dataset, state)
    before = disk_cache.header_of(path)
    if (cached := disk_cache.find(path, state)) is not None:
        return _unpacked(dataset, cached)
    decoded = _decode(dataset, base)
    disk_cache.write_if_possible(path, state, decoded.tensors, decoded.about)
    if before.get("state") == state and before["sha256"] != decoded.sha256:
        raise DataError(f"{path} was damaged, so that {name} was identified wrongly; it is repaired now: start again")
    return _unpacked(dataset, disk_cache.find(path, state) or decoded)  # all processes share the cached memory


def _decode(dataset: StandardSet, base: Path) -> disk_cache.CachedTensors:
    """Decode a set from its files, for the cache. Raises DataError where they are not what the table says."""
    splits = (_read_labelled if dataset.kind == "labelled" else _read_photographs)(dataset, base)
    for split, count in dataset.images.items():
        images = len(getattr(splits, split)) + (len(splits.validation) if split == "train" and dataset.carved else 0)
        if images != count:
            raise DataError(f"{dataset.name!r} under {base} has {images} images of {split} (expected {count})")
    if dataset.pixels and (digest := pixel_digest(splits.train, splits.validation, splits.test)) != dataset.pixels:
        raise DataError(f"{dataset.name!r} under {base} has other pixels (digest {digest}, expected {dataset.pixels})")
    about, tensors = packed(splits)
    return disk_cache.CachedTensors(tensors, about, disk_cache.checksum(about, tensors))


def _read_labelled(dataset: StandardSet, base: Path) -> Splits[LabelledImages]:
    """Read labelled images; without a validation split, every tenth image of each class, in file order, becomes one."""
    from distillbench.tasks.data.reading import labelled, verify

    verify(dataset, base)
    parts = labelled(dataset, base)
    for images, labels in parts.values():
        if tuple(images.shape[1:]) != dataset.shape or labels.min() < 0 or labels.max() >= len(dataset.classes):
            raise DataError(f"{dataset.name!r} under {base} has images of another shape, or labels out of range")
    if dataset.carved:
        images, labels = parts["train"]
        validation = torch.zeros(len(labels), dtype=torch.bool)
        for number in range(len(dataset.classes)):
            validation[(labels == number).nonzero().squeeze(1)[1::CARVE]] = True
        parts |= {
            "train": (images[~validation], labels[~validation]),
            "validation": (images[validation], labels[validation]),
        }
    return Splits(*(_labelled(dataset, *parts[split], split) for split in SPLITS))


def _labelled(dataset: StandardSet, images: Tensor, labels: Tensor, split: str) -> LabelledImages:
    return LabelledImages(images, labels, dataset.classes, tuple(f"{split}-{i:05d}" for i in range(len(labels))))


def _read_photographs(dataset: StandardSet, base: Path) -> Splits[Photographs]:
    """Read photographs; without a validation split, every tenth picture by name becomes one."""
    paths = {split: pictures(base / dataset.folders[split]) if split in dataset.folders else [] for split in SPLITS}
    if dataset.carved:
        paths["validation"] = paths["train"][1::CARVE]
        paths["train"] = [path for i, path in enumerate(paths["train"]) if i % CARVE != 1]

    def load(files: Sequence[Path]) -> Photographs:
        check_readable(repr(dataset.name), [path.name for path in files])
        stems = sorted(path.stem for path in files)
        if twin := next((stem for stem, following in pairwise(stems) if stem == following), None):
            raise DataError(f"{dataset.name!r} under {base} holds two pictures of one name, {twin}")
        return Photographs(tuple(path.stem for path in files), tuple(read_each(files)))

    return Splits(*(load(paths[split]) for split in SPLITS))


def _unpacked(dataset: StandardSet, cached: disk_cache.CachedTensors) -> Decoded:
    """Return views of the cached tensors."""
    unpack = _labelled_views if dataset.kind == "labelled" else _photograph_views
    return Decoded(unpack(dataset, json.loads(cached.about), cached.tensors), cached.sha256)


def _labelled_views(dataset: StandardSet, about: Any, tensors: Mapping[str, Tensor]) -> Splits[LabelledImages]:
    parts = zip(*(tensors[name].split(about["counts"]) for name in ("images", "labels")), SPLITS, strict=True)
    return Splits(*(_labelled(dataset, *part) for part in parts))


def _photograph_views(dataset: StandardSet, about: Any, tensors: Mapping[str, Tensor]) -> Splits[Photographs]:
    sizes = [int(torch.tensor(shape).prod()) for shapes in about["shapes"] for shape in shapes]
    views = iter(tensors["pixels"].split(sizes))
    return Splits(
        *(
            Photographs(tuple(names), tuple(next(views).view(*shape) for shape in shapes))
            for names, shapes in zip(about["names"], about["shapes"], strict=True)
        )
    )
