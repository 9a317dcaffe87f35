"""Metrics compared: the difference of two cells over seeds and test examples, against a margin."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from functools import partial

from distillbench.bench.analysis.series import Estimate, Series, series_of
from distillbench.bench.compare.correction import Comparison, p_beyond
from distillbench.bench.compare.findings import POSITION, Change, Finding, differing_field
from distillbench.bench.compare.margins import Margins
from distillbench.bench.statistics import Interval, difference_verdict, unpaired_difference
from distillbench.bench.store.configurations import Group
from distillbench.bench.store.records import Record

LEAST_SEEDS = 2
"""On each side: one seed says nothing about another one, however many test examples it was measured on."""


def compare_metrics(
    cell: str, old: Group, new: Group, margins: Margins, metrics: Sequence[str]
) -> Iterator[Comparison]:
    """Comparisons of a cell's metrics.

    Args:
        cell: The name of the cell.
        old: The baseline's records, one at least finished.
        new: The candidate's records, one at least finished.
        margins: How much worse the candidate may be.
        metrics: Names of metrics, or 'all'; empty for the primary metric.
    """
    first, second = next(iter(old.finished.values())), next(iter(new.finished.values()))
    for metric in _selected(first, metrics):
        if reason := _incomparable(first, second, metric):
            yield Comparison(Finding(cell, metric, "incomparable", reason))
        else:
            yield _compare_metric(cell, old, new, metric, margins)


def _selected(record: Record, metrics: Sequence[str]) -> list[str]:
    if "all" in metrics:
        return list(record.metrics)
    return [metric for metric in metrics or [record.primary_metric] if metric in record.metrics]


def _incomparable(old: Record, new: Record, metric: str) -> str:
    """The first field by which two values of a metric measure different things; '' without one."""
    fields = {
        "config.data": (old.config.get("data"), new.config.get("data")),
        "split": (old.split, new.split),
        "primary_metric": (old.primary_metric, new.primary_metric),
    }
    if metric in new.metrics:
        before, after = old.metrics[metric], new.metrics[metric]
        fields |= {"direction": (before.direction, after.direction), "unit": (before.unit, after.unit)}
        fields["compared"] = (before.compared, after.compared)
    return next((differing_field(name, *values) for name, values in fields.items() if values[0] != values[1]), "")


def _compare_metric(cell: str, old: Group, new: Group, metric: str, margins: Margins) -> Comparison:
    reading = next(record.metrics[metric] for record in old.finished.values() if metric in record.metrics)
    split = next(iter(old.finished.values())).split
    before, after = (series_of(side.finished, metric, split) for side in (old, new))
    if before is None or after is None:
        return Comparison(Finding(cell, metric, "missing", "not measured in the candidate", unit=reading.unit))
    difference, seeds = _difference(before, after)
    means = [_mean(side, seeds) for side in (before, after)]
    shown = Estimate(difference, difference, 0, reading.compared).shown
    change = Change(reading.compared, shown.value, shown.low, shown.high)
    finding = partial(Finding, cell, metric, baseline=means[0], candidate=means[1], unit=reading.unit, change=change)
    digits, unit = reading.decimals, reading.unit and f" {reading.unit}"
    form = "×{:.3f}" if reading.compared == "ratio" else f"{{:+.{digits}f}}"
    text = f"{means[0]:.{digits}f} -> {means[1]:.{digits}f}{unit}, {form.format(shown.value)}"
    if seeds and _bit_identical(before, after):
        return Comparison(finding("pass", f"{text}: bit-identical"))
    if lack := _lack_of_seeds(before, after, seeds):
        return Comparison(finding("inconclusive", f"{text}: {lack}"))
    margin = margins.of_metric(metric, means[0], means[1] if reading.compared == "ratio" else None)
    outcome = difference_verdict(difference, margin, reading.direction)
    reason = f"{text} [{form.format(shown.low)}, {form.format(shown.high)}], {POSITION[outcome]} the margin of "
    reason += f"×{math.exp(margin):.3f}" if reading.compared == "ratio" else f"{margin:.{digits + 1}f}"
    reason += "" if seeds else f", unpaired: fewer than {LEAST_SEEDS} seeds in common"
    return Comparison(finding(outcome, reason), p_beyond(difference, margin))


def _difference(before: Series, after: Series) -> tuple[Interval, tuple[int, ...]]:
    """Candidate − baseline, and the seeds it is paired by: none where too few are shared but each side has enough."""
    paired = after.minus(before)
    if paired and (len(paired.seeds) >= LEAST_SEEDS or min(len(before.seeds), len(after.seeds)) < LEAST_SEEDS):
        return paired.estimate().interval, paired.seeds
    return unpaired_difference(after.values, before.values), ()


def _mean(series: Series, seeds: Collection[int]) -> float:
    """The mean, or geometric mean, over these seeds, or over all where there are none."""
    values = [value for seed, value in zip(series.seeds, series.values, strict=True) if not seeds or seed in seeds]
    mean = math.fsum(values) / len(values)
    return math.exp(mean) if series.compared == "ratio" else mean


def _bit_identical(before: Series, after: Series) -> bool:
    """Whether the shared seeds have the same values, of each test example too where these are stored."""
    difference = after.minus(before)
    return difference is not None and not any(difference.values) and not difference.matrix.any()


def _lack_of_seeds(before: Series, after: Series, seeds: Collection[int]) -> str:
    count = len(seeds) or min(len(before.seeds), len(after.seeds))
    if count >= LEAST_SEEDS:
        return ""
    return f"only {count} seed {'in common' if seeds else 'on one side'} (at least {LEAST_SEEDS} needed)"
