"""What has changed since a leaderboard that was published before: boards, entries, classes, ranks, figures."""

from __future__ import annotations

from collections.abc import Iterator

from distillbench.bench.leaderboard.columns import figure, who
from distillbench.bench.leaderboard.model import Board, Leaderboard, Overall, Place, Row
from distillbench.common.text import LONGEST_NOTE, visible


def changes(old: Leaderboard, new: Leaderboard) -> tuple[str, ...]:
    """A line a change, in the order of the boards. Nothing of the old one is trusted to be harmless text."""
    before, after = ({board.key: board for board in side.boards} for side in (old, new))
    found: list[str] = []
    for key, board in after.items():
        if key not in before:
            found.append(f"{board.title}: a new board" + _instead(board, old))
        else:
            found += [f"{board.title}: {line}" for line in _of_board(before[key], board)]
    found += [f"{board.title}: no longer a board" for key, board in before.items() if key not in after]
    found += [f"overall: {line}" for line in _of_overall(old, new)]
    return tuple(visible(line, LONGEST_NOTE) for line in found)


def _instead(board: Board, old: Leaderboard) -> str:
    same = any((other.task, other.pair) == (board.task, board.pair) for other in old.boards)
    return ", of another version of this task and pair" if same else ""


def _of_board(old: Board, new: Board) -> Iterator[str]:
    before, after = ({(row.contributor, row.id): row for row in board.entries} for board in (old, new))
    for key, row in after.items():
        if key not in before:
            yield f"{who(row)} is new, {_placed(row)}"
            continue
        was = before[key]
        if _placed(was) != _placed(row):
            yield f"{who(row)}: {_placed(was)} -> {_placed(row)}"
        if was.official != row.official:
            yield f"{who(row)}: {'official' if row.official else 'no longer official'}"
        for name in sorted(was.metrics.keys() | row.metrics.keys()):
            mine, its = was.metrics.get(name), row.metrics.get(name)
            if (mine and mine.value) != (its and its.value):
                reading = new.metrics.get(name) or old.metrics.get(name)
                yield f"{who(row)}: {name} {figure(mine, reading)} -> {figure(its, reading)}"
    for key, row in before.items():
        if key not in after:
            yield f"{who(row)} is gone, was {_placed(row)}"


def _placed(row: Row) -> str:
    return _place(row.place) if row.place else f"unranked ({row.unranked})"


def _place(place: Place) -> str:
    its_class = f", class {place.in_class}" if place.in_class is not None else ""
    return f"rank {place.rank:.3g}{its_class}"


def _of_overall(old: Leaderboard, new: Leaderboard) -> Iterator[str]:
    """Of the rankings over the same boards."""
    before = {overall.boards: overall for overall in old.overall}
    for overall in new.overall:
        if overall.boards not in before:
            yield f"a new ranking over {len(overall.boards)} boards"
            continue
        was, now = _ranks(before[overall.boards]), _ranks(overall)
        for name in dict.fromkeys([*now, *was]):
            if was.get(name) != now.get(name):
                yield f"{name}: {was.get(name, 'unranked')} -> {now.get(name, 'unranked')}"
    kept = {overall.boards for overall in new.overall}
    yield from (f"no longer a ranking over {len(boards)} boards" for boards in before if boards not in kept)


def _ranks(overall: Overall) -> dict[str, str]:
    return {f"{s.contributor}'s {s.label}": _place(s.place) for s in overall.standings if s.place}
