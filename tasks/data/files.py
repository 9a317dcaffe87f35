"""Image files on disk: identified, and decoded once for all processes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from distillbench.common.errors import DataError as DataError
from distillbench.tasks.data import disk_cache
from distillbench.tasks.data.decoding import Mode, in_colour, read_each
from distillbench.tasks.data.decoding import read as read
from distillbench.tasks.data.walking import image_files as image_files
from distillbench.tasks.data.walking import image_names

CACHE_FORMAT = 4
"""To be raised when an image is decoded in another way: what was kept before is not found any more."""


class ImageFile(NamedTuple):
    """path: as text. name: below the folder, its item's in records. sha256: of its bytes."""

    path: str
    name: str
    sha256: str


def contents(folder: Path) -> list[ImageFile]:
    """Every image under the folder, as ``image_names`` has them, with what identifies its content.

    The digests are kept for the user's next process, which then reads no file: found again by the files' paths,
    sizes and times of change.
    """
    names = image_names(folder)
    paths = [f"{folder}/{name}" for name in names]
    digests = _kept(paths, "digests", _hashes)
    hashes = (digests[i : i + 32].hex() for i in range(0, len(digests), 32))
    return [ImageFile(*each) for each in zip(paths, names, hashes, strict=True)]


def colours(folder: Path) -> list[bool]:
    """Whether each image under the folder has colour, as its header says; kept as the digests are."""
    paths = [f"{folder}/{name}" for name in image_names(folder)]
    return [flag == 1 for flag in _kept(paths, "colours", lambda paths: bytes(in_colour(paths)))]


def _hashes(paths: Sequence[str]) -> bytes:
    with ThreadPoolExecutor(4) as pool:
        return b"".join(pool.map(lambda path: hashlib.sha256(_bytes(Path(path))).digest(), paths))


def _kept(paths: Sequence[str], what: str, of: Callable[[Sequence[str]], bytes]) -> bytes:
    """What is known of some files, as bytes: looked up, or else found out and kept."""
    state = state_of(paths, what)
    place = disk_cache.folder() / what / f"{state[:32]}.safetensors"
    if (found := disk_cache.find(place, state)) is not None:
        return found.tensors[what].numpy().tobytes()
    content = of(paths)
    disk_cache.write_if_possible(place, state, {what: torch.frombuffer(bytearray(content), dtype=torch.uint8)})
    return content


@lru_cache(maxsize=16)
def digest(folder: Path) -> str:
    """SHA-256 over the relative names and the bytes of every image under the folder."""
    lines = (f"{file.name}\0{file.sha256}\n" for file in contents(folder))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_digest(path: Path, field: str) -> str:
    """SHA-256 of one file. field: the setting that names it, for the message where it cannot be read."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is no file", field=field)
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", field=field) from error
    return _digest_of(path, field, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=16)
def _digest_of(path: Path, field: str, *state: int) -> str:
    """state: of the file, so that one that has changed is read again."""
    return hashlib.sha256(_bytes(path, field)).hexdigest()


def _bytes(path: Path, field: str = "data") -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", field=field) from error


def read_all(paths: Sequence[Path], mode: Mode | None = None, cache: Path | None = None) -> list[Tensor]:
    """Every image as ``read`` gives it: views of one piece of memory, image after image.

    With a cache folder they are decoded once, and found again by the files' paths, sizes and times of change.
    """
    pixels, shapes = decoded(paths, mode, state_of(paths, mode or "own channels"), cache)
    parts = pixels.split(shapes.prod(1).tolist())
    return [part.view(*shape) for part, shape in zip(parts, shapes.tolist(), strict=True)]


def decoded(
    paths: Iterable[Path | str], mode: Mode | None, state: str, cache: Path | None = None
) -> tuple[Tensor, Tensor]:
    """The pixels of all images as ``read`` gives them, one after another, and their shapes, (n, 3).

    With a cache folder they are decoded once, and afterwards mapped into memory. state: what they are found again by.
    What is kept carries a checksum; a kept file that is damaged is told and made again.
    """
    place = cache / "images" / f"{state}.safetensors" if cache is not None else None
    if place is not None and (found := disk_cache.find(place, state)) is not None:
        return found.tensors["pixels"], found.tensors["shapes"]
    images = read_each(paths, mode)
    pixels, shapes = torch.cat([image.flatten() for image in images]), torch.tensor([image.shape for image in images])
    if place is not None:
        disk_cache.write_if_possible(place, state, {"pixels": pixels, "shapes": shapes})
    return pixels, shapes


def state_of(paths: Iterable[Path | str], use: str) -> str:
    """What is made of some files, for one use, is found again by this: their paths, sizes and times of change.

    Raises DataError where one is not there.
    """
    here, lines = f"{Path.cwd()}{os.sep}", [str(CACHE_FORMAT), use]
    for path in map(str, paths):
        try:
            status = os.stat(path)  # noqa: PTH116 -- of tens of thousands
        except OSError as error:  # a link to nowhere
            raise DataError(f"{path} cannot be read ({error.strerror})", field="data") from error
        if not stat.S_ISREG(status.st_mode):  # a pipe would be read for ever
            raise DataError(f"{path} is no file", field="data")
        whole = path if path.startswith(os.sep) else here + path
        lines.append(f"{whole}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}")
    return hashlib.sha256("\0".join(lines).encode(errors="surrogateescape")).hexdigest()


def state_of_contents(files: Sequence[ImageFile], use: str) -> str:
    """Likewise, of the files' bytes, wherever they lie."""
    return hashlib.sha256("\0".join([str(CACHE_FORMAT), use, *(file.sha256 for file in files)]).encode()).hexdigest()
