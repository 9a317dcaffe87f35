"""Conversions of pixels, and digests that tell which images are the same."""

from __future__ import annotations

import hashlib
from zlib import crc32

from torch import Tensor

from distillbench.tasks.data.embedded import LabelledImages, Photographs


def to_float(images: Tensor) -> Tensor:
    """Convert uint8 in [0, 255] to float in [0, 1]."""
    return images.float() / 255


def colour(image: Tensor) -> Tensor:
    """Return a photograph (1 or 3, height, width) with three channels."""
    return image.expand(3, -1, -1)


def image_digests(part: LabelledImages | Photographs) -> list[bytes]:
    """Return the SHA-256 of each image's shape and pixels; a grey photograph's digest is that of its three channels."""
    images = part.images if isinstance(part, LabelledImages) else map(colour, part.images)
    return [hashlib.sha256(f"{list(image.shape)}".encode() + image.numpy().tobytes()).digest() for image in images]


def under_two_labels(part: LabelledImages) -> list[tuple[int, int]]:
    """Return pairs (earlier, later) of indices of images with equal pixels and different labels."""
    rows, labels, first = part.images.flatten(1).numpy(), part.labels.tolist(), dict[int, int]()
    pairs = ((first.setdefault(crc32(row), i), i) for i, row in enumerate(rows))
    return [(i, j) for i, j in pairs if labels[i] != labels[j] and bool((rows[i] == rows[j]).all())]


def pixel_digest(*parts: LabelledImages | Photographs) -> str:
    """Return the SHA-256 of all images with the names of their classes, whatever their order, names and files.

    Two copies of a set, in any lossless format, have the same digest.
    """
    all_digests = []
    for part in parts:
        digests = image_digests(part)
        if isinstance(part, LabelledImages):
            classes = [part.classes[label].encode() for label in part.labels.tolist()]
            digests = [digest + name for digest, name in zip(digests, classes, strict=True)]
        all_digests += [hashlib.sha256(digest).digest() for digest in digests]
    return hashlib.sha256(b"".join(sorted(all_digests))).hexdigest()
