"""The input and output of a network: in words for each kind of network, in numbers for one pair; and the two roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["teacher", "student"]
ROLES: tuple[Role, Role] = ("teacher", "student")


@dataclass(frozen=True)
class Interface:
    """The input and output of one kind of network, in words.

    Attributes:
        kind: the kind, such as "classifier".
        takes: the input.
        gives: the output.
        prepare: how an image becomes the input: pixels / 255 in "grey" (BT.601), "rgb" or "luma" (BT.601 in [16, 235],
            one channel unchanged); "pixels": grey or rgb, as the network has channels; "binary": 1 from level 128 on,
            else 0; "array": the network takes no image.
        multiple: the number that both sides of an image must be multiples of.
    """

    kind: str
    takes: str
    gives: str
    prepare: Literal["pixels", "grey", "rgb", "luma", "binary", "array"] = "array"
    multiple: int = 1


@dataclass(frozen=True)
class Ends:
    """The shapes that a network is built for.

    Attributes:
        kind: the kind of network, as in ``Interface``.
        takes: the shape of one input, without the batch; None stands for any length.
        gives: the shape of one output, without the batch; None stands for any length.
        latent: the dimensions of a generator's input, or of the code between encoder and decoder.
        scale: the factor between the sides of input and output.
    """

    kind: str
    takes: tuple[int | None, ...]
    gives: tuple[int | None, ...]
    latent: int | None = None
    scale: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the images: of the input, or of a generator's output."""
        channels, height, width = self.takes if len(self.takes) == 3 else self.gives
        assert channels is not None
        assert height is not None
        assert width is not None
        return channels, height, width

    @property
    def code(self) -> int:
        """The dimensions of the latent code of a generator or an autoencoder."""
        assert self.latent is not None
        return self.latent

    @property
    def classes(self) -> int:
        """The number of a classifier's classes."""
        (classes,) = self.gives
        assert classes is not None
        return classes


OTHER = Interface("other", "what the task's evaluation gives it", "what the task's documentation says")
"""The interface of a task that does not describe its networks."""
