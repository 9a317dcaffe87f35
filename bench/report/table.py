"""A table as a value: made of summaries, timings, trials or findings, and written by any writer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal, TypeVar


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        title: The heading, with direction and unit: 'accuracy ↑ (%)'.
        importance: Columns with the smallest importance are the first to get room on a terminal.
        align: The side on which its cells stand.
        words: Whether cells hold names or sentences. These are escaped, and may be broken between words on a terminal;
            numbers are neither.
        header: Whether its cells name their rows.
    """

    title: str
    importance: int = 0
    align: Literal["left", "right"] = "right"
    words: bool = False
    header: bool = False


def words(title: str, importance: int = 0, header: bool = False) -> Column:
    """A column of names or sentences, aligned left."""
    return Column(title, importance, "left", words=True, header=header)


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What a reader sees, in plain text: each writer escapes it.
        number: What a page sorts the cell by, where that is not its text.
        best: Whether it is the best of its column; each writer has its own mark for that.
    """

    text: str
    number: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        cells: One for each column.
        kind: What the row is of (teacher, control, method, baseline): a class of the page's style sheet.
        section: Rows of one section stand together, a rule separates them from the next, and a page sorts within it.
        heading: What the section is called, for a format without rules.
        parameters: The size that a page filters by; None where the row is always shown.
    """

    cells: tuple[Cell, ...]
    kind: str = ""
    section: str = ""
    heading: str = ""
    parameters: int | None = None

    @property
    def best(self) -> bool:
        """Whether any cell of the row is the best of its column."""
        return any(cell.best for cell in self.cells)


@dataclass(frozen=True)
class Table:
    """Cells for a reader, and the same as numbers for a program.

    Attributes:
        title: What the table is of; empty where the text around it says so.
        columns: From left to right.
        rows: From top to bottom.
        caption: How to read it; ``{best}`` stands for the mark that the writer gives to the best.
        notes: What else a reader must know, one line each.
        data: Flat rows of numbers and names, with more digits than a reader wants: for CSV and JSON.
        facts: What JSON has before the rows: metrics, notes, problems.
        digits: How many significant digits a number has in CSV.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    notes: tuple[str, ...] = ()
    data: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    digits: int = 6

    def sections(self) -> list[tuple[Row, ...]]:
        """The rows, those of one section together."""
        return [tuple(rows) for _, rows in groupby(self.rows, key=lambda row: row.section)]

    def select(self, indices: Iterable[int]) -> Table:
        """The table with some of its columns alone, in the table's order.

        Args:
            indices: The numbers of the columns that stay, from 0 on.
        """
        kept = sorted(indices)
        rows = tuple(replace(row, cells=tuple(row.cells[i] for i in kept)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in kept), rows=rows)

    def filled(self) -> Table:
        """The table without the columns in which every cell is empty."""
        return self.select(i for i in range(len(self.columns)) if any(row.cells[i].text for row in self.rows))


Item = TypeVar("Item")
Field = tuple[Column, Callable[[Item], Cell]]
"""A column, and the cell that an item has in it."""


def columns(fields: Sequence[Field[Item]]) -> tuple[Column, ...]:
    """The columns of a table that is described field by field."""
    return tuple(column for column, _ in fields)


def cells(fields: Sequence[Field[Item]], item: Item) -> tuple[Cell, ...]:
    """The row that an item has in a table that is described field by field."""
    return tuple(cell(item) for _, cell in fields)
