"""Patches cut from photographs of any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distillbench.tasks.data.embedded import Photographs
from distillbench.tasks.data.files import DataError

TRIES = 100
"""Patches that are drawn in search of one with some contrast; a picture may have none."""


def crop_batch(
    images: Sequence[Tensor],
    indices: Sequence[int],
    side: int,
    rng: torch.Generator,
    flip: bool = False,
    contrast: int = 0,
) -> Tensor:
    """One random square patch of each indexed picture: (batch, channels, side, side), float in [0, 1].

    images: (channels, h, w) uint8, each. flip: also a random left-right flip and transposition. contrast: a patch whose
    grey levels span less than this is drawn again.
    """
    patches = []
    for index in indices:
        for _ in range(TRIES):
            patch = _crop(images[index], side, rng, flip)
            if contrast == 0 or int(patch.max()) - int(patch.min()) >= contrast:
                break
        patches.append(patch)
    return torch.stack(patches).float() / 255


def _crop(image: Tensor, side: int, rng: torch.Generator, flip: bool) -> Tensor:
    height, width = image.shape[-2:]
    if min(height, width) < side:
        raise DataError(f"a picture of {width}×{height} is smaller than the patch size {side}", field="data")
    y, x, mirror, transpose = torch.rand(4, generator=rng).tolist()
    top, left = int(y * (height - side + 1)), int(x * (width - side + 1))
    patch = image[:, top : top + side, left : left + side]
    if flip and mirror < 0.5:
        patch = patch.flip(2)
    return patch.transpose(1, 2) if flip and transpose < 0.5 else patch


def grid_crops(image: Tensor, side: int, count: int) -> Tensor:
    """Up to ``count`` patches on a regular grid, the same every time: (n, channels, side, side)."""
    height, width = image.shape[-2:]
    if min(height, width) < side:
        raise DataError(f"a picture of {width}×{height} is smaller than the patch size {side}", field="data")
    corners = [(y, x) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
    step = max(1, len(corners) // count)
    return torch.stack([image[:, y : y + side, x : x + side] for y, x in corners[::step][:count]]).float() / 255


def spread_crops(images: Sequence[Tensor], most: int, count: int, multiple: int = 1) -> Tensor:
    """Up to ``count`` patches from all over the pictures, the same every time: (n, channels, side, side).

    Their side is ``most``, or as large a multiple as the smallest picture has.
    """
    side = min(most, *(min(image.shape[-2:]) for image in images)) // multiple * multiple
    each = -(-count // len(images))
    return torch.cat([grid_crops(image, side, each) for image in images[:count]])[:count]


def check_sides(pictures: Photographs, least: int, reason: str) -> None:
    """Raise DataError, naming the picture, where one has a side below ``least``."""
    for name, image in zip(pictures.names, pictures.images, strict=True):
        height, width = image.shape[-2:]
        if min(height, width) < least:
            raise DataError(f"{name} is {width}×{height}; {reason} sides of at least {least}", field="data")


def common_crops(images: Sequence[Tensor], most: int, multiple: int = 1) -> Tensor:
    """The middles of pictures, sides at most ``most`` and multiples, as all have them: (n, channels, h, w) uint8."""
    cut = [centre_crop(image, most, multiple) for image in images]
    height, width = (min(image.shape[axis] for image in cut) for axis in (-2, -1))
    return torch.stack([_middle(image, height, width) for image in cut])


def centre_crop(image: Tensor, most: int | None, multiple: int = 1) -> Tensor:
    """The middle of a picture (channels, h, w): sides at most ``most`` and multiples of ``multiple``."""
    height, width = (min(side, most or side) // multiple * multiple for side in image.shape[-2:])
    return _middle(image, height, width)


def _middle(image: Tensor, height: int, width: int) -> Tensor:
    top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    return image[:, top : top + height, left : left + width]
