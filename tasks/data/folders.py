"""The user's own images: class folders (folder/class/image) or plain folders of photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tasks.base import Folders, Splits
from tasks.data.embedded import LabelledImages, Photographs, digits, photographs

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"})
CARVE = 10
"""One file in so many goes to the held-out split, and one to the test split, where no folder is given for it."""

T = TypeVar("T")


class DataError(ValueError):
    """A folder or an image that cannot be used; one line that names it."""


def identity(folders: Folders, kind: str) -> Any:
    """What identifies the data: the embedded set's name, or a digest of her files' names and bytes."""
    if folders == Folders():
        return kind
    return {
        split: digest(path) if (path := getattr(folders, split)) else ("carved" if folders.train else kind)
        for split in ("train", "held_out", "test")
    }


@lru_cache(maxsize=16)
def digest(folder: Path) -> str:
    """SHA-256 over the relative names and the bytes of every image under the folder."""
    total = hashlib.sha256()
    for path in image_files(folder):
        total.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of one file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"data: {path} cannot be read ({error.strerror})") from error


def image_files(folder: Path) -> list[Path]:
    """Every image under the folder, sorted by relative name."""
    if not folder.is_dir():
        raise DataError(f"data: {folder} is not a folder")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise DataError(f"data: no image under {folder} (looked for {', '.join(sorted(SUFFIXES))})")
    return found


def read(path: Path, mode: str) -> Tensor:
    """(channels, height, width) uint8."""
    try:
        with Image.open(path) as image:
            array = np.array(image.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"data: {path} cannot be read as an image ({error})") from error
    tensor = torch.from_numpy(array)
    return (tensor.unsqueeze(0) if tensor.dim() == 2 else tensor.permute(2, 0, 1)).contiguous()


def _read_all(paths: Sequence[Path], mode: str) -> list[Tensor]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda path: read(path, mode), paths))


def _carve(paths: Sequence[Path], parts: int) -> list[list[Path]]:
    """Every tenth file to each part but the first, which keeps the rest; by rank, so that any ten files suffice."""
    taken = [[p for i, p in enumerate(paths) if i % CARVE == part] for part in range(1, parts)]
    rest = [p for i, p in enumerate(paths) if i % CARVE not in range(1, parts)]
    if not all(taken) or not rest:
        raise DataError(f"data: {len(paths)} images under {paths[0].parent} are too few to split into {parts} parts")
    return [rest, *taken]


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
    for name, other in combinations((train, parts["held_out"], parts["test"]), 2):
        if shared := {path.resolve() for path in name} & {path.resolve() for path in other}:
            raise DataError(f"data: {min(shared)} is in two splits; train, held_out and test must be disjoint")
    return Splits(load(train), load(parts["held_out"]), load(parts["test"]))


@lru_cache(maxsize=2)
def photograph_splits(folders: Folders) -> Splits[Photographs]:
    """Photographs in colour, split by picture."""

    def load(paths: Sequence[Path]) -> Photographs:
        return Photographs(tuple(path.name for path in paths), tuple(_read_all(paths, "RGB")))

    return _resolve(folders, load, _carve, photographs())


@lru_cache(maxsize=2)
def labelled_splits(folders: Folders) -> Splits[LabelledImages]:
    """Class folders; grey where every training image is grey, else colour; all images of one size."""
    if folders == Folders():
        return digits()
    if folders.train is None:
        raise DataError("data: held_out and test folders of class folders need data.train as well")
    classes = (
        tuple(sorted(entry.name for entry in folders.train.iterdir() if entry.is_dir()))
        if folders.train.is_dir()
        else ()
    )
    if len(classes) < 2 and folders.train.is_dir():
        raise DataError(
            f"data: {folders.train} needs at least two class folders (folder/class/image), found {len(classes)}"
        )
    index = {name: i for i, name in enumerate(classes)}
    first = image_files(folders.train)[0]
    with Image.open(first) as image:
        mode, size = ("L" if image.mode in ("L", "1", "I;16") else "RGB"), image.size

    def load(paths: Sequence[Path]) -> LabelledImages:
        for path in paths:
            if path.parent.name not in index:
                raise DataError(f"data: {path} is in no known class (classes: {', '.join(classes)})")
        images = _read_all(paths, mode)
        for path, image in zip(paths, images, strict=True):
            if image.shape[:0:-1] != size:
                raise DataError(
                    f"data: {path} is {image.shape[2]}×{image.shape[1]}, but {first} is {size[0]}×{size[1]}; "
                    "class folders need images of one size"
                )
        labels = torch.tensor([index[path.parent.name] for path in paths])
        names = tuple(f"{path.parent.name}/{path.name}" for path in paths)
        return LabelledImages(torch.stack(images), labels, classes, names)

    def carve(paths: Sequence[Path], parts: int) -> list[list[Path]]:
        by_class = [_carve([p for p in paths if p.parent.name == name], parts) for name in classes]
        return [[path for of_class in by_class for path in of_class[part]] for part in range(parts)]

    return _resolve(folders, load, carve, digits())
