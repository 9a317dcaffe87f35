"""The image files of a folder: which files are pictures, by their names, and which are skipped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from heapq import heappop, heappush
from pathlib import Path, PurePath

from distillbench.common.errors import DataError, at_most, warn_once

COMMON_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"})
"""Suffixes that Pillow need not be asked about, which takes a moment."""
OTHER_FORMATS = frozenset(["BUFR", "CUR", "EPS", "FITS", "FLI", "GRIB", "HDF5", "ICNS", "ICO", "IPTC", "MPEG", "WMF"])
"""Formats that Pillow registers but that hold no pictures: icons, films, measurements, and what it cannot render."""
SYSTEM_NAMES = frozenset(
    {
        "__macosx",
        "__pycache__",
        "@eadir",
        "@tmp",
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "lost+found",
        "$recycle.bin",
        "system volume information",
        "thumbs.db",
        "desktop.ini",
        "icon\r",
        "network trash folder",
        "temporary items",
    }
)
"""Names, in lower case, that systems and network storage leave in folders."""


@lru_cache(maxsize=1)
def _suffixes() -> frozenset[str]:
    """Return the suffixes of all pictures that this Pillow reads."""
    from PIL import Image

    formats = Image.registered_extensions().items()
    return COMMON_SUFFIXES | {suffix for suffix, kind in formats if kind in Image.OPEN and kind not in OTHER_FORMATS}


def hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, as .ipynb_checkpoints, ._001.png, __MACOSX and @eaDir are."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def is_picture(name: str) -> bool:
    """Return whether a file is a picture, by the suffix of its name."""
    suffix = name[name.rfind(".") :].lower()
    return suffix in COMMON_SUFFIXES or (suffix.startswith(".") and suffix in _suffixes())


def pictures(folder: Path) -> list[Path]:
    """Return the pictures directly in a folder, by name, without hidden ones; none where there is no such folder."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in paths if is_picture(path.name) and not hidden(path.name))


def check_readable(where: str, names: Iterable[str], field: str = "") -> None:
    """Check that records can hold the names of files.

    Args:
        where: what holds the names.
        names: the names.
        field: the setting that they come from, where it is known.

    Raises:
        DataError: a name is not valid UTF-8.
    """
    for name in names:
        if not name.isascii() and os.fsencode(name).decode(errors="replace") != name:
            escaped = os.fsencode(name).decode(errors="backslashreplace")
            raise DataError(f"{where}: the name {escaped} is not valid UTF-8; rename it", field=field)


def image_names(folder: Path) -> list[str]:
    """Return the names of all images under a folder, relative to it, sorted by their parts.

    The user is warned of files that are skipped. Names are text: for tens of thousands, a Path each would take as long
    as all the rest.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", field="data")
    start, names, hidden_images, other_files = len(str(folder)), list[str](), 0, Counter[str]()
    for is_hidden, directory, files in _walk(str(folder)):
        images = [name for name in files if is_picture(name)]
        visible = [] if is_hidden else [name for name in images if not hidden(name)]
        hidden_images += len(images) - len(visible)
        names += [f"{directory}/{name}"[start:].lstrip("/") for name in visible]
        if not is_hidden:
            rest = set(files).difference(images)
            other_files.update(PurePath(name).suffix.lower() or "no suffix" for name in rest if not hidden(name))
    _warn(folder, hidden_images, other_files)
    if not names:
        formats = ".png, .jpg and all other formats that Pillow reads"
        raise DataError(f"no image under {folder} (looked for {formats})", field="data")
    check_readable(str(folder), names, "data")
    return sorted(names, key=lambda name: name.replace("/", "\0"))


def _warn(folder: Path, hidden_images: int, other_files: Counter[str]) -> None:
    if hidden_images:
        rule = "('.' before the name, __MACOSX, @eaDir and the like)"
        warn_once(f"data: {folder}: {hidden_images} hidden image{'s' * (hidden_images > 1)} skipped {rule}")
    if count := other_files.total():
        kinds = ", ".join(at_most(5, [f"{number} {suffix}" for suffix, number in other_files.most_common()]))
        warn_once(f"data: {folder}: {count} file{'s' * (count > 1)} skipped, not read as images ({kinds})")


def _walk(folder: str) -> Iterator[tuple[bool, str, list[str]]]:
    """Yield each folder once, whatever links lead to it: whether it is hidden, its path, the names of its files.

    Folders inside come before those that links lead to, and hidden ones last.
    """
    waiting, entered = [(False, False, folder)], set[tuple[int, int]]()
    while waiting:
        is_hidden, linked, directory = heappop(waiting)
        try:
            status = os.stat(directory)  # noqa: PTH116 -- thousands of them
            if (status.st_dev, status.st_ino) in entered:
                continue
            entries = list(os.scandir(directory))
        except OSError as error:
            if is_hidden:
                continue
            raise DataError(f"{directory} cannot be read ({error.strerror})", field="data") from error
        entered.add((status.st_dev, status.st_ino))
        folders = [entry for entry in entries if _is_folder(entry)]
        for entry in folders:
            heappush(waiting, (is_hidden or hidden(entry.name), linked or entry.is_symlink(), entry.path))
        yield is_hidden, directory, [entry.name for entry in set(entries).difference(folders)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
