"""Entries -> rows of a board: what an entry's records say, without its place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from distillbench.bench.analysis.series import series_of
from distillbench.bench.leaderboard.entries import Entry
from distillbench.bench.leaderboard.model import Amount, Reading, Row, tidy
from distillbench.bench.statistics import mean_interval
from distillbench.bench.store.configurations import SCRATCH, differences, flat, plain
from distillbench.bench.store.records import MetricValue, Record
from distillbench.common.text import visible

MOST_SETTINGS = 200
"""Settings of a board, or of a method, that are kept."""
LONGEST_UNIT = 40


def entry_row(entry: Entry, name: str, metrics: Mapping[str, MetricValue]) -> Row:
    """The row of an entry, a teacher or a baseline.

    Args:
        entry: With one finished seed at least.
        name: That distinguishes it from others of its label.
        metrics: How each metric of the board is read.

    Returns:
        A row without place, speed and costs relative to other entries.
    """
    finished = list(entry.finished.values())
    first = finished[0]
    size = next((record.size for record in finished if record.size), None)
    trainings = [record.training for record in finished if record.training]
    seconds = [training.seconds for training in trainings]
    return Row(
        id=entry.id,
        kind=first.kind,
        control=entry.control,
        contributor=entry.contributor,
        folders=entry.folders,
        label=visible(entry.label),
        name=visible(name),
        official=first.kind == "student" and entry.official,
        hyperparameters=texts(flat(entry.config.get("hyperparameters") or {})),
        seeds=len(finished),
        failed=len(entry.records) - len(finished),
        metrics=_amounts(entry, finished, metrics),
        parameters=size.parameters if size else None,
        macs=size.macs if size else None,
        training=Amount.of(mean_interval(seconds)) if seconds else None,
        steps=max((training.steps for training in trainings), default=None),
    )


def _amounts(entry: Entry, records: Sequence[Record], metrics: Mapping[str, MetricValue]) -> dict[str, Amount]:
    """Means over seeds of the metrics that all records read as the board does."""
    amounts = {}
    for name, metric in metrics.items():
        alike = all(_alike(record.metrics.get(name), metric) for record in records)
        if alike and (series := series_of(entry.finished, name)) is not None:
            amounts[visible(name)] = Amount.estimated(series.estimate())
    return amounts


def _alike(metric: MetricValue | None, of_board: MetricValue) -> bool:
    return metric is None or how_read(metric) == how_read(of_board)


def how_read(metric: MetricValue) -> dict[str, str]:
    """What must be equal for values of a metric to be compared."""
    return {"direction": metric.direction, "unit": metric.unit, "compared": metric.compared}


def reading(metric: MetricValue) -> Reading:
    """How a metric is read, its unit kept short."""
    fields = how_read(metric) | {"unit": visible(metric.unit, LONGEST_UNIT)}
    return Reading.model_validate(fields | {"decimals": metric.decimals})


def entry_names(entries: Sequence[Entry]) -> dict[Entry, str]:
    """Names of entries: the label, with what distinguishes an entry from others of its label and contributor."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.contributor, entry.label), []).append(entry)
    return {
        entry: f"{entry.label} ({text})" if text else entry.label
        for group in groups.values()
        for entry, text in zip(group, differences([entry.config for entry in group]), strict=True)
    }


def times_scratch(entry: Entry, entries: Sequence[Entry]) -> float | None:
    """The cost of distillation: seconds of training over those of scratch, on the seeds of both.

    Args:
        entry: The entry.
        entries: All entries of its board.

    Returns:
        The ratio to the same contributor's scratch with the same network; None without one.
    """
    scratch = next((other for other in entries if _is_scratch_of(entry, other)), None)
    if scratch is None:
        return None
    seconds, scratch_seconds = _seconds(entry), _seconds(scratch)
    seeds = seconds.keys() & scratch_seconds.keys()
    denominator = math.fsum(scratch_seconds[seed] for seed in seeds)
    return tidy(math.fsum(seconds[seed] for seed in seeds) / denominator) if denominator > 0 else None


def _is_scratch_of(entry: Entry, other: Entry) -> bool:
    return other.label == SCRATCH and entry.contributor in other.folders and _network(other) == _network(entry)


def _seconds(entry: Entry) -> dict[int, float]:
    return {seed: record.training.seconds for seed, record in entry.finished.items() if record.training}


def _network(entry: Entry) -> object:
    return entry.config["settings"].get("student", {}).get("network")


def texts(values: Mapping[str, object]) -> dict[str, str]:
    """Settings as text by name, sorted; of very many the first ones."""
    return {visible(name): visible(plain(value)) for name, value in sorted(values.items())[:MOST_SETTINGS] if name}
