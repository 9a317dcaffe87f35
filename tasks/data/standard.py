"""Standard sets by name: their splits, decoded once for all of a user's processes, and what identifies them.

What a set decodes to is kept (``kept``) under a name made of its files' paths, sizes and times of change; the digest of
it, which identifies the set in every configuration, stands in the header of that file.
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
from distillbench.tasks.data.packing import SPLITS as SPLITS
from distillbench.tasks.data.packing import packed
from distillbench.tasks.data.pixels import pixel_digest
from distillbench.tasks.data.sets import StandardSet, absent, how_to_get, known
from distillbench.tasks.data.suffixes import check_readable, pictures

FORMAT = 3
"""To be raised when a set is decoded, split or kept in another way: what was kept before is not found any more."""
CARVE = 10
"""One image of so many of training goes to the validation split where a set has none."""
UNSEEN = {"title", "citation", "licence", "origin", "shares", "extra"}
"""Fields of a set that decide no pixel."""


@dataclass(frozen=True)
class Decoded:
    """A set in memory. sha256: of the names of classes or pictures, shapes, labels and pixels of all its splits."""

    splits: Splits[Any]
    sha256: str


def identity(its: StandardSet) -> dict[str, str]:
    """What identifies a set in a configuration. After the first time no pixel is read. Raises DataError."""
    base = its.base()
    state = _state(its, base)
    header = disk_cache.header_of(_place(its, state))
    sha256 = header["sha256"] if header.get("state") == state else _decoded(its.name, base, state).sha256
    return {"name": its.name, "sha256": sha256}


def splits(its: StandardSet) -> Splits[Any]:
    """Its splits, mapped into memory: LabelledImages, or Photographs; empty where it has none.

    Raises DataError where it is not there, or not whole, or not what its checksums say.
    """
    base = its.base()
    return _decoded(its.name, base, _state(its, base)).splits


def verified(its: StandardSet) -> Decoded:
    """From its files, whatever is kept of it. Raises DataError where something is wrong with them."""
    base = its.base()
    _check_there(its, base)
    return _unpacked(its, _decode(its, base))


def outline(its: StandardSet) -> Splits[LabelledImages]:
    """A labelled set without its images: classes and shape. Nothing is read."""
    none = _labelled(its, torch.empty((0, *its.shape), dtype=torch.uint8), torch.empty(0, dtype=torch.int64), "")
    return Splits(none, none, none)


def _check_there(its: StandardSet, base: Path) -> None:
    gone = list(absent(its, base))
    if gone:
        how = "missing" if len(gone) == len(its.paths(base)) else "incomplete"
        raise DataError(f"{its.name!r} is {how}: there is no {gone[0]}; {how_to_get(its, base)}")
    for split, folder in its.folders.items():
        if (count := len(pictures(base / folder))) != its.images[split]:
            many = f"{base / folder} holds {count} pictures, and the set has {its.images[split]}"
            raise DataError(f"{its.name!r} is incomplete: {many}; {how_to_get(its, base)}")


def _state(its: StandardSet, base: Path) -> str:
    """What a kept file is found by. Raises DataError where the set is not there."""
    _check_there(its, base)
    paths = [path for each in its.paths(base) for path in (pictures(each) if each.is_dir() else [each])]
    return state_of(paths, f"{FORMAT} {its.model_dump_json(exclude=UNSEEN)}")


def _place(its: StandardSet, state: str) -> Path:
    return disk_cache.folder() / "sets" / f"{its.name}-{state[:32]}.safetensors"


@lru_cache(maxsize=4)
def _decoded(name: str, base: Path, state: str) -> Decoded:
    its = known(name)
    place = _place(its, state)
    before = disk_cache.header_of(place)
    if (found := disk_cache.find(place, state)) is not None:
        return _unpacked(its, found)
    decoded = _decode(its, base)
    disk_cache.write_if_possible(place, state, decoded.tensors, decoded.about)
    if before.get("state") == state and before["sha256"] != decoded.sha256:
        raise DataError(f"{place} was damaged, and {name} was taken for another set; it is mended, start again")
    return _unpacked(its, disk_cache.find(place, state) or decoded)  # what is kept all processes share


def _decode(its: StandardSet, base: Path) -> disk_cache.Kept:
    """What is to be kept of a set, from its files. Raises DataError where they are not what the table says."""
    found = (_read_labelled if its.kind == "labelled" else _read_photographs)(its, base)
    for split, count in its.images.items():
        whole = len(getattr(found, split)) + (len(found.validation) if split == "train" and its.carved else 0)
        if whole != count:
            raise DataError(f"{its.name!r} under {base} has {whole} images of {split}, and the set has {count}")
    if its.pixels and (digest := pixel_digest(found.train, found.validation, found.test)) != its.pixels:
        raise DataError(f"{its.name!r} under {base} has other pixels (digest {digest}, and the set's is {its.pixels})")
    about, tensors = packed(found)
    return disk_cache.Kept(tensors, about, disk_cache.checksum(about, tensors))


def _read_labelled(its: StandardSet, base: Path) -> Splits[LabelledImages]:
    """Where a set has no validation split it is every tenth image of each class, in the order of its files."""
    from distillbench.tasks.data.reading import labelled, verify

    verify(its, base)
    parts = labelled(its, base)
    for images, labels in parts.values():
        if tuple(images.shape[1:]) != its.shape or labels.min() < 0 or labels.max() >= len(its.classes):
            raise DataError(f"{its.name!r} under {base} has images or labels of another kind")
    if its.carved:
        images, labels = parts["train"]
        validation = torch.zeros(len(labels), dtype=torch.bool)
        for number in range(len(its.classes)):
            validation[(labels == number).nonzero().squeeze(1)[1::CARVE]] = True
        parts |= {
            "train": (images[~validation], labels[~validation]),
            "validation": (images[validation], labels[validation]),
        }
    return Splits(*(_labelled(its, *parts[split], split) for split in SPLITS))


def _labelled(its: StandardSet, images: Tensor, labels: Tensor, split: str) -> LabelledImages:
    return LabelledImages(images, labels, its.classes, tuple(f"{split}-{i:05d}" for i in range(len(labels))))


def _read_photographs(its: StandardSet, base: Path) -> Splits[Photographs]:
    """Where a set has no validation split it is every tenth picture by name."""
    paths = {split: pictures(base / its.folders[split]) if split in its.folders else [] for split in SPLITS}
    if its.carved:
        paths["validation"] = paths["train"][1::CARVE]
        paths["train"] = [path for i, path in enumerate(paths["train"]) if i % CARVE != 1]

    def load(files: Sequence[Path]) -> Photographs:
        check_readable(repr(its.name), [path.name for path in files])
        stems = sorted(path.stem for path in files)
        if twin := next((stem for stem, other in pairwise(stems) if stem == other), None):
            raise DataError(f"{its.name!r} under {base} holds two pictures of one name, {twin}")
        return Photographs(tuple(path.stem for path in files), tuple(read_each(files)))

    return Splits(*(load(paths[split]) for split in SPLITS))


def _unpacked(its: StandardSet, found: disk_cache.Kept) -> Decoded:
    """Views of what is kept."""
    unpack = _labelled_views if its.kind == "labelled" else _photograph_views
    return Decoded(unpack(its, json.loads(found.about), found.tensors), found.sha256)


def _labelled_views(its: StandardSet, about: Any, tensors: Mapping[str, Tensor]) -> Splits[LabelledImages]:
    parts = zip(*(tensors[name].split(about["counts"]) for name in ("images", "labels")), SPLITS, strict=True)
    return Splits(*(_labelled(its, *part) for part in parts))


def _photograph_views(its: StandardSet, about: Any, tensors: Mapping[str, Tensor]) -> Splits[Photographs]:
    sizes = [int(torch.tensor(shape).prod()) for shapes in about["shapes"] for shape in shapes]
    views = iter(tensors["pixels"].split(sizes))
    return Splits(
        *(
            Photographs(tuple(names), tuple(next(views).view(*shape) for shape in shapes))
            for names, shapes in zip(about["names"], about["shapes"], strict=True)
        )
    )
