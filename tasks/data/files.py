"""Image files on disk: identified, read, and decoded once for all processes."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.ExifTags import Base
from torch import Tensor

from tasks.data import kept
from tasks.data.errors import DataError as DataError
from tasks.data.walking import image_files as image_files
from tasks.data.walking import image_names

SIXTEEN_BITS = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
GREY = SIXTEEN_BITS | {"1", "L", "LA", "I", "F"}
"""PIL's modes without colour."""
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations in which a camera lay on its side."""
CACHE_FORMAT = 3
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
    state = state_of(paths, "digests")
    place = kept.folder() / "digests" / f"{state[:32]}.safetensors"
    found = kept.find(place, state)
    if found is not None:
        digests = found.tensors["digests"].numpy().tobytes()
    else:
        with ThreadPoolExecutor(4) as pool:
            digests = b"".join(pool.map(lambda path: hashlib.sha256(_bytes(Path(path))).digest(), paths))
        tensor = torch.frombuffer(bytearray(digests), dtype=torch.uint8)
        kept.write_if_possible(place, state, {"digests": tensor})
    hashes = (digests[i : i + 32].hex() for i in range(0, len(digests), 32))
    return [ImageFile(*each) for each in zip(paths, names, hashes, strict=True)]


@lru_cache(maxsize=16)
def digest(folder: Path) -> str:
    """SHA-256 over the relative names and the bytes of every image under the folder."""
    lines = (f"{file.name}\0{file.sha256}\n" for file in contents(folder))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_digest(path: Path, field: str) -> str:
    """SHA-256 of one file. field: the setting that names it, for the message where it cannot be read."""
    if path.exists() and not path.is_file():
        raise DataError(f"{field}: {path} is no file")
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{field}: {path} cannot be read ({error.strerror})") from error
    return _digest_of(path, field, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=16)
def _digest_of(path: Path, field: str, *state: int) -> str:
    """state: of the file, so that one that has changed is read again."""
    return hashlib.sha256(_bytes(path, field)).hexdigest()


def _bytes(path: Path, field: str = "data") -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{field}: {path} cannot be read ({error.strerror})") from error


@contextmanager
def _opened(path: Path, field: str) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except DataError:
        raise
    except Exception as error:  # PIL raises anything on foreign bytes
        reason = " ".join(str(error).split())
        raise DataError(f"{field}: {path} cannot be read as an image ({reason})") from error


def header(path: Path) -> tuple[bool, tuple[int, int]]:
    """Of one image, undecoded: whether it is grey, and its (width, height) upright."""
    with _opened(path, "data") as image:
        width, height = image.size
        sideways = image.getexif().get(Base.Orientation) in SIDEWAYS
        return image.mode in GREY, (height, width) if sideways else (width, height)


def read(path: Path, mode: str, field: str = "data") -> Tensor:
    """One image, upright, converted to PIL's ``mode`` (L or RGB): (channels, height, width) uint8."""
    with _opened(path, field) as image:
        array = np.array(_eight_bits(image, path, field).convert(mode))
    tensor = torch.from_numpy(array)
    return (tensor.unsqueeze(0) if tensor.dim() == 2 else tensor.permute(2, 0, 1)).contiguous()


def _eight_bits(image: Image.Image, path: Path, field: str) -> Image.Image:
    """Upright, and in 8 bits a channel: PIL's own conversion cuts off what is above 255."""
    kind, upright = image.format, ImageOps.exif_transpose(image)
    if upright.mode in SIXTEEN_BITS or (upright.mode == "I" and kind in ("PNG", "PPM")):  # which have 16 bits at most
        return Image.fromarray(((np.asarray(upright).astype(np.int64) + 128) // 257).astype(np.uint8))
    if upright.mode == "I":
        raise DataError(f"{field}: {path} has whole numbers of 32 bits (allowed: 8 or 16 bits, or floats in [0, 1])")
    if upright.mode == "F":
        values = np.asarray(upright)
        if not (values.min() >= 0 and values.max() <= 1):  # nor where one is no number
            span = f"{values.min():g} to {values.max():g}"
            raise DataError(f"{field}: {path} has floats from {span} (allowed: 8 or 16 bits, or floats in [0, 1])")
        return Image.fromarray(np.round(values * 255).astype(np.uint8))
    return upright


def read_all(paths: Sequence[Path], mode: str, cache: Path | None = None) -> list[Tensor]:
    """Every image as ``read`` gives it: views of one piece of memory, image after image.

    With a cache folder they are decoded once, and found again by the files' paths, sizes and times of change.
    """
    pixels, shapes = decoded(paths, mode, state_of(paths, mode), cache)
    parts = pixels.split(shapes.prod(1).tolist())
    return [part.view(*shape) for part, shape in zip(parts, shapes.tolist(), strict=True)]


def decoded(paths: Iterable[Path | str], mode: str, state: str, cache: Path | None = None) -> tuple[Tensor, Tensor]:
    """The pixels of all images as ``read`` gives them, one after another, and their shapes, (n, 3).

    With a cache folder they are decoded once, and afterwards mapped into memory. state: what they are found again by.
    What is kept carries a checksum; a kept file that is damaged is told and made again.
    """
    place = cache / "images" / f"{state}.safetensors" if cache is not None else None
    if place is not None and (found := kept.find(place, state)) is not None:
        return found.tensors["pixels"], found.tensors["shapes"]
    with warnings.catch_warnings(), ThreadPoolExecutor(4) as pool:
        # Large photographs are no attack; twice as large is an error of PIL's.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        images = list(pool.map(lambda path: read(Path(path), mode), paths))
    pixels, shapes = torch.cat([image.flatten() for image in images]), torch.tensor([image.shape for image in images])
    if place is not None:
        kept.write_if_possible(place, state, {"pixels": pixels, "shapes": shapes})
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
            raise DataError(f"data: {path} cannot be read ({error.strerror})") from error
        if not stat.S_ISREG(status.st_mode):  # a pipe would be read for ever
            raise DataError(f"data: {path} is no file")
        whole = path if path.startswith(os.sep) else here + path
        lines.append(f"{whole}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}")
    return hashlib.sha256("\0".join(lines).encode(errors="surrogateescape")).hexdigest()


def state_of_contents(files: Sequence[ImageFile], use: str) -> str:
    """Likewise, of the files' bytes, wherever they lie."""
    return hashlib.sha256("\0".join([str(CACHE_FORMAT), use, *(file.sha256 for file in files)]).encode()).hexdigest()
