"""The user's own images: class folders (folder/class/image) or plain folders of photographs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from tasks.base import Folders, Splits
from tasks.data.embedded import DIGIT_SHAPE, DIGITS, LabelledImages, Photographs, digits, photographs
from tasks.data.files import DataError, digest, file_digest, header, hidden, image_files, read_all
from tasks.data.telling import tell

CARVE = 10
"""One file in so many goes to the held-out split, and one to the test split, where no folder is given for it."""

T = TypeVar("T")


def identity(folders: Folders, kind: str) -> Any:
    """What identifies the data: the embedded set's name, or a digest of her files' names and bytes."""
    if folders == Folders():
        return kind
    return {
        split: digest(path) if (path := getattr(folders, split)) else ("carved" if folders.train else kind)
        for split in ("train", "held_out", "test")
    }


def _carve(paths: Sequence[Path], parts: int) -> list[list[Path]]:
    """Every tenth file to each part but the first, which keeps the rest; by rank, so that any ten files suffice."""
    taken = [[p for i, p in enumerate(paths) if i % CARVE == part] for part in range(1, parts)]
    rest = [p for i, p in enumerate(paths) if i % CARVE not in range(1, parts)]
    if not all(taken) or not rest:
        raise DataError(f"data: {len(paths)} images under {paths[0].parent} are too few to split into {parts} parts")
    return [rest, *taken]


def _check_disjoint(splits: Iterable[Sequence[Path]]) -> None:
    """Raise DataError where two splits have a file in common, or two files of equal content."""
    by_size: dict[int, list[tuple[int, Path]]] = {}
    for number, paths in enumerate(splits):
        for path in paths:
            by_size.setdefault(path.stat().st_size, []).append((number, path))
    for candidates in by_size.values():
        if len({number for number, _ in candidates}) < 2:
            continue
        seen: dict[str, tuple[int, Path]] = {}
        for number, path in candidates:
            other, twin = seen.setdefault(file_digest(path, "data"), (number, path))
            if other != number:
                same = f"{path} is" if path.samefile(twin) else f"{twin} and {path} are the same picture, and"
                raise DataError(f"data: {same} in two splits; train, held_out and test must be disjoint")


def _resolve(
    folders: Folders, load: Callable[[Sequence[Path]], T], carve: Callable[..., Any], default: Splits[T]
) -> Splits[T]:
    """Folders that are given as they are; the others carved from train, or embedded where train is too."""
    given = {name: image_files(path) for name in ("held_out", "test") if (path := getattr(folders, name))}
    if folders.train is None:
        return Splits(
            default.train, *(load(given[n]) if n in given else getattr(default, n) for n in ("held_out", "test"))
        )
    missing = [name for name in ("held_out", "test") if name not in given]
    train, *carved = carve(image_files(folders.train), len(missing) + 1)
    parts = given | dict(zip(missing, carved, strict=True))
    _check_disjoint((train, *parts.values()))
    return Splits(load(train), load(parts["held_out"]), load(parts["test"]))


@lru_cache(maxsize=2)
def photograph_splits(folders: Folders, cache: Path | None = None) -> Splits[Photographs]:
    """Photographs in colour, split by picture. cache: where decoded images are kept."""

    def load(paths: Sequence[Path]) -> Photographs:
        root = os.path.commonpath([path.parent for path in paths])
        names = tuple(path.relative_to(root).as_posix() for path in paths)
        return Photographs(names, tuple(read_all(paths, "RGB", cache)))

    return _resolve(folders, load, _carve, photographs())


def _format(folder: Path) -> tuple[Path, tuple[str, ...], tuple[int, int, int]]:
    """Of class folders: the first image, the classes, the images' (channels, height, width). Nothing is decoded."""
    paths = image_files(folder)
    classes = sorted({parts[0] for path in paths if len(parts := path.relative_to(folder).parts) > 1})
    seen = (entry.name for entry in folder.iterdir() if entry.is_dir() and not hidden(entry.name))
    if empty := sorted(set(seen) - set(classes)):
        names = ", ".join([*empty[:5], *(["…"] if len(empty) > 5 else [])])
        count = f"{len(empty)} class folder{'s' * (len(empty) > 1)}"
        tell(f"data: {folder}: {count} without images skipped ({names})")
    if len(classes) < 2:
        raise DataError(f"data: {folder} needs at least two class folders (folder/class/image), found {len(classes)}")
    grey, (width, height) = header(paths[0])
    return paths[0], tuple(classes), (1 if grey else 3, height, width)


def _train_folder(folders: Folders) -> Path:
    if folders.train is None:
        raise DataError("data: held_out and test folders of class folders need data.train as well")
    return folders.train


def labelled_outline(folders: Folders) -> Splits[LabelledImages]:
    """``labelled_splits`` without any items: their classes, and the shape of their images."""
    classes, shape = DIGITS, DIGIT_SHAPE
    if folders != Folders():
        _, classes, shape = _format(_train_folder(folders))
    none = LabelledImages(torch.empty((0, *shape), dtype=torch.uint8), torch.empty(0, dtype=torch.int64), classes, ())
    return Splits(none, none, none)


@lru_cache(maxsize=2)
def labelled_splits(folders: Folders, cache: Path | None = None) -> Splits[LabelledImages]:
    """Class folders; all images of one size, and in grey or colour as the first is."""
    if folders == Folders():
        return digits()
    first, classes, (channels, *size) = _format(_train_folder(folders))
    index = {name: i for i, name in enumerate(classes)}

    def class_of(path: Path) -> str:
        if (name := path.parent.name) not in index:
            raise DataError(f"data: {path} is in no known class (classes: {', '.join(classes)})")
        return name

    def load(paths: Sequence[Path]) -> LabelledImages:
        labels = torch.tensor([index[class_of(path)] for path in paths])
        images = read_all(paths, "L" if channels == 1 else "RGB", cache)
        for path, image in zip(paths, images, strict=True):
            if list(image.shape[1:]) != size:
                raise DataError(
                    f"data: {path} is {image.shape[2]}×{image.shape[1]}, but {first} is {size[1]}×{size[0]}; "
                    "class folders need images of one size"
                )
        names = tuple(f"{path.parent.name}/{path.name}" for path in paths)
        return LabelledImages(torch.stack(images), labels, classes, names)

    def carve(paths: Sequence[Path], parts: int) -> list[list[Path]]:
        members: dict[str, list[Path]] = {name: [] for name in classes}
        for path in paths:
            members[class_of(path)].append(path)
        by_class = [_carve(of_class, parts) for of_class in members.values()]
        return [[path for of_class in by_class for path in of_class[part]] for part in range(parts)]

    return _resolve(folders, load, carve, digits())
