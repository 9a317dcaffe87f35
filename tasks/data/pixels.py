"""Pixels as files have them and as networks want them."""

from __future__ import annotations

from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """uint8 in [0, 255] -> float in [0, 1]."""
    return images.float() / 255
