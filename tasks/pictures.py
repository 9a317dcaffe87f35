"""What a task has to show: rows of pictures, and the words that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Pictures:
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
