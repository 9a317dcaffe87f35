"""Image files on disk: digests of their content, and their pixels, decoded once for all of a user's processes."""

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
from distillbench.tasks.data.image_files import image_names

CACHE_FORMAT = 4
"""Raise it when images are decoded in another way: older cached files are then ignored."""


class ImageFile(NamedTuple):
    """An image file under a folder.

    Attributes:
        path: the path, as text.
        name: the path below the folder, which is the name of the example in records.
        sha256: the digest of the bytes.
    """

    path: str
    name: str
    sha256: str


def contents(folder: Path) -> list[ImageFile]:
    """Return every image under a folder with its digest, in the order of ``image_names``.

    The digests are cached for the user's next process, which reads no file whose path, size and times are the same.
    """
    names = image_names(folder)
    paths = [f"{folder}/{name}" for name in names]
    digests = _cached(paths, "digests", _hashes)
    hashes = (digests[i : i + 32].hex() for i in range(0, len(digests), 32))
    return [ImageFile(*fields) for fields in zip(paths, names, hashes, strict=True)]


def colours(folder: Path) -> list[bool]:
    """Return whether each image under a folder has colour, by its header; cached like the digests."""
    paths = [f"{folder}/{name}" for name in image_names(folder)]
    return [flag == 1 for flag in _cached(paths, "colours", lambda paths: bytes(in_colour(paths)))]


def _hashes(paths: Sequence[str]) -> bytes:
    with ThreadPoolExecutor(4) as pool:
        return b"".join(pool.map(lambda path: hashlib.sha256(_bytes(Path(path))).digest(), paths))


def _cached(paths: Sequence[str], kind: str, compute: Callable[[Sequence[str]], bytes]) -> bytes:
    """Return bytes about some files, from the cache or else computed. kind: what they are, such as "digests"."""
    state = state_of(paths, kind)
    path = disk_cache.folder() / kind / f"{state[:32]}.safetensors"
    if (cached := disk_cache.find(path, state)) is not None:
        return cached.tensors[kind].numpy().tobytes()
    content = compute(paths)
    disk_cache.write_if_possible(path, state, {kind: torch.frombuffer(bytearray(content), dtype=torch.uint8)})
    return content


@lru_cache(maxsize=16)
def digest(folder: Path) -> str:
    """Return the SHA-256 over the relative names and the bytes of every image under a folder."""
    lines = (f"{file.name}\0{file.sha256}\n" for file in contents(folder))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_digest(path: Path, field: str) -> str:
    """Return the SHA-256 of one file.

    Args:
        path: the file.
        field: the setting that names it, for the message.

    Raises:
        DataError: it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a regular file", field=field)
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", field=field) from error
    return _digest_of(path, field, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=16)
def _digest_of(path: Path, field: str, *state: int) -> str:
    """Return the digest. state: of the file, so that a file that has changed is read again."""
    return hashlib.sha256(_bytes(path, field)).hexdigest()


def _bytes(path: Path, field: str = "data") -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", field=field) from error


def read_all(paths: Sequence[Path], mode: Mode | None = None, cache: Path | None = None) -> list[Tensor]:
    """Read images as ``read`` does, one after another in one piece of memory.

    Args:
        paths: the files.
        mode: the mode to convert to; default: one channel or three, as each file has.
        cache: a folder in which the pixels are cached; they are found by the files' paths, sizes and times of change.

    Returns:
        A (channels, height, width) uint8 view of the memory for each file.
    """
    pixels, shapes = decoded(paths, mode, state_of(paths, mode or "own channels"), cache)
    parts = pixels.split(shapes.prod(1).tolist())
    return [part.view(*shape) for part, shape in zip(parts, shapes.tolist(), strict=True)]


def decoded(
    paths: Iterable[Path | str], mode: Mode | None, state: str, cache: Path | None = None
) -> tuple[Tensor, Tensor]:
    """Decode images, or map their pixels into memory where they are cached.

    Args:
        paths: the files.
        mode: the mode to convert to; default: one channel or three, as each file has.
        state: the key of the cached file.
        cache: the folder of the cache; None: nothing is cached.

    Returns:
        The pixels of all images, one after another (uint8), and their shapes, (n, 3).
    """
    cached_file = cache / "images" / f"{state}.safetensors" if cache is not None else None
    if cached_file is not None and (cached := disk_cache.find(cached_file, state)) is not None:
        return cached.tensors["pixels"], cached.tensors["shapes"]
    images = read_each(paths, mode)
    pixels, shapes = torch.cat([image.flatten() for image in images]), torch.tensor([image.shape for image in images])
    if cached_file is not None:
        disk_cache.write_if_possible(cached_file, state, {"pixels": pixels, "shapes": shapes})
    return pixels, shapes


def state_of(paths: Iterable[Path | str], use: str) -> str:
    """Return the cache key of what is computed from files: a digest of their paths, sizes and times of change.

    Args:
        paths: the files.
        use: what is computed from them.

    Raises:
        DataError: a file does not exist, or is not a regular file.
    """
    working_directory, lines = f"{Path.cwd()}{os.sep}", [str(CACHE_FORMAT), use]
    for path in map(str, paths):
        try:
            status = os.stat(path)  # noqa: PTH116 -- of tens of thousands
        except OSError as error:  # a link to nowhere
            raise DataError(f"{path} cannot be read ({error.strerror})", field="data") from error
        if not stat.S_ISREG(status.st_mode):  # a pipe would be read for ever
            raise DataError(f"{path} is not a regular file", field="data")
        whole = path if path.startswith(os.sep) else working_directory + path
        lines.append(f"{whole}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}")
    return hashlib.sha256("\0".join(lines).encode(errors="surrogateescape")).hexdigest()


def state_of_contents(files: Sequence[ImageFile], use: str) -> str:
    """Return the cache key of what is computed from files, wherever they lie: a digest of their content.

    Args:
        files: the files.
        use: what is computed from them.
    """
    return hashlib.sha256("\0".join([str(CACHE_FORMAT), use, *(file.sha256 for file in files)]).encode()).hexdigest()
