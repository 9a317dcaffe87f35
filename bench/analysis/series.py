"""One metric of one row of a table: its values over seeds and test examples, and what can be estimated from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distillbench.bench.statistics import (
    Interval,
    Ratio,
    crossed_interval,
    exponential_ratio,
    mean_interval,
    ratio_interval,
)
from distillbench.bench.store.records import Record
from distillbench.bench.store.terms import Compared

Split = Literal["test", "validation"]


def on_scale(values: Iterable[float], compared: Compared) -> tuple[float, ...]:
    """Values on the scale on which they are compared: as they are, or their logarithms."""
    return tuple(map(math.log, values)) if compared == "ratio" else tuple(values)


@dataclass(frozen=True)
class Estimate:
    """The mean of a metric, or of a difference of a metric, with its confidence intervals.

    The intervals are on the scale on which the metric is compared: of a ratio, of logarithms.
    """

    interval: Interval
    """Over seeds and, where there are per-example results, over test examples."""
    seed_interval: Interval
    """Over seeds alone."""
    examples: int
    """The number of test examples that the interval is over; 0 without per-example results."""
    compared: Compared = "difference"

    @classmethod
    def of(cls, values: Iterable[float], compared: Compared) -> Estimate:
        """The mean, or geometric mean, of independent values."""
        interval = mean_interval(on_scale(values, compared))
        return cls(interval, interval, 0, compared)

    @property
    def shown(self) -> Ratio:
        """The mean with its ends in the metric's unit; the geometric mean, or the factor, of what is a ratio."""
        return self._shown(self.interval)

    @property
    def shown_over_seeds(self) -> Ratio:
        """The same with the ends of the interval over seeds alone."""
        return self._shown(self.seed_interval)

    def _shown(self, interval: Interval) -> Ratio:
        ends = interval.mean, interval.mean - interval.half_width, interval.mean + interval.half_width
        return exponential_ratio(*ends) if self.compared == "ratio" else Ratio(*ends)


@dataclass(frozen=True)
class Series:
    """A metric, or a difference of a metric, for each seed, on the scale on which the metric is compared."""

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    """One a seed; logarithms of what is compared as a ratio."""
    example_names: tuple[str, ...] = ()
    """One a test example; empty without per-example results."""
    examples: NDArray[np.float64] | None = None
    """Per-example results, (seeds, examples); None where there are none."""
    compared: Compared = "difference"

    @property
    def shown(self) -> tuple[float, ...]:
        """The values in the metric's unit, or as factors."""
        return tuple(map(math.exp, self.values)) if self.compared == "ratio" else self.values

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(seeds, examples), or (seeds, 1) where there are no per-example results."""
        return np.array(self.values)[:, None] if self.examples is None else self.examples

    def estimate(self) -> Estimate:
        """Estimate the mean with its confidence intervals."""
        over_seeds = mean_interval(self.values)
        if self.examples is None:
            return Estimate(over_seeds, over_seeds, 0, self.compared)
        return Estimate(crossed_interval(self.examples), over_seeds, len(self.example_names), self.compared)

    def minus(self, other: Series) -> Series | None:
        """Subtract another series, paired by seed and, where both have the same test examples, by example.

        Args:
            other: A series of the same metric.

        Returns:
            The differences over the seeds that both have; None where there are none.
        """
        seeds = _common_seeds(self, other)
        if not seeds:
            return None
        rows, other_rows = self._rows(seeds), other._rows(seeds)
        values = tuple(self.values[i] - other.values[j] for i, j in zip(rows, other_rows, strict=True))
        if self.examples is None or other.examples is None or self.example_names != other.example_names:
            return Series(seeds, values, compared=self.compared)
        examples = self.examples[rows] - other.examples[other_rows]
        return Series(seeds, values, self.example_names, examples, self.compared)

    def ratio_to(self, other: Series) -> Ratio | None:
        """Divide the mean, on the scale of comparison, by that of another series, paired by seed and test example.

        Args:
            other: The denominator.

        Returns:
            The ratio with its interval; None where the denominator may be zero, no seed is in both, or only one has
            per-example results.
        """
        seeds = _common_seeds(self, other)
        if not seeds or (self.examples is None) != (other.examples is None):
            return None
        return ratio_interval(self.matrix[self._rows(seeds)], other.matrix[other._rows(seeds)])

    def _rows(self, seeds: Sequence[int]) -> list[int]:
        return [self.seeds.index(seed) for seed in seeds]


def _common_seeds(first: Series, second: Series) -> tuple[int, ...]:
    return tuple(seed for seed in first.seeds if seed in second.seeds)


def series_of(records: Mapping[int, Record], metric: str, split: Split = "test") -> Series | None:
    """Collect a metric over seeds.

    Per-example results are of the split that a record's metrics are of: test, or that of trials, validation.

    Args:
        records: The records of one configuration, by seed.
        metric: The name of the metric.
        split: Where the metric was measured.

    Returns:
        The series; None where no record has the metric on this split.
    """
    readings = [r.metrics[metric] for r in records.values() if metric in r.metrics]
    compared: Compared = readings[0].compared if readings else "difference"
    measured = {seed: r for seed, r in sorted(records.items()) if metric in r.metrics and r.split == split}
    if not measured:
        return _validation_series(records, metric, compared) if split == "validation" else None
    seeds, values = tuple(measured), on_scale((r.metrics[metric].value for r in measured.values()), compared)
    names = {r.example_names for r in measured.values()}
    if len(names) > 1 or any(metric not in r.examples for r in measured.values()):
        return Series(seeds, values, compared=compared)
    return Series(seeds, values, names.pop(), np.array([r.examples[metric] for r in measured.values()]))


def _validation_series(records: Mapping[int, Record], metric: str, compared: Compared) -> Series | None:
    """From the validation metrics that each record has beside its test metrics."""
    values = {seed: r.validation[metric] for seed, r in sorted(records.items()) if metric in r.validation}
    return Series(tuple(values), on_scale(values.values(), compared), compared=compared) if values else None


def beats_all(name: str, series: Mapping[str, Series], sign: int) -> bool:
    """Tell whether one row is better than every other, each time outside the interval of the paired difference.

    All of the comparisons must hold, so that none needs to be corrected for their number (Berger 1982).

    Args:
        name: The row.
        series: The primary metric by row.
        sign: 1 where higher is better, else −1.
    """
    return len(series) > 1 and all(beats(series[name], series[other], sign) for other in series if other != name)


def beats(first: Series, second: Series, sign: int) -> bool:
    """Tell whether one series is better than another, outside the interval of the paired difference.

    Args:
        first: Of the primary metric.
        second: Of the same metric.
        sign: 1 where higher is better, else −1.
    """
    difference = first.minus(second)
    if difference is None:
        return False
    interval = difference.estimate().interval
    return interval.excludes_zero and sign * interval.mean > 0
