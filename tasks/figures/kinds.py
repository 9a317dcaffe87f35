"""The data of a task's figures, independent of how they are drawn: image grids, lines and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class ImageGrid:
    """A grid of images.

    Attributes:
        rows: the images of each row by its name, (columns, channels, height, width) in [0, 1]; rows may be shorter than
            the longest.
        heads: the head of each column, or none at all; neighbours with equal heads share one.
        captions: one line beneath each image of some of the rows, by the row's name.
        note: one line beneath the grid.

    Raises:
        ValueError: heads or captions do not match the images.
    """

    rows: Mapping[str, Tensor]
    heads: Sequence[str] = ()
    captions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if self.heads and len(self.heads) != self.columns:
            raise ValueError(f"{len(self.heads)} heads for {self.columns} columns")
        for name, lines in self.captions.items():
            if name not in self.rows:
                raise ValueError(f"captions for the row {name!r}, which does not exist")
            if len(lines) > len(self.rows[name]):
                raise ValueError(f"{len(lines)} captions for the {len(self.rows[name])} pictures of {name!r}")

    @property
    def columns(self) -> int:
        """The number of columns: that of the longest row."""
        return max(len(images) for images in self.rows.values())


@dataclass(frozen=True)
class Lines:
    """A small diagram for each model, x and y in [0, 1], with the diagonal.

    Attributes:
        x: the label of the x axis.
        y: the label of the y axis.
        of: the points of each model as (x, y, weight); a weight is the fraction of the data that a point stands for.
        captions: one line for each model.
        note: one line beneath the figure.
    """

    x: str
    y: str
    of: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]]
    captions: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Counts:
    """A matrix for each model that counts pairs, as a confusion matrix does.

    Attributes:
        rows: what the rows are.
        columns: what the columns are.
        names: the names of both.
        of: (len(names), len(names)) integers for each model.
        captions: one line for each model.
        note: one line beneath the figure.
    """

    rows: str
    columns: str
    names: Sequence[str]
    of: Mapping[str, Tensor]
    captions: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


FigureData = ImageGrid | Lines | Counts
