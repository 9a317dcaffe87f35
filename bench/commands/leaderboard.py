"""``distillbench leaderboard``: the results of several contributors, ranked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from distillbench.bench.commands.options import console
from distillbench.common.errors import UserError, at_most
from distillbench.common.paths import expanded

MOST_PROBLEMS = 5
"""So many files that are left out are named on the terminal; the leaderboard names all."""


def leaderboard(
    results: Annotated[
        list[Path],
        typer.Argument(parser=expanded, metavar="RESULTS", help="Results folders, one for each contributor."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", parser=expanded, metavar="DIR", help="Folder to write the leaderboard to.")
    ],
    since: Annotated[
        Path | None,
        typer.Option(
            parser=expanded,
            metavar="OLD.json",
            help="A leaderboard.json published before: list the changes since then.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Rank entries with at least this many seeds. Default: the most that any entry of a board has."
        ),
    ] = None,
) -> None:
    """Rank the results of several contributors, as Markdown, LaTeX, CSV, JSON and a page.

    Records that cannot be used are named and left out.
    """
    if not str(out) or out == Path():
        raise UserError("is empty or the current folder (give a folder of its own)", "--out")
    screen = console()
    with screen.status(f"{len(results)} folders: reading"):
        from distillbench.bench.leaderboard import build, model
        from distillbench.bench.store.documents import kept_to_the_end

        build.check(out)
        before = model.read(since) if since is not None else None
        with kept_to_the_end():
            board = build.leaderboard(results, before, seeds)
        files = build.write(board, out)
    for line in at_most(MOST_PROBLEMS, [f"left out: {problem}" for problem in board.problems]):
        print(f"distillbench: {line}", file=sys.stderr)
    entries = sum(len(part.entries) for part in board.boards)
    size = sum(path.stat().st_size for path in files)
    what = f"{len(board.boards)} boards, {entries} entries, {len(files)} files, {size / 1e6:.1f} MB"
    screen.print(f"{out / 'README.md'}: {what}", markup=False)
