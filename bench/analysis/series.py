"""One metric of one row of a table: its values over seeds and test examples, and what can be said of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distillbench.bench.statistics import Interval, Ratio, crossed_interval, mean_interval, ratio_interval
from distillbench.bench.store.records import Record

Split = Literal["test", "validation"]


@dataclass(frozen=True)
class Estimate:
    """interval: over seeds and, where there are per-example results, over ``examples`` test examples. seeds: seeds
    alone.
    """

    interval: Interval
    seed_interval: Interval
    examples: int


@dataclass(frozen=True)
class Series:
    """values: one a seed. examples: (seeds, examples) with the examples' names, or None where there are no per-example
    results.
    """

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    example_names: tuple[str, ...] = ()
    examples: NDArray[np.float64] | None = None

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(seeds, examples), or (seeds, 1) where there are no per-example results."""
        return np.array(self.values)[:, None] if self.examples is None else self.examples

    def estimate(self) -> Estimate:
        seeds = mean_interval(self.values)
        if self.examples is None:
            return Estimate(seeds, seeds, 0)
        return Estimate(crossed_interval(self.examples), seeds, len(self.example_names))

    def minus(self, other: Series) -> Series | None:
        """The differences, paired by seed over the seeds that both have, and by item; None where there are none."""
        seeds = tuple(seed for seed in self.seeds if seed in other.seeds)
        if not seeds:
            return None
        mine, its = ([series.seeds.index(seed) for seed in seeds] for series in (self, other))
        values = tuple(self.values[i] - other.values[j] for i, j in zip(mine, its, strict=True))
        if self.examples is None or other.examples is None or self.example_names != other.example_names:
            return Series(seeds, values)
        return Series(seeds, values, self.example_names, self.examples[mine] - other.examples[its])

    def ratio_to(self, other: Series) -> Ratio | None:
        """The ratio of the means, paired likewise; None where the denominator may be zero."""
        seeds = tuple(seed for seed in self.seeds if seed in other.seeds)
        if not seeds or (self.examples is None) != (other.examples is None):
            return None
        mine, its = ([series.seeds.index(seed) for seed in seeds] for series in (self, other))
        return ratio_interval(self.matrix[mine], other.matrix[its])


def series_of(records: Mapping[int, Record], metric: str, split: Split = "test") -> Series | None:
    """The series of a metric from {seed: record}; None where no record has it on this split.

    Items are known of the split that a record's metrics are of: test, or that of trials, validation.
    """
    found = {seed: r for seed, r in sorted(records.items()) if metric in r.metrics and r.split == split}
    if not found:
        validation = {seed: r.validation[metric] for seed, r in sorted(records.items()) if metric in r.validation}
        return Series(tuple(validation), tuple(validation.values())) if validation and split == "validation" else None
    seeds, values = tuple(found), tuple(r.metrics[metric].value for r in found.values())
    names = {r.example_names for r in found.values()}
    if len(names) > 1 or any(metric not in r.examples for r in found.values()):
        return Series(seeds, values)
    return Series(seeds, values, names.pop(), np.array([r.examples[metric] for r in found.values()]))


def beats_all(name: str, series: Mapping[str, Series], sign: int) -> bool:
    """Whether one row is better than every other, each time outside the interval of the paired difference.

    All of the comparisons must hold, so that none needs to be corrected for their number (Berger 1982).
    """
    mine = series[name]
    others: Iterable[Series] = (other for key, other in series.items() if key != name)
    differences = [d.estimate().interval if (d := mine.minus(other)) else None for other in others]
    return bool(differences) and all(d is not None and d.excludes_zero and sign * d.mean > 0 for d in differences)
