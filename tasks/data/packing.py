"""Splits packed into a few tensors and a text, as they are cached, and the digest that identifies them."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from distillbench.tasks.base import Splits
from distillbench.tasks.data import disk_cache
from distillbench.tasks.data.embedded import LabelledImages

SPLITS = ("train", "validation", "test")


def packed(splits: Splits[Any]) -> tuple[str, dict[str, Tensor]]:
    """Return a text about the splits, in JSON, and their content in a few tensors, split after split."""
    parts = [getattr(splits, split) for split in SPLITS]
    if isinstance(splits.test, LabelledImages):
        about = {"classes": list(splits.test.classes), "counts": [len(part) for part in parts]}
        return _json(about), {name: torch.cat([getattr(part, name) for part in parts]) for name in ("images", "labels")}
    pixels = [image.flatten() for part in parts for image in part.images]
    shapes = [[list(image.shape) for image in part.images] for part in parts]
    return _json({"names": [list(part.names) for part in parts], "shapes": shapes}), {"pixels": torch.cat(pixels)}


def _json(about: Any) -> str:
    return json.dumps(about, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=4)
def digest(splits: Splits[Any]) -> str:
    """Return the SHA-256 of the names of classes or pictures, shapes, labels and pixels of all splits, in order."""
    return disk_cache.checksum(*packed(splits))
