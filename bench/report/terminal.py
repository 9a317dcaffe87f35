"""Summaries on a terminal: as many columns as fit, by importance, and no number ever cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.report.summary import Row, Summary
from bench.report.tables import CAPTION, headings, notes_of, text_frame

BEST = "▸ "
"""Before the name of the best student: bold does not survive a pipe."""
GAP = 2
NAMES = ("pair", "method")
FIRST, LAST = ("gap recovered", "params", "speedup"), ("MACs", "latency (ms)")


def terminal(summaries: Sequence[Summary], width: int | None) -> Group:
    """A table a task, then its notes. width: columns of the terminal; None: show everything, however wide."""
    parts: list[RenderableType] = []
    shared = [note for note in notes_of(summaries[0]) if all(note in notes_of(summary) for summary in summaries)]
    for summary in summaries:
        frame = text_frame(summary, lambda text: text)
        frame["method"] = [BEST * row.best + row.name for row in summary.rows]
        columns = [column for column in frame.columns if width is None or column in fitting(summary, frame, width)]
        left_out = [column for column in frame.columns if column not in columns]
        notes = [note for note in notes_of(summary) if note not in shared]
        notes += [f"not shown: {', '.join(left_out)}; see them with --wide"] if left_out else []
        parts += [_table(summary, frame[columns], width), _notes(notes)]
    return Group(*parts, _notes([CAPTION, f"{BEST.strip()} stands before the best", *shared]))


def _notes(notes: Sequence[str]) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    for note in notes:
        table.add_row(Text("·"), Text(note, style="dim"))
    return Padding(table, (0, 0, 1, 0))


def fitting(summary: Summary, frame: pd.DataFrame, width: int) -> list[str]:
    """The columns that a terminal has room for, the most important first; the first one that does not fit ends them."""
    chosen: list[str] = []
    for column in _by_importance(summary, frame):
        if len(chosen) > 1 and _total(frame[[*chosen, column]]) > width:
            break
        chosen.append(column)
    return chosen


def _by_importance(summary: Summary, frame: pd.DataFrame) -> list[str]:
    titles = list(headings(summary).values())
    delta = [column for column in frame.columns if column.startswith("Δ")]
    names = [name for name in NAMES if name in frame.columns]
    incomplete = any(row.failed or row.missing for row in summary.rows)
    order = [*names, *titles[:1], *(["seeds"] if incomplete else []), *delta, *FIRST, "seeds", *titles[1:], *LAST]
    return list(dict.fromkeys(column for column in order if column in frame.columns))


def _width(column: str, cells: Iterable[str]) -> int:
    """Numbers are never broken; headings and names are, between words."""
    if column in NAMES:
        return max(len(part) for text in (column, *cells) for part in text.removeprefix(BEST).split()) + len(BEST)
    return max(max(map(len, cells), default=0), *map(len, column.split()))


def _total(frame: pd.DataFrame) -> int:
    return sum(_width(name, frame[name]) for name in frame.columns) + GAP * (len(frame.columns) - 1)


def _table(summary: Summary, frame: pd.DataFrame, width: int | None) -> Table:
    table = Table(
        title=summary.task, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.pad_edge = False
    table.show_edge = False
    left = None if width is None else max(0, width - _total(frame))
    for column in frame.columns:
        least = _width(column, frame[column])
        # What room there is goes to the longest names, then to the headings: whole ones are read more easily.
        whole = max(map(len, [column, *frame[column]]))
        given = whole if left is None else min(whole, least + left)
        left = None if left is None else left - (given - least)
        table.add_column(column, justify="left" if column in NAMES else "right", width=given)
    for i, row in enumerate(summary.rows):
        style = "bold" if row.best else None
        table.add_row(*(Text(str(cell)) for cell in frame.iloc[i]), style=style, end_section=_ends(summary.rows, i))
    return table


def _ends(rows: Sequence[Row], i: int) -> bool:
    """Whether this is the last row of its pair."""
    return i + 1 == len(rows) or rows[i + 1].pair != rows[i].pair
