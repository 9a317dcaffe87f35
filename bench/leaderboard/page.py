"""The leaderboard as a page: sortable tables that open from a file system and need no network."""

from __future__ import annotations

from importlib.resources import files

from distillbench.bench.leaderboard.columns import LEGEND, board_table, overall_table
from distillbench.bench.leaderboard.formats import TITLE, introduction, overall_note, overall_title, remarks
from distillbench.bench.leaderboard.model import Leaderboard
from distillbench.bench.report.page.rendering import Files, assets, renderer

SIZES = {"under 1k": 1_000, "under 10k": 10_000, "under 100k": 100_000, "under 1M": 1_000_000, "under 10M": 10_000_000}
"""Choices of the filter by size: parameters below which a student is shown."""
ASSETS = ("board.css", "board.js")


def page(board: Leaderboard) -> Files:
    """The files of the page by place: index.html and its assets."""
    static = files("distillbench.bench.report.page") / "static"
    pages: Files = {name: content for name, content in assets().items() if "plotly" not in name}
    pages |= {f"assets/{name}": (static / name).read_bytes() for name in ASSETS}
    overalls = [
        (overall_title(board, overall), overall_table(overall, board.boards), overall_note(board, overall.boards))
        for overall in board.overall
    ]
    pages["index.html"] = renderer({}, "Made by distillbench leaderboard.")(
        "board.html",
        "index",
        TITLE,
        introduction=introduction(board),
        changes=board.changes,
        overalls=overalls,
        boards=[(part, board_table(part), remarks(part)) for part in board.boards],
        sizes=SIZES,
        legend=LEGEND,
        notes=board.notes,
        problems=board.problems,
    )
    return pages
