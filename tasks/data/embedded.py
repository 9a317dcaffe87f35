"""Real images that ship inside installed packages, so that nothing is downloaded (docs/data.md has the licences)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distillbench.tasks.base import Splits
from distillbench.tasks.data import disk_cache
from distillbench.tasks.data.files import read, read_all


@dataclass(frozen=True)
class LabelledImages:
    """Images of one size with a class each.

    Attributes:
        images: (n, channels, height, width) uint8.
        labels: (n,) int64, indices of ``classes``.
        classes: the names of the classes.
        names: the name of each example.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> LabelledImages:
        """Return the examples of these indices, an int64 tensor, in their order."""
        names = tuple(self.names[i] for i in indices.tolist())
        return LabelledImages(self.images[indices], self.labels[indices], self.classes, names)

    def joined(self, other: LabelledImages) -> LabelledImages:
        """Return these examples, then those of ``other``, which has the same classes."""
        images, labels = torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels])
        return LabelledImages(images, labels, self.classes, self.names + other.names)

    def interleaved(self, order: Tensor) -> Tensor:
        """Return the indices in ``order`` rearranged: one of each class after another, as far as they go."""
        of_class = [order[self.labels[order] == c].tolist() for c in range(len(self.classes))]
        rounds = range(max(map(len, of_class), default=0))
        return torch.tensor([members[i] for i in rounds for members in of_class if i < len(members)])

    def spread(self, count: int) -> LabelledImages:
        """Return up to ``count`` examples to look at, of all classes."""
        return self.subset(self.interleaved(torch.arange(len(self)))[:count])


@dataclass(frozen=True)
class Photographs:
    """Pictures of any size.

    Attributes:
        names: the name of each picture.
        images: a (channels, height, width) tensor for each, uint8 as files have them; one channel where the file has
            one, else three.
    """

    names: tuple[str, ...]
    images: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, indices: Tensor) -> Photographs:
        """Return the pictures of these indices, an int64 tensor, in their order."""
        chosen = indices.tolist()
        return Photographs(tuple(self.names[i] for i in chosen), tuple(self.images[i] for i in chosen))

    def spread(self, count: int) -> Photographs:
        """Return up to ``count`` pictures to look at, from all over the list."""
        step = max(1, len(self) // count)
        return Photographs(self.names[::step][:count], self.images[::step][:count])


# (package, file inside it); split by picture, and the two views of one scene (motorcycle) are one picture.
PHOTOGRAPHS: Splits[tuple[tuple[str, str], ...]] = Splits(
    train=(
        ("skimage", "data/motorcycle_left.png"),
        ("skimage", "data/hubble_deep_field.jpg"),
        ("skimage", "data/retina.jpg"),
        ("skimage", "data/brick.png"),
        ("skimage", "data/gravel.png"),
        ("skimage", "data/grass.png"),
        ("skimage", "data/coins.png"),
        ("skimage", "data/moon.png"),
    ),
    validation=(
        ("sklearn", "datasets/images/china.jpg"),
        ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ),
    test=(
        ("skimage", "data/astronaut.png"),
        ("skimage", "data/chelsea.png"),
        ("skimage", "data/camera.png"),
        ("skimage", "data/coffee.png"),
        ("skimage", "data/rocket.jpg"),
        ("sklearn", "datasets/images/flower.jpg"),
    ),
)
STYLE_PICTURE = ("skimage", "data/ihc.png")
"""The default style picture; it is in no split of the photographs."""

DIGITS = tuple("0123456789")
DIGIT_SHAPE = (1, 8, 8)
VALIDATION_DIGITS, TEST_DIGITS = 300, 500


def _installed(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported: scikit-learn alone would take a second."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no package {package!r}", name=package)
    return Path(spec.submodule_search_locations[0]) / path


@lru_cache(maxsize=1)
def read_picture(package: str, path: str) -> Tensor:
    """Return one picture of an installed package as (3, height, width) uint8."""
    return read(_installed(package, path), "RGB")


@lru_cache(maxsize=1)
def photographs() -> Splits[Photographs]:
    """Return 8 + 2 + 6 photographs from scikit-image, scikit-learn and matplotlib, decoded once for all processes."""

    def load(pictures: tuple[tuple[str, str], ...]) -> Photographs:
        names = tuple(path.rsplit("/", 1)[1] for _, path in pictures)
        return Photographs(
            names, tuple(read_all([_installed(*picture) for picture in pictures], cache=disk_cache.folder()))
        )

    return Splits(load(PHOTOGRAPHS.train), load(PHOTOGRAPHS.validation), load(PHOTOGRAPHS.test))


@lru_cache(maxsize=1)
def digits() -> Splits[LabelledImages]:
    """Return scikit-learn's digits, 8×8 with 17 grey levels, in splits of 997 + 300 + 500 drawn with a fixed seed."""
    table = np.loadtxt(_installed("sklearn", "datasets/data/digits.csv.gz"), delimiter=",")  # 64 grey levels, the digit
    images = torch.from_numpy(np.round(table[:, :-1] * (255 / 16)).astype(np.uint8)).view(-1, *DIGIT_SHAPE)
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    everything = LabelledImages(images, labels, DIGITS, tuple(f"digit-{i:04d}" for i in range(len(labels))))
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(labels)))
    test, validation, train = order.split(
        [TEST_DIGITS, VALIDATION_DIGITS, len(labels) - TEST_DIGITS - VALIDATION_DIGITS]
    )
    return Splits(*(everything.subset(part.sort().values) for part in (train, validation, test)))
