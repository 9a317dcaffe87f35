"""Image files on disk: found, identified, read, and decoded once for all processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from tasks.data.atomic import write_atomically

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"})


class DataError(ValueError):
    """A folder or an image that cannot be used; one line that names it."""


def image_files(folder: Path) -> list[Path]:
    """Every image under the folder, sorted by relative name."""
    if not folder.is_dir():
        raise DataError(f"data: {folder} is not a folder")
    found = []
    for directory, _, names in os.walk(folder, followlinks=True):
        found += [Path(directory, name) for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]  # noqa: PTH122
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


def read(path: Path, mode: str) -> Tensor:
    """One image, converted to PIL's ``mode`` (L or RGB): (channels, height, width) uint8."""
    try:
        with Image.open(path) as image:
            array = np.array(image.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"data: {path} cannot be read as an image ({error})") from error
    tensor = torch.from_numpy(array)
    return (tensor.unsqueeze(0) if tensor.dim() == 2 else tensor.permute(2, 0, 1)).contiguous()


def read_all(paths: Sequence[Path], mode: str, cache: Path | None = None) -> list[Tensor]:
    """Every image as ``read`` gives it. With a cache folder they are decoded once, and afterwards mapped into memory.

    What is kept is found again by the files' paths, sizes and times of change; a kept file that is damaged is made
    again. The tensors of one call are views of one piece of memory, one image after another.
    """
    kept = cache / "images" / f"{_state(paths, mode)}.safetensors" if cache is not None else None
    if kept is not None and kept.exists():
        try:
            stored = load_file(kept)
            return _split(stored["pixels"], stored["shapes"])
        except (SafetensorError, KeyError, RuntimeError):
            kept.unlink()
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda path: read(path, mode), paths))
    pixels, shapes = torch.cat([image.flatten() for image in images]), torch.tensor([image.shape for image in images])
    if kept is not None:
        write_atomically(kept, save({"pixels": pixels, "shapes": shapes}))
    return _split(pixels, shapes)


def _split(pixels: Tensor, shapes: Tensor) -> list[Tensor]:
    parts = pixels.split(shapes.prod(1).tolist())
    return [part.view(*shape) for part, shape in zip(parts, shapes.tolist(), strict=True)]


def _state(paths: Sequence[Path], mode: str) -> str:
    total = hashlib.sha256(mode.encode())
    for path in paths:
        status = path.stat()
        total.update(f"\0{path.absolute()}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return total.hexdigest()
