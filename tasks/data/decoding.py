"""Decodes image files: upright, in 8 bits a channel, with the channels of the file or as many as asked for."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from PIL.ExifTags import Base
from torch import Tensor

from distillbench.common.errors import DataError, warn_once

Mode = Literal["L", "RGB"]
SIXTEEN_BITS = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
GREY = SIXTEEN_BITS | {"1", "L", "LA", "I", "F"}
"""PIL's modes without colour."""
ROTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientations, and the transposition that makes a picture upright."""
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""
_reading = threading.local()
"""Its attribute ``path`` is the picture that the thread reads."""


def read(path: Path, mode: Mode | None = None, field: str = "data") -> Tensor:
    """Read one image, upright. Pillow's warnings are reported with the name of the picture.

    Args:
        path: the file.
        mode: "L" for one channel, "RGB" for three; default: as many as the file has.
        field: the setting that names the file, for the message.

    Returns:
        (channels, height, width) uint8.

    Raises:
        DataError: the image cannot be read.
    """
    with _named_warnings():
        return _read(path, mode, field)


def read_each(paths: Iterable[Path | str], mode: Mode | None = None) -> list[Tensor]:
    """Read images as ``read`` does, four at a time."""
    with _named_warnings(), ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda path: _read(Path(path), mode, "data"), paths))


def upright_size(path: Path) -> tuple[int, int]:
    """Return (width, height) in pixels of one upright image, without decoding it."""
    with _named_warnings(), _opened(path, "data") as image:
        width, height = image.size
        # Pillow turns a TIFF upright by itself.
        return (height, width) if image.format != "TIFF" and _orientation(image) in SIDEWAYS else (width, height)


def in_colour(paths: Iterable[Path | str]) -> list[bool]:
    """Return whether each file has colour, by its header."""

    def look(path: Path | str) -> bool:
        with _opened(Path(path), "data") as image:
            return _in_colour(image)

    with _named_warnings(), ThreadPoolExecutor(4) as pool:
        return list(pool.map(look, paths))


@contextmanager
def _named_warnings() -> Iterator[None]:
    """Report the warnings of Pillow, from any thread, afterwards: a line for each, with the first picture concerned."""
    reported, show = dict[str, dict[str, None]](), warnings.showwarning

    def record(message: Any, *details: Any, **options: Any) -> None:
        if path := getattr(_reading, "path", None):
            reported.setdefault(" ".join(str(message).split()), {})[path] = None
        else:
            show(message, *details, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # Large photographs are no attack; Pillow refuses twice the size by itself.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.showwarning = record
        yield
    for message, paths in reported.items():
        first, *rest = sorted(paths)
        warn_once(f"data: {first}{f' and {len(rest)} more' if rest else ''}: {message}")


@contextmanager
def _opened(path: Path, field: str) -> Iterator[Image.Image]:
    _reading.path = str(path)
    try:
        # Given a path, Pillow would map uncompressed TIFF into memory, and exchange its sides where it is rotated.
        with path.open("rb") as stream, Image.open(stream) as image:
            yield image
    except DataError:
        raise
    except Exception as error:  # PIL raises anything on foreign bytes
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as an image ({reason})", field=field) from error
    finally:
        _reading.path = None


def _read(path: Path, mode: Mode | None, field: str) -> Tensor:
    with _opened(path, field) as image:
        mode = mode or ("RGB" if _in_colour(image) else "L")
        array = np.array(_eight_bits(_upright(image), image.format, path, field).convert(mode))
    tensor = torch.from_numpy(array)
    return (tensor.unsqueeze(0) if tensor.dim() == 2 else tensor.permute(2, 0, 1)).contiguous()


def _in_colour(image: Image.Image) -> bool:
    """A palette has colour if one of its entries has; any other file by the number of its channels."""
    if image.mode not in ("P", "PA"):
        return image.mode not in GREY
    palette = np.array(image.getpalette("RGB") or ()).reshape(-1, 3)
    return bool((palette != palette[:, :1]).any())


def _upright(image: Image.Image) -> Image.Image:
    """Apply the orientation alone: the rest of the EXIF data need not make sense."""
    image.load()
    rotation = ROTATIONS.get(_orientation(image))
    return image if rotation is None else image.transpose(rotation)


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(Base.Orientation)
    except Exception as error:  # PIL raises anything on foreign bytes
        warnings.warn(f"the EXIF data cannot be read ({' '.join(str(error).split())})", stacklevel=2)
        return None


def _eight_bits(upright: Image.Image, kind: str | None, path: Path, field: str) -> Image.Image:
    """Convert to 8 bits a channel; Pillow's own conversion cuts off above 255. kind: the file's format."""
    if upright.mode in SIXTEEN_BITS or (
        upright.mode == "I" and kind in ("PNG", "PPM")
    ):  # PNG and PPM have 16 bits at most
        return Image.fromarray(((np.asarray(upright).astype(np.int64) + 128) // 257).astype(np.uint8))
    if upright.mode == "I":
        raise DataError(f"{path} has 32-bit integers", field=field, allowed="8 or 16 bits, or floats in [0, 1]")
    if upright.mode == "F":
        values = np.asarray(upright)
        if not (values.min() >= 0 and values.max() <= 1):  # NaN included
            span = f"{values.min():g} to {values.max():g}"
            raise DataError(f"{path} has floats from {span}", field=field, allowed="8 or 16 bits, or floats in [0, 1]")
        return Image.fromarray(np.round(values * 255).astype(np.uint8))
    return upright
