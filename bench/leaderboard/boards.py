"""Entries -> boards: what may be compared stands together, each entry with its place or the reason why it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from distillbench.bench.analysis.notes import ratio_notes
from distillbench.bench.analysis.series import Series, series_of
from distillbench.bench.leaderboard.entries import ContributedFolder, Entry, board_config, teachers_and_baselines
from distillbench.bench.leaderboard.model import Board, Row, Speed
from distillbench.bench.leaderboard.ranks import LEAST_SEEDS, CompleteEntry, Ranking, rank, unbeaten
from distillbench.bench.leaderboard.rows import entry_names, entry_row, how_read, reading, texts, times_scratch
from distillbench.bench.leaderboard.speed import Machines, speeds
from distillbench.bench.statistics import pareto_front
from distillbench.bench.store.configurations import differences, flat, order
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import MetricValue
from distillbench.common.text import LONGEST_NOTE, listed, visible


@dataclass(frozen=True)
class RankedBoard:
    """A board with the ranks that its entries may have had.

    Attributes:
        board: As it is published.
        ranked: Its ranked rows.
        draws: Ranks (resamples, entries), in the order of ``ranked``.
    """

    board: Board
    ranked: tuple[Row, ...]
    draws: NDArray[Any]


@dataclass(frozen=True)
class EntryGroup:
    """The entries of one board.

    Attributes:
        task: The task's name.
        pair: The teacher-student pair's name.
        config: What the entries share, with how the primary metric is read.
        reading: How the primary metric is read.
        primary_metric: The metric that ranks.
        entries: Each with one finished seed at least.
    """

    task: str
    pair: str
    config: Mapping[str, Any]
    reading: MetricValue
    primary_metric: str
    entries: tuple[Entry, ...]

    @property
    def key(self) -> str:
        """The hash of all that the entries share."""
        return canonical_hash([self.task, self.pair, self.config])

    @property
    def methods(self) -> list[Entry]:
        """The entries that are ranked, where they are complete."""
        return [entry for entry in self.entries if not entry.control]

    @property
    def controls(self) -> list[Entry]:
        """The controls, scratch first."""
        controls = [entry for entry in self.entries if entry.control]
        return sorted(controls, key=lambda entry: (order("student", True, entry.label), entry.contributor, entry.id))

    @property
    def sign(self) -> int:
        """1 where higher values of the primary metric are better, else −1."""
        return 1 if self.reading.direction == "higher" else -1


def boards(
    entries: Sequence[Entry], folders: Sequence[ContributedFolder], seeds: int | None = None
) -> tuple[list[RankedBoard], list[str]]:
    """Divide entries into boards and rank each.

    Args:
        entries: Of all folders.
        folders: For teachers, baselines and timings.
        seeds: That a complete entry has at least; None for as many as the board's most.

    Returns:
        Every board, by task and pair, and a line for each entry without a finished seed.
    """
    finished = [entry for entry in entries if entry.finished]
    unfinished = [_unfinished(entry) for entry in entries if not entry.finished]
    groups = _groups(finished)
    ranked = [_board(group, folders, seeds) for group in groups]
    versions = _versions(groups)
    return [_with_version(board, version) for board, version in zip(ranked, versions, strict=True)], unfinished


def _unfinished(entry: Entry) -> str:
    first = entry.records[0]
    reason = first.failure.reason if first.failure else "not finished"
    return visible(f"{entry.contributor}: {first.name}: no seed finished ({reason})")


def _groups(entries: Sequence[Entry]) -> list[EntryGroup]:
    members: dict[str, list[Entry]] = {}
    groups: dict[str, EntryGroup] = {}
    for entry in entries:
        group = _group_of(entry)
        members.setdefault(group.key, []).append(entry)
        groups.setdefault(group.key, group)
    complete = (replace(group, entries=tuple(members[key])) for key, group in groups.items())
    return sorted(complete, key=lambda group: (group.task, group.pair, group.key))


def _group_of(entry: Entry) -> EntryGroup:
    """The group that an entry belongs to, still without entries."""
    first = next(iter(entry.finished.values()))
    metric = first.metrics[first.primary_metric]
    config = board_config(first.config) | {"primary_metric": first.primary_metric} | how_read(metric)
    return EntryGroup(first.task, first.pair, config, metric, first.primary_metric, ())


def _versions(groups: Sequence[EntryGroup]) -> list[str]:
    """What distinguishes each group from others of its task and pair."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault((group.task, group.pair), []).append(place)
    versions = [""] * len(groups)
    for equal in places.values():
        for place, text in zip(equal, differences([groups[i].config for i in equal]), strict=True):
            versions[place] = text
    return versions


def _with_version(ranked: RankedBoard, version: str) -> RankedBoard:
    return replace(ranked, board=ranked.board.model_copy(update={"version": visible(version)}))


def _board(group: EntryGroup, folders: Sequence[ContributedFolder], least_seeds: int | None) -> RankedBoard:
    series = _series(group)
    ranked_ones = [entry for entry in group.methods if entry in series] or list(series)
    seeds = least_seeds or max(len(series[entry].seeds) for entry in ranked_ones)
    complete = _complete_entries(group, series, seeds)
    ranking = rank(complete, group.sign)
    others = teachers_and_baselines(group.task, group.pair, group.config, group.entries, folders)
    metrics = _metrics(group, [*series, *others])
    speed_of, machines = _speeds(group, others, folders)
    places = _places(group, series, complete, ranking, seeds)
    rows = _entry_rows(group, places, speed_of, metrics)
    ranked = _with_front(rows[: len(complete)], group)
    rows[: len(complete)] = ranked
    controls = [CompleteEntry(entry, series[entry]) for entry in group.controls if entry in series]
    as_good = unbeaten(complete, controls, group.sign)
    board = Board(
        key=group.key,
        task=visible(group.task),
        pair=visible(group.pair),
        settings=texts(flat(group.config)),
        primary_metric=visible(group.primary_metric),
        metrics={visible(name): reading(metric) for name, metric in metrics.items()},
        seeds=seeds,
        examples=max((len(values.example_names) for values in series.values()), default=0),
        machines=machines,
        rows=(*rows, *(entry_row(entry, entry.label, metrics) for entry in others)),
        notes=(
            *_control_note([row for row, entry in zip(rows, places, strict=True) if entry in as_good], rows),
            *_board_notes(rows, seeds, metrics, machines),
        ),
    )
    return RankedBoard(board, tuple(ranked), ranking.draws)


def _speeds(
    group: EntryGroup, others: Sequence[Entry], folders: Sequence[ContributedFolder]
) -> tuple[dict[Entry, Speed], Machines]:
    teachers = [entry for entry in others if entry.records[0].kind == "teacher"]
    timings = [timing for folder in folders for timing in folder.timings]
    return speeds(group.entries, teachers, timings, str(group.config.get("device")))


def _entry_rows(
    group: EntryGroup,
    places: Mapping[Entry, Mapping[str, Any]],
    speed_of: Mapping[Entry, Speed],
    metrics: Mapping[str, MetricValue],
) -> list[Row]:
    """The rows of entries, in the order of ``places``."""
    names, tries = entry_names(group.entries), Counter(entry.label for entry in group.entries)
    rows = []
    for entry, place in places.items():
        details = {
            "speed": speed_of.get(entry),
            "times_scratch": times_scratch(entry, group.entries),
            "submissions": tries[entry.label],
        }
        rows.append(entry_row(entry, names[entry], metrics).model_copy(update={**place, **details}))
    return rows


def _series(group: EntryGroup) -> dict[Entry, Series]:
    """The primary metric of each entry that has it."""
    values = {entry: series_of(entry.finished, group.primary_metric) for entry in group.entries}
    return {entry: series for entry, series in values.items() if series is not None}


def _complete_entries(group: EntryGroup, series: Mapping[Entry, Series], seeds: int) -> list[CompleteEntry]:
    """The entries with as many seeds, the best first."""
    return sorted(
        (
            CompleteEntry(entry, series[entry])
            for entry in group.methods
            if entry in series and len(series[entry].seeds) >= seeds
        ),
        key=lambda complete: (-group.sign * complete.mean, complete.entry.contributor, complete.entry.id),
    )


def _places(
    group: EntryGroup,
    series: Mapping[Entry, Series],
    complete: Sequence[CompleteEntry],
    ranking: Ranking,
    seeds: int,
) -> dict[Entry, dict[str, Any]]:
    """A row's fields of its place, of ranked entries by rank, then of the others, then of controls."""
    pairings = {key: number for number, key in enumerate(dict.fromkeys(ranked.pairing for ranked in complete), 1)}
    places: dict[Entry, dict[str, Any]] = {
        ranked.entry: {"place": place, "pairing": pairings[ranked.pairing]}
        for ranked, place in zip(complete, ranking.places, strict=True)
    }
    incomplete = (entry for entry in group.methods if entry not in places)
    for entry in sorted(incomplete, key=lambda entry: (entry.contributor, entry.label, entry.id)):
        places[entry] = {"unranked": _why_unranked(entry, series.get(entry), seeds)}
    return places | {entry: {} for entry in group.controls}


def _why_unranked(entry: Entry, series: Series | None, seeds: int) -> str:
    failed = len(entry.records) - len(entry.finished)
    finished = len(series.seeds) if series else 0
    return f"{finished} of {seeds} seeds" + (f", {failed} failed" if failed else "")


def _with_front(rows: Sequence[Row], group: EntryGroup) -> list[Row]:
    """Rows that say whether they are on the Pareto front of size and primary metric."""
    scores = [group.sign * row.metrics[visible(group.primary_metric)].value for row in rows]
    on_front = pareto_front([row.parameters for row in rows], scores)
    return [row.model_copy(update={"pareto": on}) for row, on in zip(rows, on_front, strict=True)]


def _metrics(group: EntryGroup, entries: Sequence[Entry]) -> dict[str, MetricValue]:
    """How each metric is read, the primary metric first; the first record decides where some read it differently."""
    metrics = {visible(group.primary_metric): (group.primary_metric, group.reading)}
    for name, metric in _all_metrics(entries):
        metrics.setdefault(visible(name), (name, metric))
    return dict(metrics.values())


def _all_metrics(entries: Sequence[Entry]) -> Iterator[tuple[str, MetricValue]]:
    for entry in entries:
        for record in entry.finished.values():
            yield from record.metrics.items()


def _board_notes(
    rows: Sequence[Row], seeds: int, metrics: Mapping[str, MetricValue], machines: Mapping[str, str]
) -> Iterator[str]:
    """The notes of one board.

    Args:
        rows: Its entries, ranked ones first.
        seeds: Of a complete entry.
        metrics: The readings of its metrics by name, with notes of their own.
        machines: Descriptions of the machines that entries were timed on, by letter.
    """
    if seeds < LEAST_SEEDS:
        yield f"{seeds} seed: no tiers and no intervals, since another seed would give another student"
    yield from _pairing_note(rows)
    yield from _tier_note(rows)
    yield from map(visible, ratio_notes(metrics))
    yield from _speed_notes(rows, machines)
    yield from dict.fromkeys(visible(metric.note) for metric in metrics.values() if metric.note)


def _pairing_note(rows: Sequence[Row]) -> Iterator[str]:
    names: dict[int, list[str]] = {}
    for row in rows:
        if row.pairing is not None:
            names.setdefault(row.pairing, []).append(row.attribution)
    if len(names) > 1:
        sets = "; ".join(f"({number}) {', '.join(members)}" for number, members in names.items())
        reason = "compared unpaired because they ran different seeds, teachers or test examples"
        yield visible(f"{reason}: entries of different sets of {sets}", LONGEST_NOTE)


def _control_note(controls: Sequence[Row], rows: Sequence[Row]) -> Iterator[str]:
    """controls: those that the first of the rows is not known to be better than."""
    if controls:
        names = f"the control{'s' * (len(controls) > 1)} {listed([row.attribution for row in controls])}"
        best = rows[0].attribution
        yield visible(f"the best entry, {best}, is not significantly better than {names}", LONGEST_NOTE)


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
