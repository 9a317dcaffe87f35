"""The figure of restored pictures: the picture that methods differ most on, its detail and its errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from distillbench.tasks.figures.kinds import ImageGrid
from distillbench.tasks.metrics.images import psnr

AMPLIFIED = 5
"""The factor by which errors are brightened."""
DETAIL = 4
"""The picture's shorter side is so many times the side of the detail."""
VISIBLE = 100
"""The picture's shorter side is so many times the thickness of the outline."""


def most_different(restored: Iterable[Sequence[Tensor]]) -> int:
    """Return the index of the picture that methods differ most on, by the variance across them.

    Args:
        restored: the results of two or more methods for each picture, (1, 1, h, w) each.
    """
    spread = [float(torch.cat(list(images)).var(0).mean()) for images in restored]
    return max(range(len(spread)), key=spread.__getitem__)


def comparison(images: Mapping[str, Tensor], methods: Sequence[str], truth: str, name: str) -> ImageGrid:
    """Return a grid of one picture: whole, in the detail where the methods differ most, and the errors there.

    Args:
        images: the columns by name, (1, 1, h, w) in [0, 1]; the last, called ``truth``, is the original.
        methods: the columns that are compared to find the detail.
        truth: the name of the original's column.
        name: the name of the picture, for the note.
    """
    target = images[truth]
    side = max(8, min(target.shape[-2:]) // DETAIL)
    top, left = _corner(torch.cat([images[method] for method in methods]), side)
    whole = {key: _framed(image, top, left, side) for key, image in images.items()}
    height, width = target.shape[-2:]
    square = min(height, width)

    def detail(image: Tensor) -> Tensor:
        """Enlarge the detail to a square in the middle of a white canvas of the picture's size."""
        cut = F.interpolate(_cut(image, top, left, side), size=(square, square), mode="nearest")
        gap = (width - square, height - square)
        padding = (gap[0] // 2, gap[0] - gap[0] // 2, gap[1] // 2, gap[1] - gap[1] // 2)
        return F.pad(cut, padding, value=1.0)

    errors = {key: (AMPLIFIED * (image - target).abs()).clamp(0, 1) for key, image in images.items()}
    restored = [key for key in images if key != truth]
    captions = [f"{psnr(images[key], target):.2f} dB" for key in restored]
    parts = [f"{psnr(_cut(images[key], top, left, side), _cut(target, top, left, side)):.2f} dB" for key in restored]
    rows = {
        "picture": torch.cat(list(whole.values())),
        "detail": torch.cat([detail(image) for image in images.values()]),
        f"error × {AMPLIFIED}": torch.cat([detail(errors[key]) for key in restored]),
    }
    note = f"{name}: of all test pictures the one, and in it the detail, where the methods differ most; beneath: PSNR"
    return ImageGrid(rows, list(images), {"picture": captions, "detail": parts}, note)


def _cut(image: Tensor, top: int, left: int, side: int) -> Tensor:
    return image[..., top : top + side, left : left + side]


def _corner(images: Tensor, side: int) -> tuple[int, int]:
    """Return the corner of the window with the largest variance across images (n, 1, h, w)."""
    spread = images.var(0, keepdim=True)
    means = F.avg_pool2d(spread, side, stride=1)[0, 0]
    best = int(means.argmax())
    return best // means.shape[1], best % means.shape[1]


def _framed(image: Tensor, top: int, left: int, side: int) -> Tensor:
    """Draw the outline of the detail, black in white, which is visible on any background."""
    height, width = image.shape[-2:]
    thick = max(1, round(min(height, width) / VISIBLE))
    framed = image.clone()
    for grow, value in ((2 * thick, 1.0), (thick, 0.0)):
        up, near = max(0, top - grow), max(0, left - grow)
        framed[..., up : top + side + grow, near : left + side + grow] = value
    framed[..., top : top + side, left : left + side] = _cut(image, top, left, side)
    return framed
