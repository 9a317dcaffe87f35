"""What goes into a network and what comes out of it: by kind in words, and of one pair in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Interface:
    """kind: of the networks that a task takes. takes, gives: in words. prepare: an image's way to the network.

    prepare: pixels / 255 in "grey" (BT.601), "rgb" or "luma" (BT.601 in [16, 235], one channel as it is); "pixels":
    grey or rgb, as the network has channels; "binary": 1 from level 128 on, else 0; "array": it takes no image.
    multiple: what its sides must be multiples of.
    """

    kind: str
    takes: str
    gives: str
    prepare: Literal["pixels", "grey", "rgb", "luma", "binary", "array"] = "array"
    multiple: int = 1


@dataclass(frozen=True)
class Ends:
    """What a network is built between: the shapes of one input and one output, without the batch; None: of any length.

    latent: dimensions of the code that a generator takes, or that lies between encoder and decoder. scale: factor
    between the sides of input and output.
    """

    kind: str
    takes: tuple[int | None, ...]
    gives: tuple[int | None, ...]
    latent: int | None = None
    scale: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of images of one size: what is taken, or what a generator gives."""
        channels, height, width = self.takes if len(self.takes) == 3 else self.gives
        assert channels is not None
        assert height is not None
        assert width is not None
        return channels, height, width

    @property
    def code(self) -> int:
        """Dimensions of the latent code, of a generator or an autoencoder."""
        assert self.latent is not None
        return self.latent

    @property
    def classes(self) -> int:
        """Of a classifier."""
        (classes,) = self.gives
        assert classes is not None
        return classes


OTHER = Interface("other", "what the task's evaluation gives it", "what the task's documentation says")
"""Of a task that says nothing."""
