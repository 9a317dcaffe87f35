"""Results folders -> a leaderboard -> the files of its folder, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distillbench.bench.leaderboard import formats
from distillbench.bench.leaderboard.boards import boards
from distillbench.bench.leaderboard.changelog import changes
from distillbench.bench.leaderboard.entries import entries, folders, problems
from distillbench.bench.leaderboard.model import Contributor, Leaderboard
from distillbench.bench.leaderboard.overall import overall
from distillbench.bench.leaderboard.page import page
from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError

MARK = ".distillbench-leaderboard"
"""A folder that has this file may be written again."""


def leaderboard(results: Sequence[Path], since: Leaderboard | None = None, seeds: int | None = None) -> Leaderboard:
    """Of all folders. seeds: that a ranked entry has at least; by default as many as its board's most.

    Raises UserError for a folder that is none, and where there is no entry in any.
    """
    given = folders(results)
    found, unknown = boards(entries(given), given, seeds)
    left_out = [*problems(given), *unknown]
    if not found:
        reason = f" ({left_out[0]})" if left_out else ""
        raise UserError(f"{', '.join(map(str, results))}: no finished student among the records{reason}")
    averaged, notes = overall(found, [folder.contributor for folder in given])
    board = Leaderboard(
        contributors=tuple(
            Contributor(name=folder.contributor, records=len(folder.records), left_out=len(folder.problems))
            for folder in given
        ),
        boards=tuple(drawn.board for drawn in found),
        overall=tuple(averaged),
        notes=tuple(notes),
        problems=tuple(left_out),
    )
    return board if since is None else board.model_copy(update={"changes": changes(since, board)})


def content(board: Leaderboard) -> dict[str, bytes]:
    """Every file by its place."""
    return {
        MARK: b"",
        "README.md": formats.markdown(board).encode(),
        "leaderboard.tex": formats.latex(board).encode(),
        "leaderboard.csv": formats.as_csv(board).encode(),
        "leaderboard.json": formats.as_json(board).encode(),
        **page(board),
    }


def check(out: Path) -> None:
    """Raises UserError where the folder holds something else."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise UserError(f"{out}: is not a leaderboard of distillbench (allowed: a new or empty folder, or such a one)")


def write(board: Leaderboard, out: Path) -> list[Path]:
    """Write the files; which. Raises UserError where ``out`` holds something else, or cannot be written."""
    check(out)
    made = content(board)
    try:
        for name, its in made.items():
            write_atomically(out / name, its)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror})") from error
    return [out / name for name in made]
