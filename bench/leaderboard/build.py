"""Results folders -> a leaderboard -> the files of its folder, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distillbench.bench.leaderboard import formats
from distillbench.bench.leaderboard.boards import boards
from distillbench.bench.leaderboard.changelog import changes
from distillbench.bench.leaderboard.entries import collect_entries, read_folders
from distillbench.bench.leaderboard.model import Contributor, Leaderboard
from distillbench.bench.leaderboard.overall import overall
from distillbench.bench.leaderboard.page import page
from distillbench.bench.store.documents import collection_paused
from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError

MARK = ".distillbench-leaderboard"
"""A folder that has this file may be overwritten."""


@collection_paused()
def leaderboard(results: Sequence[Path], since: Leaderboard | None = None, seeds: int | None = None) -> Leaderboard:
    """The leaderboard of several results folders.

    Args:
        results: One folder for each contributor.
        since: An earlier leaderboard to list the changes from.
        seeds: That a ranked entry has at least; None for as many as its board's most.

    Raises:
        UserError: A path is not a folder, or no folder has an entry.
    """
    folders = read_folders(results)
    ranked, unfinished = boards(collect_entries(folders), folders, seeds)
    problems = [problem for folder in folders for problem in folder.problems] + unfinished
    if not ranked:
        reason = f" ({problems[0]})" if problems else ""
        raise UserError(f"no finished student among the records{reason}", ", ".join(map(str, results)))
    averaged, notes = overall(ranked, [folder.contributor for folder in folders])
    board = Leaderboard(
        contributors=tuple(
            Contributor(name=folder.contributor, records=len(folder.records), left_out=len(folder.problems))
            for folder in folders
        ),
        boards=tuple(ranked_board.board for ranked_board in ranked),
        overall=tuple(averaged),
        notes=tuple(notes),
        problems=tuple(problems),
    )
    return board if since is None else board.model_copy(update={"changes": changes(since, board)})


def content(board: Leaderboard) -> dict[str, bytes]:
    """Every file of a leaderboard's folder, by its place."""
    return {
        MARK: b"",
        "README.md": formats.markdown(board).encode(),
        "leaderboard.tex": formats.latex(board).encode(),
        "leaderboard.csv": formats.as_csv(board).encode(),
        "leaderboard.json": formats.as_json(board).encode(),
        **page(board),
    }


def check(out: Path) -> None:
    """Make sure that a leaderboard may be written to a folder.

    Args:
        out: The folder.

    Raises:
        UserError: It holds something other than a leaderboard.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        allowed = "a new or empty folder, or an earlier leaderboard"
        raise UserError("is not a leaderboard of distillbench", out, allowed=allowed)


def write(board: Leaderboard, out: Path) -> list[Path]:
    """Write the files of a leaderboard.

    Args:
        board: The leaderboard.
        out: Its folder.

    Returns:
        The paths of the files.

    Raises:
        UserError: ``out`` holds something else, or cannot be written.
    """
    check(out)
    files = content(board)
    try:
        for name, data in files.items():
            write_atomically(out / name, data)
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", out) from error
    return [out / name for name in files]
