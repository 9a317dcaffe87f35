"""Tables on a terminal: as many columns as fit, by importance, and no number ever cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from distillbench.bench.report.table import Table
from distillbench.common.text import LONGEST_NOTE, visible

BEST = "▸"
"""Stands before the name of the best row: bold does not survive a pipe."""
RULED = box.Box("    \n    \n ── \n    \n ── \n    \n    \n    \n")
"""A rule beneath the head, and between two sections."""
GAP = 2
"""Empty characters between two columns."""


def terminal(tables: Sequence[Table], width: int | None, hint: str = "see them with --wide") -> Group:
    """Every table with its notes beneath it; what all tables share comes once, at the end.

    Args:
        tables: What is drawn; at least one.
        width: Columns of the terminal; None shows everything, however wide.
        hint: Where a reader finds the columns that are not shown.
    """
    parts: list[RenderableType] = []
    shared = [note for note in tables[0].notes if all(note in table.notes for table in tables)]
    for table in tables:
        shown = fitted(table, width)
        hidden = [column.title for column in table.columns if column not in shown.columns]
        own = [note for note in table.notes if note not in shared]
        own += [f"not shown: {', '.join(hidden)}; {hint}"] if hidden else []
        parts += [grid(shown, width), notes(own)]
    captions = dict.fromkeys(table.caption.format(best=BEST) for table in tables)
    return Group(*parts, notes([*captions, *shared]))


def fitted(table: Table, width: int | None) -> Table:
    """The columns that a terminal has room for: by importance, up to the first one that does not fit.

    Args:
        table: What is to be drawn; two columns of it stay in any case.
        width: Columns of the terminal; None keeps all.
    """
    if width is None:
        return table
    chosen: list[int] = []
    for i in sorted(range(len(table.columns)), key=lambda i: table.columns[i].importance):
        if len(chosen) > 1 and _least_width(table, [*chosen, i]) > width:
            break
        chosen.append(i)
    return table.select(chosen)


def grid(table: Table, width: int | None, style: str = "bold") -> Grid:
    """One table without its notes, as rich draws it.

    Args:
        table: What is drawn, with all its columns.
        width: Columns of the terminal; names and headings are broken between words to keep to it.
        style: The style of the title.
    """
    title = Text(visible(table.title, LONGEST_NOTE), style) if table.title else None
    drawn = Grid(title=title, title_justify="left", box=RULED, padding=(0, 1, 0, 0))
    drawn.pad_edge = drawn.show_edge = False
    for column, size in zip(table.columns, _sizes(table, width), strict=True):
        # Where even the longest words do not fit (a path), they are folded: nothing is lost.
        drawn.add_column(Text(column.title), justify=column.align, width=size, overflow="fold")
    texts = [_texts(table, i) for i in range(len(table.columns))]
    ends = [a.section != b.section for a, b in zip(table.rows, table.rows[1:], strict=False)]
    for row, cells, end in zip(table.rows, zip(*texts, strict=True), [*ends, False], strict=True):
        drawn.add_row(*map(Text, cells), style="bold" if row.best else None, end_section=end)
    return drawn


def _sizes(table: Table, width: int | None) -> list[int]:
    """The width of each column. What room there is goes to names, then to headings: whole ones are read more easily."""
    indices = range(len(table.columns))
    whole = [_longest([table.columns[i].title, *_texts(table, i)]) for i in indices]
    if width is None:
        return whole
    room, sizes = max(0, width - _least_width(table, indices)), []
    for i in indices:
        least = _width(table, i)
        sizes.append(min(whole[i], least + room))
        room -= sizes[-1] - least
    return sizes


def notes(lines: Sequence[str]) -> RenderableType:
    """What stands beneath a table, one line each, and an empty line."""
    if not lines:
        return Text()
    listed = Grid.grid(padding=(0, 1, 0, 0))
    for line in lines:
        listed.add_row(Text("·"), Text(line, style="dim"))
    return Padding(listed, (0, 0, 1, 0))


def _texts(table: Table, i: int) -> list[str]:
    header = table.columns[i].header
    return [f"{BEST} " * (header and row.best) + visible(row.cells[i].text, LONGEST_NOTE) for row in table.rows]


def _width(table: Table, i: int) -> int:
    """The least width of a column: numbers are never broken; headings and names are, between words."""
    column, texts = table.columns[i], [visible(row.cells[i].text, LONGEST_NOTE) for row in table.rows]
    if column.words:
        return _longest(" ".join([column.title, *texts]).split()) + len(f"{BEST} ") * column.header
    return _longest([*column.title.split(), *texts])


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)


def _least_width(table: Table, indices: Iterable[int]) -> int:
    widths = [_width(table, i) for i in indices]
    return sum(widths) + GAP * (len(widths) - 1)
