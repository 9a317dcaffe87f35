"""The notes of a board: what a reader must know to read its table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from distillbench.bench.leaderboard.model import Row
from distillbench.bench.leaderboard.ranks import LEAST_SEEDS
from distillbench.bench.store.records import MetricValue
from distillbench.common.text import LONGEST_NOTE, visible


def board_notes(
    rows: Sequence[Row], seeds: int, metrics: Iterable[MetricValue], machines: Mapping[str, str]
) -> Iterator[str]:
    """The notes of one board.

    Args:
        rows: Its entries, ranked ones first.
        seeds: Of a complete entry.
        metrics: The readings of its metrics, with notes of their own.
        machines: Descriptions of the machines that entries were timed on, by letter.
    """
    if seeds < LEAST_SEEDS:
        yield f"{seeds} seed: no tiers and no intervals, since another seed would give another student"
    yield from _pairing_note(rows)
    yield from _tier_note(rows)
    yield from _speed_notes(rows, machines)
    yield from dict.fromkeys(visible(metric.note) for metric in metrics if metric.note)


def _pairing_note(rows: Sequence[Row]) -> Iterator[str]:
    names: dict[int, list[str]] = {}
    for row in rows:
        if row.pairing is not None:
            names.setdefault(row.pairing, []).append(row.attribution)
    if len(names) > 1:
        sets = "; ".join(f"({number}) {', '.join(members)}" for number, members in names.items())
        reason = "compared unpaired because they ran different seeds, teachers or test examples"
        yield visible(f"{reason}: entries of different sets of {sets}", LONGEST_NOTE)


def _tier_note(rows: Sequence[Row]) -> Iterator[str]:
    if names := [row.attribution for row in _above_their_rank(rows)]:
        yield visible(
            f"{', '.join(names)}: varies so much that it is not significantly worse than its tier's best entry, "
            "although others with a better mean are; tiers show this, ranks do not",
            LONGEST_NOTE,
        )


def _above_their_rank(rows: Sequence[Row]) -> Iterator[Row]:
    """Entries in a better tier than one that is ranked above them."""
    worst = 1
    for row in rows:
        if row.place and row.place.tier is not None:
            if row.place.tier < worst:
                yield row
            worst = max(worst, row.place.tier)


def _speed_notes(rows: Sequence[Row], machines: Mapping[str, str]) -> Iterator[str]:
    if not machines:
        yield "not timed: only parameters and MACs are known, which are no measure of speed"
        return
    described = "; ".join(f"{letter}: {text}" for letter, text in machines.items())
    yield f"latency: of one input, eager PyTorch, one thread; ranked only within one machine ({described})"
    if any(row.speed is None for row in rows):
        yield "entries without a latency were not timed: parameters and MACs are no measure of speed"
