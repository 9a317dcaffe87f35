"""The leaderboard as a page: sortable tables that open from a file system, and ask no network for anything."""

from __future__ import annotations

from importlib.resources import files

from distillbench.bench.leaderboard.columns import LEGEND, board_table, overall_table
from distillbench.bench.leaderboard.formats import TITLE, introduction, overall_note, overall_title, remarks
from distillbench.bench.leaderboard.model import Leaderboard
from distillbench.bench.report.page.rendering import Files, assets, renderer

SIZES = {"under 1k": 1_000, "under 10k": 10_000, "under 100k": 100_000, "under 1M": 1_000_000, "under 10M": 10_000_000}
"""Parameters below which a student is in a size class."""
OWN = ("board.css", "board.js")


def page(board: Leaderboard) -> Files:
    """index.html and its assets, by place."""
    static = files("distillbench.bench.report.page") / "static"
    made: Files = {name: content for name, content in assets().items() if "plotly" not in name}
    made |= {f"assets/{name}": (static / name).read_bytes() for name in OWN}
    overalls = [
        (overall_title(board, one), overall_table(one, board.boards), overall_note(board, one.boards))
        for one in board.overall
    ]
    made["index.html"] = renderer({}, "Made by distillbench leaderboard.")(
        "board.html",
        "index",
        TITLE,
        introduction=introduction(board),
        changes=board.changes,
        overalls=overalls,
        boards=[(one, board_table(one), remarks(one)) for one in board.boards],
        sizes=SIZES,
        legend=LEGEND,
        notes=board.notes,
        problems=board.problems,
    )
    return made
