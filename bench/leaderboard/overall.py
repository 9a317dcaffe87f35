"""The ranks of all boards of one suite averaged, of those alone who have a rank on each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from distillbench.bench.leaderboard.boards import Drawn
from distillbench.bench.leaderboard.model import Overall, Place, Row, Standing, tidy
from distillbench.bench.statistics import rank_intervals

Who = tuple[str, str]
"""Contributor and label."""


def overall(boards: Sequence[Drawn], contributors: Sequence[str]) -> tuple[list[Overall], list[str]]:
    """An overall ranking for each suite, and in a line each what kept others from one.

    A suite is what one folder holds: a board for each task and pair that it ran. What another folder holds more of
    counts there alone; what is a part of another suite has no ranking of its own, for who leaves a task out would so
    choose what is averaged.
    """
    suites: list[frozenset[str]] = []
    notes = []
    for contributor in contributors:
        mine = [drawn.board for drawn in boards if any(contributor in row.folders for row in drawn.board.entries)]
        if len({(board.task, board.pair) for board in mine}) < len(mine):
            notes.append(f"{contributor}: holds several versions of a task and pair, and is no suite to average over")
        elif len(mine) > 1:
            suites.append(frozenset(board.key for board in mine))
    whole = [suite for suite in dict.fromkeys(suites) if not any(suite < other for other in suites)]
    found = [[drawn for drawn in boards if drawn.board.key in suite] for suite in whole]
    return [_overall(its) for its in sorted(found, key=lambda its: [drawn.board.key for drawn in its])], notes


def _overall(boards: Sequence[Drawn]) -> Overall:
    entries: dict[Who, dict[str, list[Row]]] = {}
    own: set[Who] = set()
    for drawn in boards:
        for row in drawn.board.entries:
            own.add((row.contributor, row.label))
            for folder in row.folders:
                entries.setdefault((folder, row.label), {}).setdefault(drawn.board.key, []).append(row)
    entries = {who: its for who, its in entries.items() if who in own}  # others hold nothing but copies
    complete = {who: rows for who, its in entries.items() if (rows := _ranked(its, boards)) is not None}
    draws = {who: _mean_ranks(rows, boards) for who, rows in complete.items()}
    standings = [_standing(who, its, boards, draws.get(who)) for who, its in entries.items()]
    ordered = sorted(standings, key=lambda s: (s.place is None, s.place.rank if s.place else 0, s.contributor, s.label))
    return Overall(boards=tuple(drawn.board.key for drawn in boards), standings=tuple(ordered))


def _ranked(its: Mapping[str, Sequence[Row]], boards: Sequence[Drawn]) -> list[Row] | None:
    """The row on each board; None where it has no rank on one, or several."""
    ranked = [[row for row in its.get(drawn.board.key, ()) if row.place] for drawn in boards]
    return [rows[0] for rows in ranked] if all(len(rows) == 1 for rows in ranked) else None


def _mean_ranks(rows: Sequence[Row], boards: Sequence[Drawn]) -> NDArray[np.float64]:
    """(resamples,): boards have nothing to do with each other, and are drawn each for itself."""
    drawn = [board.draws[:, board.ranked.index(row)] for row, board in zip(rows, boards, strict=True)]
    return np.asarray(np.mean(drawn, axis=0), dtype=np.float64)


def _standing(
    who: Who, its: Mapping[str, Sequence[Row]], boards: Sequence[Drawn], draws: NDArray[np.float64] | None
) -> Standing:
    ranks = {key: rows[0].place.rank for key, rows in its.items() if len(rows) == 1 and rows[0].place}
    place = None
    if draws is not None:
        rank = float(np.mean(list(ranks.values())))
        sure = all(board.board.seeds > 1 for board in boards)
        ((low, high),) = rank_intervals(draws[:, None], [rank])
        place = Place(rank=tidy(rank) or 0.0, low=tidy(low) if sure else None, high=tidy(high) if sure else None)
    return Standing(
        contributor=who[0],
        label=who[1],
        official=all(row.official for rows in its.values() for row in rows),
        place=place,
        ranks=ranks,
        lacks=tuple(_lacks(its, boards)),
    )


def _lacks(its: Mapping[str, Sequence[Row]], boards: Sequence[Drawn]) -> Iterator[str]:
    for drawn in boards:
        rows = its.get(drawn.board.key, ())
        if not rows:
            yield f"{drawn.board.title}: not there"
        elif len(rows) > 1:
            yield f"{drawn.board.title}: {len(rows)} configurations"
        elif rows[0].place is None:
            yield f"{drawn.board.title}: {rows[0].unranked}"
