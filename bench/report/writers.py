"""Tables as files: GitHub Markdown, LaTeX (booktabs), CSV and JSON. Each escapes all names that it writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import pandas as pd
from tabulate import tabulate

from distillbench.bench.report.table import Cell, Column, Table
from distillbench.common import text


def markdown(tables: Sequence[Table]) -> str:
    """GitHub Markdown: a section for each table, with its notes beneath it."""
    return "\n\n".join(part for table in tables for part in _section(table)) + "\n"


def _section(table: Table) -> list[str]:
    heading = [f"### {text.markdown(table.title)}"] if table.title else []
    notes = [table.caption.format(best="bold"), *map(text.markdown, table.notes)]
    return [*heading, markdown_table(table), "\n".join(f"- {note}" for note in notes)]


def markdown_table(table: Table, compact: bool = False) -> str:
    """One table of GitHub Markdown, without its title and notes.

    Args:
        table: What is written.
        compact: Whether cells are written as they are, so that a change of one leaves the other lines alone; else
            they are padded, so that columns are aligned in the source as well.
    """
    rows = list(_markdown_rows(table))
    headings = [text.markdown(column.title) for column in table.columns]
    sides = [column.align for column in table.columns]
    if compact:
        rule = [":---" if side == "left" else "---:" for side in sides]
        return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rule, *rows))
    return str(tabulate(rows, headings, "pipe", colalign=sides, disable_numparse=True))


def _markdown_rows(table: Table) -> Iterator[list[str]]:
    """The rows, and above the first one of a section its heading: Markdown has no rules."""
    place = next((i for i, column in enumerate(table.columns) if column.header), 0)
    for section in table.sections():
        if section[0].heading:
            yield [f"*{section[0].heading}:*" * (i == place) for i in range(len(table.columns))]
        for row in section:
            yield [_markdown(*pair) for pair in zip(table.columns, row.cells, strict=True)]


def _markdown(column: Column, cell: Cell) -> str:
    shown = text.markdown(cell.text) if column.words else cell.text
    return f"**{shown}**" if cell.best else shown


def latex(tables: Sequence[Table]) -> str:
    """LaTeX for the package booktabs: a float for each table, with its notes before it as comments."""
    return "\n".join(map(_float, tables))


def _float(table: Table) -> str:
    notes = "".join(f"% {text.visible(note, text.LONGEST_NOTE)}\n" for note in table.notes)
    caption = text.latex(f"{table.title.replace('_', ' ')}: {table.caption.format(best='bold')}")
    head = f"\\begin{{table}}\n\\caption{{{caption}}}\n\\label{{tab:{table.title}}}\n"
    return f"{notes}{head}{latex_table(table)}\\end{{table}}\n"


def latex_table(table: Table) -> str:
    """One tabular of LaTeX, without caption and notes."""
    sides = "".join(column.align[0] for column in table.columns)
    head = [text.latex(column.title) for column in table.columns]
    lines = [f"\\begin{{tabular}}{{{sides}}}", "\\toprule", _line(head)]
    for section in table.sections():
        lines += ["\\midrule", *(_line([_latex(cell) for cell in row.cells]) for row in section)]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _latex(cell: Cell) -> str:
    shown = text.latex(cell.text)
    if cell.best:
        return f"\\textbf{{{shown}}}"
    return f"{{{shown}}}" if shown.startswith(("[", "*")) else shown  # else arguments of the line end before


def csv(tables: Sequence[Table]) -> str:
    """The data of all tables as one, with empty fields for what is missing."""
    frame = pd.DataFrame([row for table in tables for row in table.data])
    return text.csv_frame(frame, f"%.{max(table.digits for table in tables)}g")


def as_json(tables: Sequence[Table]) -> str:
    """The facts and the data of each table, null for what is missing."""
    contents = [{**table.facts, "rows": table.data} for table in tables]
    return json.dumps(contents, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": csv,
    "json": as_json,
}
"""How tables are written to files; on a terminal they are drawn (``distillbench.bench.report.terminal``)."""
