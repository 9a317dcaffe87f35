"""How a task divides its data further: what a student's own objective sees, the transfer set, and what methods fit to.

Nothing is drawn by labels that a student has not: the transfer set is a random part of what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
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


def some_of(train: LabelledImages | Photographs, count: int | None, field: str) -> Tensor | None:
    """Return the indices of some training examples, drawn at random; None for all of them.

    Args:
        train: the training examples.
        count: how many; None: all.
        field: the setting that says so, for messages.

    Raises:
        DataError: there are fewer.
    """
    if count is None:
        return None
    if count > len(train):
        raise DataError(f"{count} are more than the {len(train)} training images", field=field)
    return drawn(len(train))[:count]


def divide(
    whole: Splits[T], settings: TaskSettings, source: T | None = None, kept: Tensor | None = None, field: str = "data"
) -> Splits[T]:
    """Divide the training examples in those kept and a transfer set, the validation examples in two halves.

    Args:
        whole: train, validation and test.
        settings: say whether there is a transfer set, and how large.
        source: the transfer set, where it has a source of its own.
        kept: indices of the training examples that the student's own objective sees; None: all of them.
        field: the setting that says how many are kept, for messages.

    Returns:
        train, validation, test; ``fit``, the half of the validation examples that methods fit to; ``transfer``; and
        ``withheld``, what is not kept, where the teacher learns from it.

    Raises:
        DataError: a split would be empty, or the transfer set is larger than what there is, or overlaps another split.
    """
    train, rest = _parted(whole.train, kept)
    fit, validation = halves(whole.validation)
    splits = Splits(train, validation, whole.test, fit=fit)
    if "withheld" in settings.teacher_splits:
        splits = replace(splits, withheld=_some(rest, "teacher_data", field, allowed="'train'"))
    if not settings.has_transfer:
        return splits
    others = {"train": train, "validation": whole.validation, "test": whole.test}
    taken = {digest: f"{name} of {split}" for split, part in others.items() for digest, name in _digests(part)}
    if source is not None:
        setting = "data.transfer" if settings.data.transfer_name is None else "data.transfer_name"
        _check_apart(source, taken, setting)
        return replace(splits, transfer=_chosen(source, settings.transfer, f"images of {setting}"))
    left = _some(_without(rest, taken), "transfer", field, allowed="images of its own: data.transfer")
    what = f"images that {field} leaves of {len(whole.train)}"
    return replace(splits, transfer=_chosen(left, settings.transfer, what))


def _parted(train: T, kept: Tensor | None) -> tuple[T, T]:
    """The training examples of these indices, and the others; None: all of them, and none."""
    if kept is None:
        return train, train.subset(torch.empty(0, dtype=torch.int64))
    chosen = torch.isin(torch.arange(len(train)), kept)
    return train.subset(chosen.nonzero().squeeze(1)), train.subset((~chosen).nonzero().squeeze(1))


def _some(rest: T, setting: str, field: str, allowed: str) -> T:
    """Training examples that are not kept; DataError, which names the setting that needs them, where there are none."""
    if not len(rest):
        problem = f"no training image is left for it: {field} takes all"
        raise DataError(problem, field=setting, allowed=(f"fewer {field}", allowed))
    return rest


def _digests(part: LabelledImages | Photographs) -> list[tuple[bytes, str]]:
    return list(zip(image_digests(part), part.names, strict=True))


def _check_apart(transfer: LabelledImages | Photographs, taken: Mapping[bytes, str], setting: str) -> None:
    """Raise DataError where an image of the transfer set is in another split, pixel by pixel."""
    for digest, name in _digests(transfer):
        if digest in taken:
            problem = f"{name} is the same picture as {taken[digest]}; no other split may overlap the transfer set"
            raise DataError(problem, field=setting)


def _without(rest: T, taken: Collection[bytes]) -> T:
    """The examples that are no copy of an example of another split."""
    apart = [i for i, (digest, _) in enumerate(_digests(rest)) if digest not in taken]
    return rest.subset(torch.tensor(apart, dtype=torch.int64))


def _chosen(source: T, transfer: int | str | None, what: str) -> T:
    """As many examples of a source as the setting ``transfer`` says, in their order, without labels."""
    if isinstance(transfer, int):
        if transfer > len(source):
            raise DataError(f"{transfer} is more than the {len(source)} {what}", field="transfer")
        source = source.subset(drawn(len(source))[:transfer].sort().values)
    if isinstance(source, LabelledImages):
        return replace(source, labels=torch.full_like(source.labels, UNKNOWN))
    return source


def halves(validation: T) -> tuple[T, T]:
    """Divide validation examples in a half for methods to fit to and a half to choose by.

    Labelled images are divided class by class; each photograph, of which there may be one alone, across its longer
    side.

    Raises:
        DataError: there is a single labelled image.
    """
    if isinstance(validation, Photographs):
        parts = [_cut(*picture) for picture in zip(validation.names, validation.images, strict=True)]
        first, second = zip(*parts, strict=True)
        return Photographs(*zip(*first, strict=True)), Photographs(*zip(*second, strict=True))
    if len(validation) < 2:
        problem = f"{len(validation)} validation images cannot be divided into some to fit to and some to choose by"
        raise DataError(problem, field="data", allowed="2 and more")
    of_class_after_class = validation.labels.argsort(stable=True)
    fit, kept = (of_class_after_class[start::2].sort().values for start in (0, 1))
    return validation.subset(fit), validation.subset(kept)


def _cut(name: str, image: Tensor) -> tuple[tuple[str, Tensor], tuple[str, Tensor]]:
    """The two halves of a photograph, (channels, height, width), each with a name."""
    axis = -1 if image.shape[-1] >= image.shape[-2] else -2
    middle = image.shape[axis] // 2
    sides = ("left", "right") if axis == -1 else ("upper", "lower")
    first, second = image.split([middle, image.shape[axis] - middle], dim=axis)
    return (f"{name} ({sides[0]} half)", first), (f"{name} ({sides[1]} half)", second)
