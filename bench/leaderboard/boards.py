"""Entries -> boards: what may be compared stands together, each entry with its place or the reason why it has none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from distillbench.bench.analysis.series import Series, series_of
from distillbench.bench.leaderboard.entries import Entry, Folder, of_board
from distillbench.bench.leaderboard.model import Amount, Board, Reading, Row, tidy
from distillbench.bench.leaderboard.ranks import LEAST_SEEDS, Competitor, places
from distillbench.bench.leaderboard.speed import speeds
from distillbench.bench.statistics import mean_interval, pareto_front
from distillbench.bench.store.configurations import SCRATCH, differences, flat, plain
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import MetricValue, Record
from distillbench.common.text import LONGEST_NOTE, visible

MOST_SETTINGS = 200
"""So many settings of a board, or of a method, are kept."""


@dataclass(frozen=True)
class Drawn:
    """A board, and the ranks (resamples, entries) that its entries may have had. ranked: these, in that order."""

    board: Board
    ranked: tuple[Row, ...]
    draws: NDArray[Any]


@dataclass(frozen=True)
class Group:
    """The entries of one board. config: what they share, with how the primary metric is read."""

    task: str
    pair: str
    config: Mapping[str, Any]
    reading: MetricValue
    primary_metric: str
    entries: tuple[Entry, ...]

    @property
    def key(self) -> str:
        return canonical_hash([self.task, self.pair, self.config])

    @property
    def sign(self) -> int:
        return 1 if self.reading.direction == "higher" else -1


def boards(
    entries: Sequence[Entry], folders: Sequence[Folder], seeds: int | None = None
) -> tuple[list[Drawn], list[str]]:
    """Every board by its task and pair, and the entries that nothing is known of, in a line each.

    seeds: that a complete entry has at least; by default as many as the board's most.
    """
    groups, unknown = _groups(entries)
    found = [_board(group, folders, seeds) for group in groups]
    versions: dict[tuple[str, str], list[int]] = {}
    for place, group in enumerate(groups):
        versions.setdefault((group.task, group.pair), []).append(place)
    for its in versions.values():
        for place, text in zip(its, differences([groups[i].config for i in its]), strict=True):
            board = found[place].board.model_copy(update={"version": visible(text)})
            found[place] = replace(found[place], board=board)
    return found, unknown


def _groups(entries: Sequence[Entry]) -> tuple[list[Group], list[str]]:
    members: dict[str, list[Entry]] = {}
    about: dict[str, Group] = {}
    unknown = []
    for entry in entries:
        if not entry.finished:
            first = entry.records[0]
            reason = first.failure.reason if first.failure else "not finished"
            unknown.append(visible(f"{entry.contributor}: {first.name}: no seed finished ({reason})"))
            continue
        first = next(iter(entry.finished.values()))
        reading = first.metrics[first.primary_metric]
        read = {"primary_metric": first.primary_metric, "direction": reading.direction, "unit": reading.unit}
        group = Group(first.task, first.pair, of_board(first.config) | read, reading, first.primary_metric, ())
        members.setdefault(group.key, []).append(entry)
        about.setdefault(group.key, group)
    groups = [replace(about[key], entries=tuple(its)) for key, its in members.items()]
    return sorted(groups, key=lambda group: (group.task, group.pair, group.key)), unknown


def _board(group: Group, folders: Sequence[Folder], least: int | None) -> Drawn:
    series = {
        entry: found
        for entry in group.entries
        if (found := series_of(entry.finished, group.primary_metric)) is not None
    }
    seeds = least or max(len(its.seeds) for its in series.values())
    complete = {entry: its for entry, its in series.items() if len(its.seeds) >= seeds}
    competitors = sorted(
        (Competitor(entry, its) for entry, its in complete.items()),
        key=lambda one: (-group.sign * one.mean, one.entry.contributor, one.entry.id),
    )
    placed = places(competitors, group.sign)
    place_of = {one.entry: place for one, place in zip(competitors, placed.places, strict=True)}
    beside = _beside(group, folders)
    metrics = _metrics(group, [*series, *beside])
    device = str(group.config.get("device"))
    teachers = [entry for entry in beside if entry.records[0].kind == "teacher"]
    every = [timing for folder in folders for timing in folder.timings]
    speed_of, machines = speeds(group.entries, teachers, every, device)
    pairings = {ran: i for i, ran in enumerate(dict.fromkeys(one.ran for one in competitors), 1)}
    ran_of = {one.entry: pairings[one.ran] for one in competitors}
    names, tries = _names(group.entries), Counter(entry.label for entry in group.entries)
    others = [entry for entry in group.entries if entry not in place_of]
    rows = []
    for entry in [*(one.entry for one in competitors), *sorted(others, key=lambda e: (e.contributor, e.label, e.id))]:
        row = _row(entry, names[entry], metrics)
        update: dict[str, Any] = {
            "place": place_of.get(entry),
            "unranked": "" if entry in place_of else _why_not(entry, series.get(entry), seeds),
            "pairing": ran_of.get(entry),
            "speed": speed_of.get(entry),
            "times_scratch": _times_scratch(entry, group.entries),
            "submissions": tries[entry.label],
        }
        rows.append(row.model_copy(update=update))
    ranked = len(competitors)
    on_front = pareto_front(
        [row.parameters for row in rows[:ranked]],
        [group.sign * row.metrics[visible(group.primary_metric)].value for row in rows[:ranked]],
    )
    rows[:ranked] = [row.model_copy(update={"pareto": on}) for row, on in zip(rows[:ranked], on_front, strict=True)]
    board = Board(
        key=group.key,
        task=visible(group.task),
        pair=visible(group.pair),
        settings=_texts(flat(group.config)),
        primary_metric=visible(group.primary_metric),
        metrics={visible(name): _reading(metric) for name, metric in metrics.items()},
        seeds=seeds,
        examples=max((len(its.example_names) for its in series.values()), default=0),
        machines=machines,
        rows=(*rows, *(_row(entry, entry.label, metrics) for entry in beside)),
        notes=tuple(_notes(rows, seeds, metrics, machines)),
    )
    return Drawn(board, tuple(rows[:ranked]), placed.draws)


def _notes(
    rows: Sequence[Row], seeds: int, metrics: Mapping[str, MetricValue], machines: Mapping[str, str]
) -> Iterable[str]:
    """What a reader of this board must know."""
    ran: dict[int, list[str]] = {}
    for row in rows:
        if row.pairing is not None:
            ran.setdefault(row.pairing, []).append(f"{row.contributor}'s {row.name}")
    if seeds < LEAST_SEEDS:
        yield f"{seeds} seed: no classes and no intervals, for another seed would be another student"
    if len(ran) > 1:
        sets = "; ".join(f"({i}) {', '.join(names)}" for i, names in ran.items())
        yield visible(
            "compared unpaired, for they ran other seeds, teachers or test examples: "
            f"entries of different sets of {sets}",
            LONGEST_NOTE,
        )
    if wide := [f"{row.contributor}'s {row.name}" for row in _out_of_order(rows)]:
        yield visible(
            f"{', '.join(wide)}: varies so much that it is not known to be worse than its class's best, though others "
            "with a better mean are; their classes say so, their ranks do not",
            LONGEST_NOTE,
        )
    if not machines:
        yield "not timed: parameters and MACs are what is known, and they are no speed"
    else:
        told = "; ".join(f"{letter}: {text}" for letter, text in machines.items())
        yield f"latency: of one input, eager PyTorch, one thread; ranked within one machine alone ({told})"
        if any(row.speed is None for row in rows):
            yield "where no latency stands it was not timed: parameters and MACs are no speed"
    yield from dict.fromkeys(visible(metric.note) for metric in metrics.values() if metric.note)


def _out_of_order(rows: Sequence[Row]) -> Iterable[Row]:
    """Entries in a better class than one that is ranked above them."""
    worst = 1
    for row in rows:
        if row.place and row.place.in_class is not None:
            if row.place.in_class < worst:
                yield row
            worst = max(worst, row.place.in_class)


def _why_not(entry: Entry, series: Series | None, seeds: int) -> str:
    failed = len(entry.records) - len(entry.finished)
    there = len(series.seeds) if series else 0
    return f"{there} of {seeds} seeds" + (f", {failed} failed" if failed else "")


def _row(entry: Entry, name: str, metrics: Mapping[str, MetricValue]) -> Row:
    finished = list(entry.finished.values())
    first = finished[0]
    size = next((record.size for record in finished if record.size), None)
    trained = [record.training for record in finished if record.training]
    return Row(
        id=entry.id,
        kind=first.kind,
        contributor=entry.contributor,
        folders=entry.folders,
        label=visible(entry.label),
        name=visible(name),
        official=first.kind == "student" and entry.official,
        hyperparameters=_texts(flat(entry.config.get("hyperparameters") or {})),
        seeds=len(finished),
        failed=len(entry.records) - len(finished),
        metrics={
            visible(metric): Amount.of(its.estimate().interval)
            for metric, reading in metrics.items()
            if all(_alike(record.metrics.get(metric), reading) for record in finished)
            and (its := series_of(entry.finished, metric)) is not None
        },
        parameters=size.parameters if size else None,
        macs=size.macs if size else None,
        training=Amount.of(mean_interval([one.seconds for one in trained])) if trained else None,
        steps=max((one.steps for one in trained), default=None),
    )


def _metrics(group: Group, entries: Iterable[Entry]) -> dict[str, MetricValue]:
    """How each metric is read, the primary metric first; by who comes first where some read it otherwise."""
    found = {visible(group.primary_metric): (group.primary_metric, group.reading)}
    for entry in entries:
        for record in entry.finished.values():
            for name, metric in record.metrics.items():
                found.setdefault(visible(name), (name, metric))
    return dict(found.values())


def _alike(metric: MetricValue | None, reading: MetricValue) -> bool:
    return metric is None or (metric.direction, metric.unit) == (reading.direction, reading.unit)


def _reading(metric: MetricValue) -> Reading:
    decimals = min(max(metric.decimals, 0), 9)
    return Reading(direction=metric.direction, unit=visible(metric.unit, 40), decimals=decimals)


def _names(entries: Sequence[Entry]) -> dict[Entry, str]:
    """The label, with what tells an entry from others of its label and contributor."""
    same: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        same.setdefault((entry.contributor, entry.label), []).append(entry)
    return {
        entry: f"{entry.label} ({text})" if text else entry.label
        for its in same.values()
        for entry, text in zip(its, differences([entry.config for entry in its]), strict=True)
    }


def _times_scratch(entry: Entry, entries: Sequence[Entry]) -> float | None:
    """Its seconds of training over those of its contributor's scratch with the same network, of the seeds of both."""
    mine = _seconds(entry)
    network = _network(entry)
    for other in entries:
        if other.label == SCRATCH and entry.contributor in other.folders and _network(other) == network:
            both = mine.keys() & (its := _seconds(other)).keys()
            below = math.fsum(its[seed] for seed in both)
            return tidy(math.fsum(mine[seed] for seed in both) / below) if below > 0 else None
    return None


def _seconds(entry: Entry) -> dict[int, float]:
    return {seed: record.training.seconds for seed, record in entry.finished.items() if record.training}


def _network(entry: Entry) -> object:
    return entry.config["settings"].get("student", {}).get("network")


def _beside(group: Group, folders: Sequence[Folder]) -> list[Entry]:
    """The teachers that the entries had, and the baselines of their task: equal ones once."""
    teachers = {str(record.config.get("teacher")) for entry in group.entries for record in entry.finished.values()}
    found: dict[tuple[str, str], Entry] = {}
    for folder in folders:
        mine: dict[tuple[str, str], list[Record]] = {}
        for record in folder.records:
            its_own = record.kind == "teacher" and record.config_hash in teachers
            if record.status == "finished" and (record.task, record.pair) == (group.task, group.pair):
                if its_own:
                    mine.setdefault(("teacher", "teacher"), []).append(record)
                elif record.kind == "baseline" and _is_baseline_of(record, group.config):
                    mine.setdefault(("baseline", record.label), []).append(record)
        for (kind, label), records in mine.items():
            config = {key: value for key, value in records[0].config.items() if key != "seed"}
            entry = Entry((folder.contributor,), label, config, tuple(sorted(records, key=lambda r: r.seed)))
            key = kind, canonical_hash(sorted(entry.results))
            known = found.get(key)
            found[key] = replace(known, folders=(*known.folders, folder.contributor)) if known else entry
    return sorted(found.values(), key=lambda e: (e.records[0].kind != "teacher", e.label, e.contributor))


def _is_baseline_of(record: Record, config: Mapping[str, Any]) -> bool:
    """Whether a reference is of the board's task, code, data and settings: it has none of the networks."""
    shared = {key: value for key, value in record.config.items() if key not in ("role", "baseline", "settings")}
    return all(config.get(key) == value for key, value in shared.items()) and all(
        config["settings"].get(key) == value for key, value in record.config["settings"].items()
    )


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {visible(name): visible(plain(value)) for name, value in sorted(values.items())[:MOST_SETTINGS] if name}
