"""Where restored pictures differ, and how to show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from distillbench.tasks.figures.kinds import ImageGrid
from distillbench.tasks.metrics.images import psnr

AMPLIFIED = 5
"""How many times too bright an error is shown."""
DETAIL = 4
"""A detail has a side of this part of the picture's shorter side."""
VISIBLE = 100
"""An outline is as thick as a pixel is where the picture's shorter side is shown with so many."""


def most_different(restored: Iterable[Sequence[Tensor]]) -> int:
    """Which picture the methods differ most on, by the variance across them.

    restored: of each picture what the methods make of it, two or more of (1, 1, h, w).
    """
    spread = [float(torch.cat(list(images)).var(0).mean()) for images in restored]
    return max(range(len(spread)), key=spread.__getitem__)


def comparison(images: Mapping[str, Tensor], methods: Sequence[str], truth: str, name: str) -> ImageGrid:
    """One picture, restored by everyone: whole, in the detail where the methods differ most, and the errors there.

    images: {name: (1, 1, h, w) in [0, 1]}, a column each, the last of which, ``truth``, is the original.
    """
    target = images[truth]
    side = max(8, min(target.shape[-2:]) // DETAIL)
    top, left = _where(torch.cat([images[method] for method in methods]), side)
    whole = {key: _framed(image, top, left, side) for key, image in images.items()}
    height, width = target.shape[-2:]
    square = min(height, width)

    def detail(image: Tensor) -> Tensor:
        """Enlarged to a square in the middle of a white canvas of the picture's size: no pixel is stretched."""
        cut = F.interpolate(_cut(image, top, left, side), size=(square, square), mode="nearest")
        gap = (width - square, height - square)
        padding = (gap[0] // 2, gap[0] - gap[0] // 2, gap[1] // 2, gap[1] - gap[1] // 2)
        return F.pad(cut, padding, value=1.0)

    errors = {key: (AMPLIFIED * (image - target).abs()).clamp(0, 1) for key, image in images.items()}
    others = [key for key in images if key != truth]
    captions = [f"{psnr(images[key], target):.2f} dB" for key in others]
    parts = [f"{psnr(_cut(images[key], top, left, side), _cut(target, top, left, side)):.2f} dB" for key in others]
    rows = {
        "picture": torch.cat(list(whole.values())),
        "detail": torch.cat([detail(image) for image in images.values()]),
        f"error × {AMPLIFIED}": torch.cat([detail(errors[key]) for key in others]),
    }
    note = f"{name}: of all test pictures the one, and in it the detail, where the methods differ most; beneath: PSNR"
    return ImageGrid(rows, list(images), {"picture": captions, "detail": parts}, note)


def _cut(image: Tensor, top: int, left: int, side: int) -> Tensor:
    return image[..., top : top + side, left : left + side]


def _where(images: Tensor, side: int) -> tuple[int, int]:
    """The corner of the window, away from the border, with the largest variance across images (n, 1, h, w)."""
    spread = images.var(0, keepdim=True)
    means = F.avg_pool2d(spread, side, stride=1)[0, 0]
    best = int(means.argmax())
    return best // means.shape[1], best % means.shape[1]


def _framed(image: Tensor, top: int, left: int, side: int) -> Tensor:
    """With the outline of the detail, black in white, which is seen on any ground."""
    height, width = image.shape[-2:]
    thick = max(1, round(min(height, width) / VISIBLE))
    framed = image.clone()
    for grow, value in ((2 * thick, 1.0), (thick, 0.0)):
        up, near = max(0, top - grow), max(0, left - grow)
        framed[..., up : top + side + grow, near : left + side + grow] = value
    framed[..., top : top + side, left : left + side] = _cut(image, top, left, side)
    return framed
