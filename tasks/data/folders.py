"""The data of a task, by its ``data`` settings: embedded images, a standard set, or folders of the user.

Folders are class folders (folder/class/image) or plain folders of photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, TypeVar

import torch

from distillbench.common.errors import DataError, at_most, warn_once
from distillbench.tasks.base import Channels, Folders, Splits
from distillbench.tasks.data import packing, standard, transfer
from distillbench.tasks.data.decoding import Mode, upright_size
from distillbench.tasks.data.embedded import DIGIT_SHAPE, DIGITS, LabelledImages, Photographs, digits, photographs
from distillbench.tasks.data.files import ImageFile, colours, contents, decoded, digest, read_all, state_of_contents
from distillbench.tasks.data.image_files import hidden, image_names
from distillbench.tasks.data.pixels import image_digests, under_two_labels
from distillbench.tasks.data.sets import EMBEDDED, Kind, StandardSet, about, chosen

CARVE = standard.CARVE
"""Where no folder is given for the validation or the test split, one file in so many becomes part of it."""
T = TypeVar("T", LabelledImages, Photographs)


def identity(folders: Folders, kind: str) -> Any:
    """Return what identifies the data in a configuration, in JSON terms.

    Args:
        folders: the ``data`` settings.
        kind: "digits" or "photographs", the embedded images that the task takes by default.

    Returns:
        The name and digest of an embedded or a standard set, or the digests of folders by split.

    Raises:
        DataError: the data are not there, or do not fit the settings.
    """
    transfer_identity = transfer.identity(folders, EMBEDDED[kind])
    identity: dict[str, Any] = _identity(folders.without_transfer(), kind)
    return identity | transfer_identity


def _identity(folders: Folders, kind: str) -> dict[str, Any]:
    if folders == Folders():
        return _embedded_identity(kind)
    train, reported = _sets(folders, EMBEDDED[kind])
    if folders.channels is not None and kind == "photographs":
        raise DataError(
            "only class folders take it; photographs have the channels of their files", field="data.channels"
        )
    test: Any = digest(folders.test) if folders.test else None
    if reported is not None:
        with about("data.test_name"):
            test = standard.identity(reported)
    if train is not None:
        with about("data.name"):
            return {**standard.identity(train), **({} if test is None else {"test": test})}
    default = "carved" if folders.train else _embedded_identity(kind)
    paths = {split: getattr(folders, split) for split in ("train", "validation")}
    digests: dict[str, Any] = {split: digest(path) if path else default for split, path in paths.items()}
    converted = folders.channels is not None and folders.channels != _channels(folders)
    digests |= {"channels": folders.channels} if converted else {}
    return digests | {"test": default if test is None else test}


def _embedded_identity(kind: str) -> dict[str, Any]:
    loaded: Splits[Any] = digits() if kind == "digits" else photographs()
    return {"name": kind, "sha256": packing.digest(loaded)}


def _sets(folders: Folders, kind: Kind) -> tuple[StandardSet | None, StandardSet | None]:
    return chosen(folders.name, folders.test_name, folders.test is not None, kind)


def _carve(files: Sequence[ImageFile], parts: int) -> list[list[ImageFile]]:
    """Give every tenth file to each part but the first, which keeps the rest; by rank, so that ten files suffice."""
    carved = [[file for i, file in enumerate(files) if i % CARVE == part] for part in range(1, parts)]
    rest = [file for i, file in enumerate(files) if i % CARVE not in range(1, parts)]
    if not all(carved) or not rest:
        folder = Path(files[0].path).parent
        raise DataError(f"{len(files)} images under {folder} are too few to split into {parts} parts", field="data")
    return [rest, *carved]


def _check_disjoint(splits: Iterable[Sequence[ImageFile]]) -> None:
    """Raise DataError where two splits have a file in common, or two files of equal content."""
    first: dict[str, tuple[int, str]] = {}
    for number, files in enumerate(splits):
        for path, _, sha256 in files:
            split, twin = first.setdefault(sha256, (number, path))
            if split != number:
                same = f"{path} is" if Path(path).samefile(twin) else f"{twin} and {path} are the same picture, and"
                raise DataError(f"{same} in two splits; train, validation and test must be disjoint", field="data")


def _check_test_apart(test: T, *splits: T) -> None:
    """Raise DataError where an image of the test split, from another source, is in another split, pixel by pixel."""
    test_names = dict(zip(image_digests(test), test.names, strict=True))
    for split in splits:
        for name, image in zip(split.names, image_digests(split), strict=True):
            if image in test_names:
                twins = f"the test image {test_names[image]} and {name} are the same picture"
                disjoint = "train, validation and test must be disjoint"
                raise DataError(f"{twins}, and in two splits; {disjoint}", field="data")


def _resolve(
    folders: Folders,
    kind: Kind,
    load: Callable[[Sequence[ImageFile]], T],
    carve: Callable[..., Any],
    default: Callable[[], Splits[T]],
) -> Splits[T]:
    """Take sets and folders as they are; carve further splits from train, or take embedded ones where train is so."""
    train_set, test_set = _sets(folders, kind)
    test: T | None = None  # of another source than train
    if test_set is not None:
        with about("data.test_name"):
            test = standard.splits(test_set).test
    elif folders.test and folders.train is None:
        test = load(contents(folders.test))
    if train_set is not None:
        with about("data.name"):
            whole: Splits[T] = standard.splits(train_set)
    elif folders.train is not None:
        whole = _of_folders(folders, test is not None, load, carve)
    else:
        whole = default()
        if folders.validation:
            whole = replace(whole, validation=load(contents(folders.validation)))
    if test is None:
        return whole
    _check_test_apart(test, whole.train, whole.validation)
    return replace(whole, test=test)


def _of_folders(
    folders: Folders, tested: bool, load: Callable[[Sequence[ImageFile]], T], carve: Callable[..., Any]
) -> Splits[T]:
    """Load the splits of a train folder. tested: another source takes the place of the test split."""
    files = {name: contents(path) for name in ("train", "validation", "test") if (path := getattr(folders, name))}
    missing = [name for name in ("validation", "test") if name not in files and not (tested and name == "test")]
    train, *carved = carve(files["train"], len(missing) + 1)
    parts = files | dict(zip(missing, carved, strict=True)) | {"train": train}
    _check_disjoint(parts.values())
    loaded = {name: load(part) for name, part in parts.items()}
    return Splits(loaded["train"], loaded["validation"], loaded.get("test", loaded["validation"]))


def photograph_splits(folders: Folders, cache: Path | None = None) -> Splits[Photographs]:
    """Return photographs in the channels of their files, split by picture.

    Args:
        folders: the ``data`` settings.
        cache: the folder in which decoded images are cached; None: none are.

    Raises:
        DataError: the data are not there, or do not fit the settings.
    """
    folders = folders.without_transfer()
    return _photographs(folders, cache) if _by_name(folders) else photographs_once(folders, cache)


def _by_name(folders: Folders) -> bool:
    """Return whether a standard set is named, which is cached by its files; folders are read once a process."""
    return folders.name is not None or folders.test_name is not None


def _photographs(folders: Folders, cache: Path | None) -> Splits[Photographs]:
    def load(files: Sequence[ImageFile]) -> Photographs:
        paths = [Path(file.path) for file in files]
        return Photographs(tuple(file.name for file in files), tuple(read_all(paths, cache=cache)))

    return _resolve(folders, "photographs", load, _carve, photographs)


def _format(folders: Folders) -> tuple[str, tuple[str, ...], tuple[int, int, int]]:
    """Return the first labelled image, the classes and (channels, height, width), without decoding an image."""
    train, test = _sets(folders, "labelled")
    if train is not None:
        description = f"{train.name!r}", train.classes, train.shape
    elif folders.train is not None:
        first, classes, size = _format_of_classes(folders.train)
        description = first, classes, (folders.channels or _channels(folders), *size)
    else:
        raise DataError(
            "validation, test and test_name of labelled images need data.train or data.name too", field="data"
        )
    if test is not None and (test.classes, test.shape) != description[1:]:
        mismatch = f"{test.name!r} has other classes, or images of another size or colour,"
        raise DataError(f"{mismatch} than the training data {description[0]}", field="data.test_name")
    if folders.channels is None:
        _warn_of_colours(folders, description[2][0])
    return description


def _paths(folders: Folders) -> list[Path]:
    return [path for split in packing.SPLITS if (path := getattr(folders, split))]


def _channels(folders: Folders) -> Channels:
    """Return the channels of class folders where no setting decides: three where any image has colour."""
    return 3 if any(any(colours(folder)) for folder in _paths(folders)) else 1


def _warn_of_colours(folders: Folders, channels: int) -> None:
    """Warn where images of a folder are converted, and no setting asks for it."""
    kind, result = ("grey", "in colour") if channels == 3 else ("in colour", "grey")
    setting = " (data.channels = 1 or 3 decides)" if folders.train else ""
    for folder in _paths(folders):
        flags = colours(folder)
        if converted := sum(colour != (channels == 3) for colour in flags):
            warn_once(f"data: {folder}: {converted} of {len(flags)} images are {kind}, all are read {result}{setting}")


def _format_of_classes(folder: Path) -> tuple[str, tuple[str, ...], tuple[int, int]]:
    names = [name for name in image_names(folder) if "/" in name]
    classes = tuple(dict.fromkeys(name.partition("/")[0] for name in names))
    subfolders = {entry.name for entry in folder.iterdir() if entry.is_dir() and not hidden(entry.name)}
    if empty := sorted(subfolders.difference(classes)):
        count = f"{len(empty)} class folder{'s' * (len(empty) > 1)}"
        warn_once(f"data: {folder}: {count} without images skipped ({', '.join(at_most(5, empty))})")
    if len(classes) < 2:
        raise DataError(
            f"{folder} needs at least two class folders (folder/class/image), found {len(classes)}", field="data"
        )
    first = folder / names[0]
    width, height = upright_size(first)
    return str(first), classes, (height, width)


def labelled_outline(folders: Folders) -> Splits[LabelledImages]:
    """Return ``labelled_splits`` without examples, for the classes and the shape of the images."""
    folders = folders.without_transfer()
    return _outline(folders) if _by_name(folders) else outline_once(folders)


def _outline(folders: Folders) -> Splits[LabelledImages]:
    _, classes, shape = ("", DIGITS, DIGIT_SHAPE) if folders == Folders() else _format(folders)
    none = LabelledImages(torch.empty((0, *shape), dtype=torch.uint8), torch.empty(0, dtype=torch.int64), classes, ())
    return Splits(none, none, none)


def labelled_splits(folders: Folders, cache: Path | None = None) -> Splits[LabelledImages]:
    """Return labelled images of one size, in grey or in colour, from a set or from class folders.

    Args:
        folders: the ``data`` settings.
        cache: the folder in which decoded images are cached; None: none are.

    Raises:
        DataError: the data are not there, or do not fit the settings.
    """
    folders = folders.without_transfer()
    return _labelled(folders, cache) if _by_name(folders) else labelled_once(folders, cache)


def _labelled(folders: Folders, cache: Path | None) -> Splits[LabelledImages]:
    if folders == Folders():
        return digits()
    first, classes, (channels, height, width) = _format(folders)
    index = {name: i for i, name in enumerate(classes)}

    def class_of(file: ImageFile) -> str:
        name, *deeper = PurePath(file.name).parts[:-1] or [""]
        if name not in index:
            raise DataError(f"{file.path} is in no class folder (classes: {', '.join(classes)})", field="data")
        if second := next((part for part in deeper if part in index and part != name), None):
            raise DataError(
                f"{file.path} is in two classes, {name} and {second}; classes are folders of one level", field="data"
            )
        return name

    def load(files: Sequence[ImageFile]) -> LabelledImages:
        mode: Mode = "L" if channels == 1 else "RGB"
        labels = torch.tensor([index[class_of(file)] for file in files])
        pixels, shapes = decoded([file.path for file in files], mode, state_of_contents(files, mode), cache)
        for i in (shapes[:, 1:] != torch.tensor([height, width])).any(1).nonzero()[:1].flatten().tolist():
            raise DataError(
                f"{files[i].path} is {shapes[i, 2]}×{shapes[i, 1]}, but {first} is {width}×{height}; "
                "class folders need images of one size",
                field="data",
            )
        names = tuple(file.name for file in files)
        part = LabelledImages(pixels.view(-1, channels, height, width), labels, classes, names)
        if twins := under_two_labels(part):
            first_path, second_path = (files[i].path for i in twins[0])
            more = f" (one of {len(twins)} such pairs)" if len(twins) > 1 else ""
            warn_once(f"data: {first_path} and {second_path} are the same picture under two labels{more}")
        return part

    def carve(files: Sequence[ImageFile], parts: int) -> list[list[ImageFile]]:
        members: dict[str, list[ImageFile]] = {name: [] for name in classes}
        for file in files:
            members[class_of(file)].append(file)
        by_class = [_carve(of_class, parts) for of_class in members.values()]
        return [[file for of_class in by_class for file in of_class[part]] for part in range(parts)]

    return _resolve(folders, "labelled", load, carve, digits)


outline_once = lru_cache(maxsize=4)(_outline)
photographs_once = lru_cache(maxsize=2)(_photographs)
labelled_once = lru_cache(maxsize=2)(_labelled)
