"""Patches cut from photographs of any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distillbench.tasks.data.embedded import Photographs
from distillbench.tasks.data.files import DataError

TRIES = 100
"""Patches drawn at most to find one with enough contrast; a picture may have none."""


def crop_batch(
    images: Sequence[Tensor],
    indices: Sequence[int],
    side: int,
    rng: torch.Generator,
    flip: bool = False,
    contrast: int = 0,
) -> Tensor:
    """Cut one random square patch from each indexed picture.

    Args:
        images: (channels, height, width) tensors, uint8, or float in about [0, 1].
        indices: the pictures to cut from, in the order of the batch.
        side: the side of a patch in pixels.
        rng: decides the patches.
        flip: whether to flip patches left-right and transpose them at random.
        contrast: a patch whose grey levels span less than this (0 to 255) is drawn again.

    Returns:
        (batch, channels, side, side), float in [0, 1].
    """
    patches = []
    for index in indices:
        for _ in range(TRIES):
            patch = _crop(images[index], side, rng, flip)
            if contrast == 0 or int(patch.max()) - int(patch.min()) >= contrast:
                break
        patches.append(patch)
    batch = torch.stack(patches)
    return batch if batch.is_floating_point() else batch.float() / 255


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
    """Cut up to ``count`` patches on a regular grid, always the same: (n, channels, side, side), float in [0, 1]."""
    height, width = image.shape[-2:]
    if min(height, width) < side:
        raise DataError(f"a picture of {width}×{height} is smaller than the patch size {side}", field="data")
    corners = [(y, x) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
    step = max(1, len(corners) // count)
    return torch.stack([image[:, y : y + side, x : x + side] for y, x in corners[::step][:count]]).float() / 255


def spread_crops(images: Sequence[Tensor], most: int, count: int, multiple: int = 1) -> Tensor:
    """Cut patches from all over the pictures, always the same.

    Args:
        images: (channels, height, width) uint8 tensors.
        most: the largest side of a patch in pixels; smaller where the smallest picture is smaller.
        count: the largest number of patches.
        multiple: what the side must be a multiple of.

    Returns:
        (n, channels, side, side), float in [0, 1].
    """
    side = min(most, *(min(image.shape[-2:]) for image in images)) // multiple * multiple
    per_picture = -(-count // len(images))
    return torch.cat([grid_crops(image, side, per_picture) for image in images[:count]])[:count]


def check_sides(pictures: Photographs | None, least: int, reason: str) -> None:
    """Check that pictures are large enough.

    Args:
        pictures: the pictures; None: there are none.
        least: the smallest side allowed, in pixels.
        reason: the middle of the message, such as "super-resolution needs".

    Raises:
        DataError: a picture has a smaller side; the message names it.
    """
    for name, image in () if pictures is None else zip(pictures.names, pictures.images, strict=True):
        height, width = image.shape[-2:]
        if min(height, width) < least:
            raise DataError(f"{name} is {width}×{height}; {reason} sides of at least {least}", field="data")


def common_crops(images: Sequence[Tensor], most: int, multiple: int = 1) -> Tensor:
    """Cut the middles of pictures to one size: the largest that all have within the limits.

    Args:
        images: (channels, height, width) uint8 tensors.
        most: the largest side in pixels.
        multiple: what both sides must be multiples of.

    Returns:
        (n, channels, h, w) uint8.
    """
    crops = [centre_crop(image, most, multiple) for image in images]
    height, width = (min(image.shape[axis] for image in crops) for axis in (-2, -1))
    return torch.stack([_middle(image, height, width) for image in crops])


def centre_crop(image: Tensor, most: int | None, multiple: int = 1) -> Tensor:
    """Cut the middle of a picture (channels, h, w): sides at most ``most`` and multiples of ``multiple``, in pixels."""
    height, width = (min(side, most or side) // multiple * multiple for side in image.shape[-2:])
    return _middle(image, height, width)


def _middle(image: Tensor, height: int, width: int) -> Tensor:
    top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    return image[:, top : top + height, left : left + width]
