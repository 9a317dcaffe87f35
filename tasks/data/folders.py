"""What a task's ``data`` setting names: the embedded images, a standard set, or the user's own.

Her own are class folders (folder/class/image) or plain folders of photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, TypeVar

import torch

from distillbench.common.errors import DataError, warn_once
from distillbench.tasks.base import Channels, Folders, Splits
from distillbench.tasks.data import packing, standard
from distillbench.tasks.data.decoding import Mode, upright_size
from distillbench.tasks.data.embedded import DIGIT_SHAPE, DIGITS, LabelledImages, Photographs, digits, photographs
from distillbench.tasks.data.files import ImageFile, colours, contents, decoded, digest, read_all, state_of_contents
from distillbench.tasks.data.pixels import image_digests, under_two_labels
from distillbench.tasks.data.sets import EMBEDDED, Kind, StandardSet, about, chosen
from distillbench.tasks.data.suffixes import hidden
from distillbench.tasks.data.walking import image_names, shortened

CARVE = standard.CARVE
"""One file in so many goes to the validation split, and one to the test split, where no folder is given for it."""
T = TypeVar("T", LabelledImages, Photographs)


def identity(folders: Folders, kind: str) -> Any:
    """What identifies the data: the name and the digest of an embedded or a standard set, or digests of her files."""
    if folders == Folders():
        return _embedded_identity(kind)
    train, reported = _sets(folders, EMBEDDED[kind])
    if folders.channels is not None and kind == "photographs":
        raise DataError("is of class folders; photographs have the channels of their files", field="data.channels")
    test: Any = digest(folders.test) if folders.test else None
    if reported is not None:
        with about("data.test_name"):
            test = standard.identity(reported)
    if train is not None:
        with about("data.name"):
            return standard.identity(train) | ({} if test is None else {"test": test})
    other = "carved" if folders.train else _embedded_identity(kind)
    paths = {split: getattr(folders, split) for split in ("train", "validation")}
    own: dict[str, Any] = {split: digest(path) if path else other for split, path in paths.items()}
    converted = folders.channels is not None and folders.channels != _channels(folders)
    own |= {"channels": folders.channels} if converted else {}
    return own | {"test": other if test is None else test}


def _embedded_identity(kind: str) -> dict[str, str]:
    loaded: Splits[Any] = digits() if kind == "digits" else photographs()
    return {"name": kind, "sha256": packing.digest(loaded)}


def _sets(folders: Folders, kind: Kind) -> tuple[StandardSet | None, StandardSet | None]:
    return chosen(folders.name, folders.test_name, folders.test is not None, kind)


def _carve(files: Sequence[ImageFile], parts: int) -> list[list[ImageFile]]:
    """Every tenth file to each part but the first, which keeps the rest; by rank, so that any ten files suffice."""
    taken = [[file for i, file in enumerate(files) if i % CARVE == part] for part in range(1, parts)]
    rest = [file for i, file in enumerate(files) if i % CARVE not in range(1, parts)]
    if not all(taken) or not rest:
        where = Path(files[0].path).parent
        raise DataError(f"{len(files)} images under {where} are too few to split into {parts} parts", field="data")
    return [rest, *taken]


def _check_disjoint(splits: Iterable[Sequence[ImageFile]]) -> None:
    """Raise DataError where two splits have a file in common, or two files of equal content."""
    seen: dict[str, tuple[int, str]] = {}
    for number, files in enumerate(splits):
        for path, _, sha256 in files:
            other, twin = seen.setdefault(sha256, (number, path))
            if other != number:
                same = f"{path} is" if Path(path).samefile(twin) else f"{twin} and {path} are the same picture, and"
                raise DataError(f"{same} in two splits; train, validation and test must be disjoint", field="data")


def _check_apart(test: T, *others: T) -> None:
    """Raise DataError where an image of the test split is one of the others', of another source, pixel by pixel."""
    known = dict(zip(image_digests(test), test.names, strict=True))
    for other in others:
        for name, its in zip(other.names, image_digests(other), strict=True):
            if its in known:
                twins = f"the test image {known[its]} and {name} are the same picture"
                raise DataError(
                    f"{twins}, and in two splits; train, validation and test must be disjoint", field="data"
                )


def _resolve(
    folders: Folders,
    kind: Kind,
    load: Callable[[Sequence[ImageFile]], T],
    carve: Callable[..., Any],
    default: Callable[[], Splits[T]],
) -> Splits[T]:
    """Sets and folders that are given as they are; the others carved from train, or embedded where train is too."""
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
        own = default()
        whole = replace(own, validation=load(contents(folders.validation))) if folders.validation else own
    if test is None:
        return whole
    _check_apart(test, whole.train, whole.validation)
    return replace(whole, test=test)


def _of_folders(
    folders: Folders, tested: bool, load: Callable[[Sequence[ImageFile]], T], carve: Callable[..., Any]
) -> Splits[T]:
    """With a train folder. tested: a set takes the place of the test split, which is none of the folder's then."""
    files = {name: contents(path) for name in ("train", "validation", "test") if (path := getattr(folders, name))}
    missing = [name for name in ("validation", "test") if name not in files and not (tested and name == "test")]
    train, *carved = carve(files["train"], len(missing) + 1)
    parts = files | dict(zip(missing, carved, strict=True)) | {"train": train}
    _check_disjoint(parts.values())
    loaded = {name: load(its) for name, its in parts.items()}
    return Splits(loaded["train"], loaded["validation"], loaded.get("test", loaded["validation"]))


def photograph_splits(folders: Folders, cache: Path | None = None) -> Splits[Photographs]:
    """Photographs in the channels of their files, split by picture. cache: where decoded images of folders are kept."""
    return _photographs(folders, cache) if _by_name(folders) else photographs_once(folders, cache)


def _by_name(folders: Folders) -> bool:
    """What is read of a set is remembered as long as its files stay the same; folders are looked at once a process."""
    return folders.name is not None or folders.test_name is not None


def _photographs(folders: Folders, cache: Path | None) -> Splits[Photographs]:

    def load(files: Sequence[ImageFile]) -> Photographs:
        paths = [Path(file.path) for file in files]
        return Photographs(tuple(file.name for file in files), tuple(read_all(paths, cache=cache)))

    return _resolve(folders, "photographs", load, _carve, photographs)


def _format(folders: Folders) -> tuple[str, tuple[str, ...], tuple[int, int, int]]:
    """Of labelled images: what the first is called, the classes, (channels, height, width). Nothing is decoded."""
    train, test = _sets(folders, "labelled")
    if train is not None:
        found = f"{train.name!r}", train.classes, train.shape
    elif folders.train is not None:
        first, classes, size = _format_of_classes(folders.train)
        found = first, classes, (folders.channels or _channels(folders), *size)
    else:
        raise DataError(
            "validation, test and test_name of labelled images need data.train or data.name as well", field="data"
        )
    if test is not None and (test.classes, test.shape) != found[1:]:
        what = f"{test.name!r} has other classes, or images of another size or colour,"
        raise DataError(f"{what} than {found[0]}, which is trained on", field="data.test_name")
    if folders.channels is None:
        _tell_colours(folders, found[2][0])
    return found


def _own(folders: Folders) -> list[Path]:
    return [path for split in packing.SPLITS if (path := getattr(folders, split))]


def _channels(folders: Folders) -> Channels:
    """Of class folders, unless they are set: colour where any image has it."""
    return 3 if any(any(colours(folder)) for folder in _own(folders)) else 1


def _tell_colours(folders: Folders, channels: int) -> None:
    """Where images of a folder are taken in another way than they are, and nobody has said so."""
    kind, taken = ("grey", "in colour") if channels == 3 else ("in colour", "grey")
    setting = " (data.channels = 1 or 3 decides)" if folders.train else ""
    for folder in _own(folders):
        every = colours(folder)
        if odd := sum(colour != (channels == 3) for colour in every):
            warn_once(f"data: {folder}: {odd} of {len(every)} images are {kind}, all are taken {taken}{setting}")


def _format_of_classes(folder: Path) -> tuple[str, tuple[str, ...], tuple[int, int]]:
    names = [name for name in image_names(folder) if "/" in name]
    classes = tuple(dict.fromkeys(name.partition("/")[0] for name in names))
    there = {entry.name for entry in folder.iterdir() if entry.is_dir() and not hidden(entry.name)}
    if empty := sorted(there.difference(classes)):
        count = f"{len(empty)} class folder{'s' * (len(empty) > 1)}"
        warn_once(f"data: {folder}: {count} without images skipped ({shortened(empty)})")
    if len(classes) < 2:
        raise DataError(
            f"{folder} needs at least two class folders (folder/class/image), found {len(classes)}", field="data"
        )
    first = folder / names[0]
    width, height = upright_size(first)
    return str(first), classes, (height, width)


def labelled_outline(folders: Folders) -> Splits[LabelledImages]:
    """``labelled_splits`` without any examples: their classes, and the shape of their images."""
    return _outline(folders) if _by_name(folders) else outline_once(folders)


def _outline(folders: Folders) -> Splits[LabelledImages]:
    _, classes, shape = ("", DIGITS, DIGIT_SHAPE) if folders == Folders() else _format(folders)
    none = LabelledImages(torch.empty((0, *shape), dtype=torch.uint8), torch.empty(0, dtype=torch.int64), classes, ())
    return Splits(none, none, none)


def labelled_splits(folders: Folders, cache: Path | None = None) -> Splits[LabelledImages]:
    """A set, or class folders: all images of one size, in grey or in colour."""
    return _labelled(folders, cache) if _by_name(folders) else labelled_once(folders, cache)


def _labelled(folders: Folders, cache: Path | None) -> Splits[LabelledImages]:
    if folders == Folders():
        return digits()
    first, classes, (channels, height, width) = _format(folders)
    index = {name: i for i, name in enumerate(classes)}

    def class_of(file: ImageFile) -> str:
        name, *deeper = PurePath(file.name).parts[:-1] or [""]
        if name not in index:
            raise DataError(f"{file.path} is in no known class (classes: {', '.join(classes)})", field="data")
        if other := next((each for each in deeper if each in index and each != name), None):
            raise DataError(
                f"{file.path} is in two classes, {name} and {other}; classes are folders of one level", field="data"
            )
        return name

    def load(files: Sequence[ImageFile]) -> LabelledImages:
        mode: Mode = "L" if channels == 1 else "RGB"
        labels = torch.tensor([index[class_of(file)] for file in files])
        pixels, shapes = decoded([file.path for file in files], mode, state_of_contents(files, mode), cache)
        for odd in (shapes[:, 1:] != torch.tensor([height, width])).any(1).nonzero()[:1].flatten().tolist():
            raise DataError(
                f"{files[odd].path} is {shapes[odd, 2]}×{shapes[odd, 1]}, but {first} is {width}×{height}; "
                "class folders need images of one size",
                field="data",
            )
        names = tuple(file.name for file in files)
        part = LabelledImages(pixels.view(-1, channels, height, width), labels, classes, names)
        if twins := under_two_labels(part):
            one, other = (files[i].path for i in twins[0])
            more = f" (one of {len(twins)} such pairs)" if len(twins) > 1 else ""
            warn_once(f"data: {one} and {other} are the same picture under two labels{more}")
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
