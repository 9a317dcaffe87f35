"""The pictures under a folder: which files they are, and what is passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from pathlib import Path, PurePath

from distillbench.common.errors import DataError, warn_once
from distillbench.tasks.data.suffixes import check_readable, hidden, is_picture


def image_files(folder: Path) -> list[Path]:
    """Every image under the folder, in the order of ``image_names``."""
    return [folder / name for name in image_names(folder)]


def image_names(folder: Path) -> list[str]:
    """Every image under the folder by its relative name, in the order of their parts. What is passed over is told.

    As text: of tens of thousands, a Path each would take as long as all the rest.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", field="data")
    start, names, unseen, foreign = len(str(folder)), list[str](), 0, Counter[str]()
    for hides, directory, files in _walk(str(folder)):
        pictures = [name for name in files if is_picture(name)]
        seen = [] if hides else [name for name in pictures if not hidden(name)]
        unseen += len(pictures) - len(seen)
        names += [f"{directory}/{name}"[start:].lstrip("/") for name in seen]
        if not hides:
            others = set(files).difference(pictures)
            foreign.update(PurePath(name).suffix.lower() or "no suffix" for name in others if not hidden(name))
    _tell(folder, unseen, foreign)
    if not names:
        raise DataError(f"no image under {folder} (looked for .png, .jpg and whatever else Pillow reads)", field="data")
    check_readable(str(folder), names, "data")
    return sorted(names, key=lambda name: name.replace("/", "\0"))


def _tell(folder: Path, unseen: int, foreign: Counter[str]) -> None:
    if unseen:
        what = "('.' before the name, __MACOSX, @eaDir and the like)"
        warn_once(f"data: {folder}: {unseen} hidden image{'s' * (unseen > 1)} skipped {what}")
    if count := foreign.total():
        kinds = shortened(f"{many} {suffix}" for suffix, many in foreign.most_common())
        warn_once(f"data: {folder}: {count} file{'s' * (count > 1)} passed over, not read as pictures ({kinds})")


def shortened(words: Iterable[str], most: int = 5) -> str:
    """The first of them, as a list in a sentence."""
    first, rest = (every := list(words))[:most], every[most:]
    return ", ".join([*first, "…"] if rest else first)


def _walk(folder: str) -> Iterator[tuple[bool, str, list[str]]]:
    """Each folder once, whatever links lead to it: whether it is hidden, its path, the names of its files.

    What lies there itself comes before what links lead to, and what is hidden last.
    """
    waiting, entered = [(False, False, folder)], set[tuple[int, int]]()
    while waiting:
        hides, linked, directory = heappop(waiting)
        try:
            status = os.stat(directory)  # noqa: PTH116 -- of thousands
            if (status.st_dev, status.st_ino) in entered:
                continue
            entries = list(os.scandir(directory))
        except OSError as error:
            if hides:
                continue
            raise DataError(f"{directory} cannot be read ({error.strerror})", field="data") from error
        entered.add((status.st_dev, status.st_ino))
        folders = [entry for entry in entries if _is_folder(entry)]
        for entry in folders:
            heappush(waiting, (hides or hidden(entry.name), linked or entry.is_symlink(), entry.path))
        yield hides, directory, [entry.name for entry in set(entries).difference(folders)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
