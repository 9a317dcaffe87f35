"""Overall rankings: the mean of an entry's ranks over all boards of one suite, for entries ranked on each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from distillbench.bench.leaderboard.boards import RankedBoard
from distillbench.bench.leaderboard.model import Overall, Place, Row, Standing, tidy
from distillbench.bench.statistics import rank_intervals

Method = tuple[str, str]
"""Contributor and label."""
RowsByBoard = Mapping[str, Sequence[Row]]
"""The rows of one method, by the board's key."""


def overall(boards: Sequence[RankedBoard], contributors: Sequence[str]) -> tuple[list[Overall], list[str]]:
    """An overall ranking for each suite.

    A suite is what one folder holds: a board for each task and pair that it ran. Boards that only another folder has
    do not count in it. A part of another suite has no ranking of its own: whoever left a task out would otherwise
    choose what is averaged.

    Args:
        boards: Of all folders.
        contributors: Names of the folders.

    Returns:
        The rankings, and a line for each folder that is no suite.
    """
    suites: list[frozenset[str]] = []
    notes = []
    for contributor in contributors:
        contributed = [ranked.board for ranked in boards if _is_on(contributor, ranked)]
        if len({(board.task, board.pair) for board in contributed}) < len(contributed):
            notes.append(f"{contributor}: has several versions of a task and pair, so its ranks are not averaged")
        elif len(contributed) > 1:
            suites.append(frozenset(board.key for board in contributed))
    largest = [suite for suite in dict.fromkeys(suites) if not any(suite < other for other in suites)]
    of_suites = [[ranked for ranked in boards if ranked.board.key in suite] for suite in largest]
    return [_overall(suite) for suite in sorted(of_suites, key=_keys)], notes


def _is_on(contributor: str, ranked: RankedBoard) -> bool:
    return any(contributor in row.folders for row in ranked.board.entries)


def _keys(boards: Sequence[RankedBoard]) -> list[str]:
    return [ranked.board.key for ranked in boards]


def _overall(boards: Sequence[RankedBoard]) -> Overall:
    methods = _rows_of_methods(boards)
    complete = {
        method: rows for method, rows_of in methods.items() if (rows := _ranked_rows(rows_of, boards)) is not None
    }
    draws = {method: _mean_ranks(rows, boards) for method, rows in complete.items()}
    standings = [_standing(method, rows, boards, draws.get(method)) for method, rows in methods.items()]
    return Overall(boards=tuple(_keys(boards)), standings=tuple(sorted(standings, key=_order)))


def _order(standing: Standing) -> tuple[bool, float, str, str]:
    place = standing.place
    return place is None, place.rank if place else 0, standing.contributor, standing.label


def _rows_of_methods(boards: Sequence[RankedBoard]) -> dict[Method, dict[str, list[Row]]]:
    """The rows of each method that has one of its own: other folders hold nothing but copies."""
    methods: dict[Method, dict[str, list[Row]]] = {}
    owners: set[Method] = set()
    for ranked in boards:
        for row in ranked.board.entries:
            owners.add((row.contributor, row.label))
            for folder in row.folders:
                methods.setdefault((folder, row.label), {}).setdefault(ranked.board.key, []).append(row)
    return {method: rows for method, rows in methods.items() if method in owners}


def _ranked_rows(rows_of: RowsByBoard, boards: Sequence[RankedBoard]) -> list[Row] | None:
    """The row on each board; None where a method has no rank on one, or several."""
    ranked = [[row for row in rows_of.get(key, ()) if row.place] for key in _keys(boards)]
    return [rows[0] for rows in ranked] if all(len(rows) == 1 for rows in ranked) else None


def _mean_ranks(rows: Sequence[Row], boards: Sequence[RankedBoard]) -> NDArray[np.float64]:
    """(resamples,): boards are independent of each other."""
    draws = [board.draws[:, board.ranked.index(row)] for row, board in zip(rows, boards, strict=True)]
    return np.asarray(np.mean(draws, axis=0), dtype=np.float64)


def _standing(
    method: Method, rows_of: RowsByBoard, boards: Sequence[RankedBoard], draws: NDArray[np.float64] | None
) -> Standing:
    ranks = {key: rows[0].place.rank for key, rows in rows_of.items() if len(rows) == 1 and rows[0].place}
    return Standing(
        contributor=method[0],
        label=method[1],
        official=all(row.official for rows in rows_of.values() for row in rows),
        place=None if draws is None else _mean_place(list(ranks.values()), boards, draws),
        ranks=ranks,
        lacks=tuple(_lacks(rows_of, boards)),
    )


def _mean_place(ranks: Sequence[float], boards: Sequence[RankedBoard], draws: NDArray[np.float64]) -> Place:
    """The mean rank, with an interval where each board has several seeds."""
    rank = float(np.mean(ranks))
    ((low, high),) = rank_intervals(draws[:, None], [rank])
    several = all(ranked.board.seeds > 1 for ranked in boards)
    return Place(rank=tidy(rank) or 0.0, low=tidy(low) if several else None, high=tidy(high) if several else None)


def _lacks(rows_of: RowsByBoard, boards: Sequence[RankedBoard]) -> Iterator[str]:
    for ranked in boards:
        rows = rows_of.get(ranked.board.key, ())
        if not rows:
            yield f"{ranked.board.title}: no entry"
        elif len(rows) > 1:
            yield f"{ranked.board.title}: {len(rows)} configurations"
        elif rows[0].place is None:
            yield f"{ranked.board.title}: {rows[0].unranked}"
