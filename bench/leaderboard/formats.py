"""A leaderboard as text: Markdown, LaTeX, CSV and JSON. Each format escapes everything that it prints."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from distillbench.bench.leaderboard.columns import LEGEND, board_table, overall_table
from distillbench.bench.leaderboard.model import Board, Leaderboard, Overall, Row
from distillbench.bench.report.table import Table
from distillbench.bench.report.writers import latex_table, markdown_table
from distillbench.bench.store.documents import Part
from distillbench.common import text

TITLE = "Leaderboard"
PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp,booktabs,graphicx}
\usepackage[a4paper,landscape,margin=1.5cm]{geometry}
\begin{document}
"""


def introduction(board: Leaderboard) -> list[str]:
    """What a leaderboard is made of: a line for each contributor."""
    return [
        f"{folder.name}: {folder.records} records" + (f", files left out: {folder.left_out}" if folder.left_out else "")
        for folder in board.contributors
    ]


def overall_note(board: Leaderboard, boards: Sequence[str]) -> str:
    """The note below an overall ranking over these boards."""
    return (
        f"mean rank on {len(boards)} boards with its 95% interval, for entries that are ranked on all of them; "
        "what an entry lacks is named, and not averaged over"
    )


def overall_title(board: Leaderboard, overall: Overall) -> str:
    """The heading of an overall ranking.

    Args:
        board: The leaderboard.
        overall: One of its rankings.

    Returns:
        'Overall', where there are several with the tasks, and with the contributors where tasks are equal.
    """
    titles = {ranking.boards: _task_list(board, ranking) for ranking in board.overall}
    if len(titles) == 1:
        return "Overall"
    tasks = titles[overall.boards]
    names = ", ".join(dict.fromkeys(standing.contributor for standing in overall.standings))
    return f"Overall: {tasks} ({names})" if list(titles.values()).count(tasks) > 1 else f"Overall: {tasks}"


def _task_list(board: Leaderboard, overall: Overall) -> str:
    return ", ".join(dict.fromkeys(part.task for part in board.boards if part.key in overall.boards))


def remarks(board: Board) -> list[str]:
    """The lines below a board."""
    seeds = f"{board.seeds} seeds" if board.seeds != 1 else "1 seed"
    examples = (
        f", {board.examples} test examples"
        if board.examples
        else ", no per-example results: intervals are over seeds alone"
    )
    return [f"a complete entry has at least {seeds}{examples}; board {board.key[:12]}", *board.notes]


def markdown(board: Leaderboard) -> str:
    """The leaderboard as a page in Markdown."""
    write = text.markdown
    parts = [f"# {TITLE}", _list(introduction(board), write)]
    if board.changes is not None:
        parts += ["## Changes", _list(board.changes or ["none"], write)]
    for overall in board.overall:
        parts += [
            f"## {write(overall_title(board, overall))}",
            markdown_table(overall_table(overall, board.boards), compact=True),
            _list([overall_note(board, overall.boards)], write),
        ]
    for part in board.boards:
        parts += [
            f"## {write(part.title)}",
            markdown_table(board_table(part), compact=True),
            _list(remarks(part), write),
        ]
    parts += ["## How to read it", _list(LEGEND, write)]
    if board.notes:
        parts += ["## Not averaged", _list(board.notes, write)]
    if board.problems:
        parts += ["## Left out", _list(board.problems, write)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _list(lines: Sequence[str], write: Callable[[str], str]) -> str:
    return "\n".join(f"- {write(line)}" for line in lines)


def latex(board: Leaderboard) -> str:
    """The leaderboard as a LaTeX document, with tables for ``booktabs`` that can be copied."""
    parts = [PREAMBLE, f"\\section*{{{TITLE}}}\n", _itemised(introduction(board))]
    if board.changes is not None:
        parts += ["\\subsection*{Changes}\n", _itemised(board.changes or ["none"])]
    for overall in board.overall:
        parts += [
            f"\\subsection*{{{text.latex(overall_title(board, overall))}}}\n",
            _latex_table(overall_table(overall, board.boards)),
            _itemised([overall_note(board, overall.boards)]),
        ]
    for part in board.boards:
        parts += [
            f"\\subsection*{{{text.latex(part.title)}}}\n",
            _latex_table(board_table(part)),
            _itemised(remarks(part)),
        ]
    parts += ["\\subsection*{How to read it}\n", _itemised(LEGEND)]
    for title, lines in (("Not averaged", board.notes), ("Left out", board.problems)):
        if lines:
            parts += [f"\\subsection*{{{title}}}\n", _itemised(lines)]
    return "".join(parts) + "\\end{document}\n"


def _itemised(lines: Sequence[str]) -> str:
    """A list; {} keeps a bracket at the beginning of a line from being read as the item's own mark."""
    if not lines:
        return ""
    items = "".join(f"\\item {{}}{text.latex(line)}\n" for line in lines)
    return f"\\begin{{itemize}}\n{items}\\end{{itemize}}\n"


def _latex_table(table: Table) -> str:
    """A table as wide as the page."""
    return f"\\noindent\\resizebox{{\\linewidth}}{{!}}{{%\n{latex_table(table).rstrip()}}}\n"


def as_csv(board: Leaderboard) -> str:
    """The leaderboard as CSV: a line for each row of each board, names quoted, missing values empty."""
    rows = [dict(_fields(part, row)) for part in board.boards for row in part.rows]
    names = dict.fromkeys(name for row in rows for name in row)
    content = io.StringIO()
    writer = csv.DictWriter(content, list(names), restval="", quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue()


def as_json(board: Leaderboard) -> str:
    """The whole leaderboard as JSON with a line for each value, which ``--since`` reads."""
    return json.dumps(board.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _fields(board: Board, row: Row) -> Iterator[tuple[str, str | int | float]]:
    texts = {
        "board": board.key, "task": board.task, "pair": board.pair, "version": board.version, "kind": row.kind,
        "contributor": row.contributor, "folders": ", ".join(row.folders), "method": row.name, "id": row.id,
        "code": ("official" if row.official else "contributed") if row.kind == "student" else "",
        "unranked": row.unranked, "primary_metric": board.primary_metric,
    }  # fmt: skip
    yield from ((name, text.csv(value)) for name, value in texts.items())
    yield "machine", text.csv(row.speed.machine if row.speed else "")
    quality, fidelity = row.metrics.get(board.primary_metric), row.metrics.get(board.fidelity or "")
    parts = {"value": "", "half_width": "_half_width", "low": "_low", "high": "_high"}
    yield from _numbers(row.place, {"rank": "rank", "low": "rank_low", "high": "rank_high", "tier": "tier"})
    yield from _numbers(row, {name: name for name in ("seeds", "failed")})
    for name, amount in (("quality", quality), ("fidelity", fidelity)):
        yield from _numbers(amount, {field: name + end for field, end in parts.items()})
    yield from _numbers(row, {name: name for name in ("parameters", "macs")})
    times = {"seconds": "latency_seconds", "low": "latency_low", "high": "latency_high"}
    yield from _numbers(row.speed, times | {"speedup": "speedup", "rank": "speed_rank"})
    yield from _numbers(row.training, {"value": "training_seconds"})
    yield from _numbers(row, {name: name for name in ("steps", "times_scratch", "pareto", "submissions", "control")})


def _numbers(part: Part | None, columns: Mapping[str, str]) -> Iterator[tuple[str, float | str]]:
    """The fields of a part as named cells. columns: {field: heading}."""
    for field, heading in columns.items():
        value = getattr(part, field, None)
        yield heading, "" if value is None else int(value) if isinstance(value, bool) else value
