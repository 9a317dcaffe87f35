"""Summaries on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.console import Group, RenderableType

from distillbench.bench.analysis.summary import Summary
from distillbench.bench.report import layout
from distillbench.bench.report.layout import BEST
from distillbench.bench.report.tables import CAPTION, headings, notes_of, text_frame

FIRST, LAST = ("gap recovered", "params", "speedup"), ("MACs", "latency (ms)")


def terminal(summaries: Sequence[Summary], width: int | None) -> Group:
    """A table a task, then its notes. width: columns of the terminal; None: show everything, however wide."""
    parts: list[RenderableType] = []
    shared = [note for note in notes_of(summaries[0]) if all(note in notes_of(summary) for summary in summaries)]
    for summary in summaries:
        frame = text_frame(summary, lambda text: text)
        frame["method"] = [BEST * row.best + row.name for row in summary.rows]
        chosen = list(frame.columns) if width is None else fitting(summary, frame, width)
        columns = [column for column in frame.columns if column in chosen]
        left_out = [column for column in frame.columns if column not in columns]
        notes = [note for note in notes_of(summary) if note not in shared]
        notes += [f"not shown: {', '.join(left_out)}; see them with --wide"] if left_out else []
        rows = summary.rows
        best = [i for i, row in enumerate(rows) if row.best]
        ends = [i for i, row in enumerate(rows) if i + 1 == len(rows) or rows[i + 1].pair != row.pair]
        parts += [layout.table(summary.task, frame[columns], width, best, ends), layout.notes(notes)]
    return Group(*parts, layout.notes([CAPTION, f"{BEST.strip()} stands before the best", *shared]))


def fitting(summary: Summary, frame: pd.DataFrame, width: int) -> list[str]:
    """The columns of a summary that a terminal has room for."""
    titles = list(headings(summary).values())
    delta = [column for column in frame.columns if column.startswith("Δ")]
    names = [name for name in layout.NAMES if name in frame.columns]
    incomplete = any(row.failed or row.missing for row in summary.rows)
    order = [*names, *titles[:1], *(["seeds"] if incomplete else []), *delta, *FIRST, "seeds", *titles[1:], *LAST]
    return layout.fitting(frame, dict.fromkeys(column for column in order if column in frame.columns), width)
