"""What changed since a leaderboard that was published before: boards, entries, tiers, ranks and metrics."""

from __future__ import annotations

from collections.abc import Iterator

from distillbench.bench.leaderboard.columns import amount_text
from distillbench.bench.leaderboard.model import Board, Leaderboard, Overall, Place, Row
from distillbench.common.text import LONGEST_NOTE, visible


def changes(old: Leaderboard, new: Leaderboard) -> tuple[str, ...]:
    """The changes between two leaderboards.

    Args:
        old: Published before; none of its text is trusted.
        new: The present one.

    Returns:
        A line for each change, in the order of the boards.
    """
    before, after = ({board.key: board for board in side.boards} for side in (old, new))
    lines: list[str] = []
    for key, board in after.items():
        if key not in before:
            lines.append(f"{board.title}: new board" + _version(board, old))
        else:
            lines += [f"{board.title}: {line}" for line in _board_changes(before[key], board)]
    lines += [f"{board.title}: board removed" for key, board in before.items() if key not in after]
    lines += [f"overall: {line}" for line in _overall_changes(old, new)]
    return tuple(visible(line, LONGEST_NOTE) for line in lines)


def _version(board: Board, old: Leaderboard) -> str:
    pairs = {(other.task, other.pair) for other in old.boards}
    return ", another version of this task and pair" if (board.task, board.pair) in pairs else ""


def _board_changes(old: Board, new: Board) -> Iterator[str]:
    before, after = (
        {(row.contributor, row.id): row for row in (*board.entries, *board.controls)} for board in (old, new)
    )
    for key, row in after.items():
        if key in before:
            yield from _row_changes(before[key], row, old, new)
        else:
            yield f"{row.attribution} is new, {_placed(row)}"
    for key, row in before.items():
        if key not in after:
            yield f"{row.attribution} was removed, {_placed(row)} before"


def _row_changes(before: Row, after: Row, old: Board, new: Board) -> Iterator[str]:
    if _placed(before) != _placed(after):
        yield f"{after.attribution}: {_placed(before)} -> {_placed(after)}"
    if before.official != after.official:
        yield f"{after.attribution}: {'official' if after.official else 'no longer official'}"
    for name in sorted(before.metrics.keys() | after.metrics.keys()):
        was, now = before.metrics.get(name), after.metrics.get(name)
        if (was and was.value) != (now and now.value):
            reading = new.metrics.get(name) or old.metrics.get(name)
            yield f"{after.attribution}: {name} {amount_text(was, reading)} -> {amount_text(now, reading)}"


def _placed(row: Row) -> str:
    if row.control:
        return "a control"
    return _place(row.place) if row.place else f"unranked ({row.unranked})"


def _place(place: Place) -> str:
    tier = f", tier {place.tier}" if place.tier is not None else ""
    return f"rank {place.rank:.3g}{tier}"


def _overall_changes(old: Leaderboard, new: Leaderboard) -> Iterator[str]:
    """Changes of the rankings over the same boards."""
    before = {overall.boards: overall for overall in old.overall}
    for overall in new.overall:
        if overall.boards in before:
            yield from _standing_changes(_ranks(before[overall.boards]), _ranks(overall))
        else:
            yield f"new ranking over {len(overall.boards)} boards"
    kept = {overall.boards for overall in new.overall}
    yield from (f"ranking over {len(boards)} boards removed" for boards in before if boards not in kept)


def _standing_changes(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*after, *before]):
        was, now = before.get(name, "unranked"), after.get(name, "unranked")
        if was != now:
            yield f"{name}: {was} -> {now}"


def _ranks(overall: Overall) -> dict[str, str]:
    return {f"{s.contributor}'s {s.label}": _place(s.place) for s in overall.standings if s.place}
