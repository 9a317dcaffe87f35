"""Pixels as files have them and as networks want them, and which images are the same."""

from __future__ import annotations

import hashlib
from zlib import crc32

from torch import Tensor

from distillbench.tasks.data.embedded import LabelledImages, Photographs


def to_float(images: Tensor) -> Tensor:
    """uint8 in [0, 255] -> float in [0, 1]."""
    return images.float() / 255


def colour(image: Tensor) -> Tensor:
    """A photograph of one channel or three, as three."""
    return image.expand(3, -1, -1)


def image_digests(part: LabelledImages | Photographs) -> list[bytes]:
    """SHA-256 of each image's shape and pixels; a photograph's in colour, whether its file has one channel or three."""
    images = part.images if isinstance(part, LabelledImages) else map(colour, part.images)
    return [hashlib.sha256(f"{list(image.shape)}".encode() + image.numpy().tobytes()).digest() for image in images]


def under_two_labels(part: LabelledImages) -> list[tuple[int, int]]:
    """Images that are, pixel by pixel, an earlier one with another label: (the earlier, the later)."""
    rows, labels, first = part.images.flatten(1).numpy(), part.labels.tolist(), dict[int, int]()
    pairs = ((first.setdefault(crc32(row), i), i) for i, row in enumerate(rows))
    return [(i, j) for i, j in pairs if labels[i] != labels[j] and bool((rows[i] == rows[j]).all())]


def pixel_digest(*parts: LabelledImages | Photographs) -> str:
    """SHA-256 of all images together, each with the name of its class, whatever their order, names and files.

    Of two copies of a set, as files of any lossless format and by name, it is the same.
    """
    every = []
    for part in parts:
        digests = image_digests(part)
        if isinstance(part, LabelledImages):
            classes = [part.classes[label].encode() for label in part.labels.tolist()]
            digests = [digest + name for digest, name in zip(digests, classes, strict=True)]
        every += [hashlib.sha256(digest).digest() for digest in digests]
    return hashlib.sha256(b"".join(sorted(every))).hexdigest()
