"""What a task shows of its models, to be drawn by whoever wants to: pictures, lines and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class ImageGrid:
    """A picture grid. ValueError where words and pictures do not match.

    rows: {row name: (columns, channels, height, width) in [0, 1]}; a row may have fewer columns than the longest.
    heads: one a column, none at all where columns mean nothing; neighbours of equal heads are put under one.
    captions: {row name: one line beneath each of its pictures}, for some of the rows.
    note: one line beneath the grid, for whatever else a reader must know.
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
                raise ValueError(f"captions for the row {name!r}, which is not there")
            if len(lines) > len(self.rows[name]):
                raise ValueError(f"{len(lines)} captions for the {len(self.rows[name])} pictures of {name!r}")

    @property
    def columns(self) -> int:
        return max(len(images) for images in self.rows.values())


@dataclass(frozen=True)
class Lines:
    """A small diagram a model, x and y in [0, 1] with the diagonal.

    of: {model: (x, y, weight)}, a point a place; weight: the share of the data that a point stands for.
    captions: {model: one line}.
    """

    x: str
    y: str
    of: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]]
    captions: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Counts:
    """A matrix a model: how often its row meets a column. of: {model: (names, names) integers}."""

    rows: str
    columns: str
    names: Sequence[str]
    of: Mapping[str, Tensor]
    captions: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


FigureData = ImageGrid | Lines | Counts
