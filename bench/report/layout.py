"""A frame of text as a table on a terminal: as many columns as fit, by importance, and no number ever cut."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import pandas as pd
from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

BEST = "▸ "
"""Before the name of the best: bold does not survive a pipe."""
GAP = 2
NAMES = ("pair", "method", "network", "backend", "cell", "metric", "why")
"""Columns of words: they may be broken, and stand to the left."""


def fitting(frame: pd.DataFrame, importance: Iterable[str], width: int) -> list[str]:
    """The columns that a terminal has room for, the most important first; the first one that does not fit ends them."""
    chosen: list[str] = []
    for column in importance:
        if len(chosen) > 1 and _total(frame[[*chosen, column]]) > width:
            break
        chosen.append(column)
    return chosen


def table(
    title: str | Text, frame: pd.DataFrame, width: int | None, bold: Collection[int] = (), ends: Collection[int] = ()
) -> Table:
    """bold, ends: numbers of rows: those in bold, and those that an empty line follows."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.pad_edge = False
    made.show_edge = False
    left = None if width is None else max(0, width - _total(frame))
    for column in frame.columns:
        least = _width(column, frame[column])
        # What room there is goes to the longest names, then to the headings: whole ones are read more easily.
        whole = max(map(len, [column, *frame[column]]))
        given = whole if left is None else min(whole, least + left)
        left = None if left is None else left - (given - least)
        # Where even the longest words do not fit (a path), they are folded: nothing is lost.
        made.add_column(column, justify="left" if column in NAMES else "right", width=given, overflow="fold")
    for i in range(len(frame)):
        cells = (Text(str(cell)) for cell in frame.iloc[i])
        made.add_row(*cells, style="bold" if i in bold else None, end_section=i in ends)
    return made


def notes(lines: Sequence[str]) -> RenderableType:
    """Beneath a table, one line each."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        grid.add_row(Text("·"), Text(line, style="dim"))
    return Padding(grid, (0, 0, 1, 0))


def _width(column: str, cells: Iterable[str]) -> int:
    """Numbers are never broken; headings and names are, between words."""
    if column in NAMES:
        return max(len(part) for text in (column, *cells) for part in text.removeprefix(BEST).split()) + len(BEST)
    return max(max(map(len, cells), default=0), *map(len, column.split()))


def _total(frame: pd.DataFrame) -> int:
    return sum(_width(name, frame[name]) for name in frame.columns) + GAP * (len(frame.columns) - 1)
