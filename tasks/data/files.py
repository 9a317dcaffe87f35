"""Image files on disk: found, identified, read, and decoded once for all processes."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.ExifTags import Base
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tasks.data.atomic import write_atomically
from tasks.data.telling import tell

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"})


SIXTEEN_BITS = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
GREY = SIXTEEN_BITS | {"1", "L", "LA", "I", "F"}
"""PIL's modes without colour."""
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations in which a camera lay on its side."""
CACHE_FORMAT = 2
"""To be raised when an image is decoded in another way: what was kept before is not found any more."""


class DataError(ValueError):
    """A folder or an image that cannot be used; one line that names it."""


def hidden(name: str) -> bool:
    """What systems leave in folders and nobody sees: .ipynb_checkpoints, ._001.png, __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


def image_files(folder: Path) -> list[Path]:
    """Every image under the folder, sorted by relative name. What is hidden is skipped, and told."""
    if not folder.is_dir():
        raise DataError(f"data: {folder} is not a folder")
    found, skipped = [], 0
    for directory, _, names in os.walk(folder, followlinks=True):
        images = [name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]  # noqa: PTH122
        unseen = any(map(hidden, Path(directory).relative_to(folder).parts))
        seen = [] if unseen else [name for name in images if not hidden(name)]
        found += [Path(directory, name) for name in seen]
        skipped += len(images) - len(seen)
    if skipped:
        tell(f"data: {folder}: {skipped} hidden image{'s' * (skipped > 1)} skipped ('.' before the name, or __MACOSX)")
    if not found:
        raise DataError(f"data: no image under {folder} (looked for {', '.join(sorted(SUFFIXES))})")
    return sorted(found, key=lambda path: path.parts)


@lru_cache(maxsize=16)
def digest(folder: Path) -> str:
    """SHA-256 over the relative names and the bytes of every image under the folder."""
    total = hashlib.sha256()
    for path in image_files(folder):
        content = _bytes(path)
        total.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


@lru_cache(maxsize=16)
def file_digest(path: Path, field: str) -> str:
    """SHA-256 of one file. field: the setting that names it, for the message where it cannot be read."""
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
    """Every image as ``read`` gives it. With a cache folder they are decoded once, and afterwards mapped into memory.

    What is kept is found again by the files' paths, sizes and times of change, and carries a checksum; a kept file that
    is damaged is told and made again. The tensors of one call are views of one piece of memory, image after image.
    """
    state = _state(paths, mode)
    kept = cache / "images" / f"{state}.safetensors" if cache is not None else None
    if kept is not None and kept.exists():
        try:
            return _split(*_load(kept, state))
        except (SafetensorError, KeyError, ValueError) as error:
            tell(f"data: {kept} is damaged ({error}); the images are decoded again")
    with warnings.catch_warnings(), ThreadPoolExecutor(4) as pool:
        # Large photographs are no attack; twice as large is an error of PIL's.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        images = list(pool.map(lambda path: read(path, mode), paths))
    pixels, shapes = torch.cat([image.flatten() for image in images]), torch.tensor([image.shape for image in images])
    if kept is not None:
        metadata = {"sha256": _checksum(state, pixels, shapes)}
        write_atomically(kept, save({"pixels": pixels, "shapes": shapes}, metadata))
    return _split(pixels, shapes)


def _load(kept: Path, state: str) -> tuple[Tensor, Tensor]:
    with safe_open(kept, framework="pt") as file:
        pixels, shapes = file.get_tensor("pixels"), file.get_tensor("shapes")
        if (file.metadata() or {}).get("sha256") != _checksum(state, pixels, shapes):
            raise ValueError("its content is not what its checksum says")
    return pixels, shapes


def _checksum(state: str, pixels: Tensor, shapes: Tensor) -> str:
    """SHA-256 of what is kept, and of what it is kept for: a file in the place of another is damaged, too."""
    total = hashlib.sha256(state.encode())
    for tensor in (shapes, pixels):
        total.update(tensor.contiguous().numpy().data)
    return total.hexdigest()


def _split(pixels: Tensor, shapes: Tensor) -> list[Tensor]:
    parts = pixels.split(shapes.prod(1).tolist())
    return [part.view(*shape) for part, shape in zip(parts, shapes.tolist(), strict=True)]


def _state(paths: Sequence[Path], mode: str) -> str:
    total = hashlib.sha256(f"{CACHE_FORMAT}\0{mode}".encode())
    for path in paths:
        status = path.stat()
        total.update(f"\0{path.absolute()}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return total.hexdigest()
