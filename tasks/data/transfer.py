"""The transfer set where it has a source of its own: a folder of images, or a standard set by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from distillbench.common.errors import DataError
from distillbench.tasks.base import Folders
from distillbench.tasks.data import standard
from distillbench.tasks.data.decoding import Mode
from distillbench.tasks.data.embedded import LabelledImages, Photographs
from distillbench.tasks.data.files import ImageFile, colours, contents, decoded, digest, read_all, state_of_contents
from distillbench.tasks.data.sets import Kind, StandardSet, about, known


def identity(folders: Folders, kind: Kind) -> dict[str, Any]:
    """Return {"transfer": what identifies its images, in JSON terms}; empty where the set has no source of its own."""
    if folders.transfer is not None:
        with about("data.transfer"):
            return {"transfer": digest(folders.transfer)}
    if (named := _named(folders, kind)) is None:
        return {}
    with about("data.transfer_name"):
        return {"transfer": standard.identity(named)}


def labelled(folders: Folders, train: LabelledImages, cache: Path | None) -> LabelledImages | None:
    """Return the images of a transfer set, of any folders below its own; None where it has no source of its own.

    Args:
        folders: the ``data`` settings.
        train: the training images, whose size and channels the set must have.
        cache: the folder in which decoded images are cached; None: none are.

    Raises:
        DataError: the set is not there, or its images are of another size or colour.
    """
    if (named := _named(folders, "labelled")) is not None:
        with about("data.transfer_name"):
            part: LabelledImages = standard.splits(named).train
            if part.images.shape[1:] != train.images.shape[1:]:
                raise DataError(f"{named.name!r} has images {_size(part)}, but training images are {_size(train)}")
            return part
    if folders.transfer is None:
        return None
    with about("data.transfer"):
        return _of_folder(folders.transfer, folders.channels is None, train, cache)


def _of_folder(folder: Path, own_colours: bool, train: LabelledImages, cache: Path | None) -> LabelledImages:
    """The images of a folder. own_colours: whether no setting converts them."""
    channels, height, width = train.images.shape[1:]
    mode: Mode = "L" if channels == 1 else "RGB"
    files = contents(folder)
    if own_colours:
        _check_colours(files, colours(folder), channels)
    pixels, shapes = decoded([file.path for file in files], mode, state_of_contents(files, mode), cache)
    for i in (shapes[:, 1:] != torch.tensor([height, width])).any(1).nonzero()[:1].flatten().tolist():
        raise DataError(f"{files[i].path} is {shapes[i, 2]}×{shapes[i, 1]}, but training images are {width}×{height}")
    names = tuple(file.name for file in files)
    labels = torch.zeros(len(files), dtype=torch.int64)
    return LabelledImages(pixels.view(-1, channels, height, width), labels, train.classes, names)


def _check_colours(files: Sequence[ImageFile], in_colour: Sequence[bool], channels: int) -> None:
    """Raise DataError for images in colour beside grey ones in training, or for grey ones alone beside colour."""
    if channels == 1 and True in in_colour:
        raise DataError(f"{files[in_colour.index(True)].path} is in colour, but training images are grey")
    if channels == 3 and True not in in_colour:
        raise DataError(f"{files[0].path} is grey, as all others are, but training images are in colour")


def photographs(folders: Folders, cache: Path | None) -> Photographs | None:
    """Return the pictures of a transfer set; None where it has no source of its own.

    Args:
        folders: the ``data`` settings.
        cache: the folder in which decoded images are cached; None: none are.

    Raises:
        DataError: the set is not there.
    """
    if (named := _named(folders, "photographs")) is not None:
        with about("data.transfer_name"):
            part: Photographs = standard.splits(named).train
            return part
    if folders.transfer is None:
        return None
    with about("data.transfer"):
        files = contents(folders.transfer)
        images = read_all([Path(file.path) for file in files], cache=cache)
        return Photographs(tuple(file.name for file in files), tuple(images))


def _named(folders: Folders, kind: Kind) -> StandardSet | None:
    if folders.transfer_name is None:
        return None
    with about("data.transfer_name"):
        named = known(folders.transfer_name, kind)
        if "train" not in named.images:
            raise DataError(f"{named.name!r} is a test set (allowed: a set with training images)")
        if named.name == folders.name:
            raise DataError(f"{named.name!r} is the training set itself; transfer = 'rest' is what it leaves")
        return named


def _size(part: LabelledImages) -> str:
    channels, height, width = part.images.shape[1:]
    return f"of {width}×{height} pixels in {'grey' if channels == 1 else 'colour'}"
