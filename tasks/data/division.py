"""How a task divides its data further: what a student's own objective sees, the transfer set, and what methods fit to.

Nothing is drawn by labels that a student has not: the transfer set is a random part of what is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from distillbench.common.errors import DataError
from distillbench.tasks.base import Splits, TaskSettings
from distillbench.tasks.data.embedded import LabelledImages, Photographs
from distillbench.tasks.data.pixels import image_digests

T = TypeVar("T", LabelledImages, Photographs)
UNKNOWN = -1
"""The label of an image of a transfer set: no loss takes it."""


def drawn(count: int) -> Tensor:
    """Return the indices of ``count`` examples in a random order, the same for every seed of a run."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))


def divide(
    whole: Splits[T], settings: TaskSettings, source: T | None = None, kept: Tensor | None = None, field: str = ""
) -> Splits[T]:
    """Divide the training examples in those kept and a transfer set, the validation examples in two halves.

    Args:
        whole: train, validation and test.
        settings: say whether there is a transfer set, and how large.
        source: the transfer set, where it has a source of its own.
        kept: indices of the training examples that the student's own objective sees; None: all of them.
        field: the setting that ``kept`` comes from, for messages.

    Returns:
        train, validation, test; ``fit``, the half of the validation examples that methods fit to; ``transfer``; and
        ``withheld``, what is not kept, where the teacher learns from it.

    Raises:
        DataError: the transfer set is larger than what there is, or overlaps another split; or the teacher is to learn
            from more than the student, and there is no more.
    """
    train = whole.train if kept is None else whole.train.subset(kept.sort().values)
    fit, validation = halves(whole.validation)
    order = drawn(len(whole.train))
    rest = order[:0] if kept is None else order[~torch.isin(order, kept)]
    used = f"{field or 'training on'} {len(train)} of {len(whole.train)} leaves"
    splits = Splits(train, validation, whole.test, fit=fit)
    if "withheld" in settings.teacher_splits:
        if not len(rest):
            raise DataError(f"'all' is no more than students have: {used} 0 examples", field="teacher_data")
        splits = replace(splits, withheld=whole.train.subset(rest.sort().values))
    if not settings.has_transfer:
        return splits
    if source is not None:
        _check_apart(source, whole)
        return replace(splits, transfer=_taken(source, torch.arange(len(source)), settings, "data.transfer has"))
    elsewhere = _digests(train, whole.validation, whole.test)
    copies = image_digests(whole.train) if len(rest) else []
    rest = torch.tensor([i for i in rest.tolist() if copies[i] not in elsewhere], dtype=torch.int64)
    return replace(splits, transfer=_taken(whole.train, rest, settings, used))


def _taken(source: T, order: Tensor, settings: TaskSettings, left: str) -> T:
    """As many examples of a source as the settings say, in its order, without their labels."""
    count = len(order) if settings.transfer in (None, "rest") else int(settings.transfer or 0)
    if count > len(order) or not len(order):
        raise DataError(f"{settings.transfer!r} is more than there is: {left} {len(order)} examples", field="transfer")
    chosen = order if len(order) == count else order[drawn(len(order))[:count]]
    part = source.subset(chosen.sort().values)
    if isinstance(part, LabelledImages):
        return replace(part, labels=torch.full_like(part.labels, UNKNOWN))
    return part


def _digests(*parts: LabelledImages | Photographs) -> set[bytes]:
    return {digest for part in parts for digest in image_digests(part)}


def _check_apart(transfer: T, whole: Splits[T]) -> None:
    """Raise DataError where an image of the transfer set is in another split, pixel by pixel."""
    names = dict(zip(image_digests(transfer), transfer.names, strict=True))
    for split in ("train", "validation", "test"):
        part: T = getattr(whole, split)
        for name, digest in zip(part.names, image_digests(part), strict=True):
            if digest in names:
                twins = f"{names[digest]} of the transfer set and {name} of {split} are the same picture"
                raise DataError(f"{twins}; no other split may overlap it", field="data")


def halves(validation: T) -> tuple[T, T]:
    """Divide validation examples in a half for methods to fit to and a half to choose by.

    Labelled images are divided class by class; photographs, of which there may be one alone, into left and right.
    """
    if isinstance(validation, Photographs):
        middles = [image.shape[-1] // 2 for image in validation.images]
        parts = list(zip(validation.images, middles, strict=True))
        left = replace(validation, images=tuple(image[..., :middle] for image, middle in parts))
        return left, replace(validation, images=tuple(image[..., middle:] for image, middle in parts))
    ranks = torch.zeros(len(validation), dtype=torch.int64)
    for label in range(len(validation.classes)):
        members = (validation.labels == label).nonzero().squeeze(1)
        ranks[members] = torch.arange(len(members)) + label  # so that classes of one image are shared out as well
    fitted = ranks % 2 == 1
    return validation.subset(fitted.nonzero().squeeze(1)), validation.subset((~fitted).nonzero().squeeze(1))


def joined(parts: Iterable[LabelledImages]) -> LabelledImages:
    """Return labelled images of several splits as one."""
    first, *others = parts
    for other in others:
        images, labels = torch.cat([first.images, other.images]), torch.cat([first.labels, other.labels])
        first = LabelledImages(images, labels, first.classes, first.names + other.names)
    return first
