"""One metric of one row of a table: its values over seeds and test items, and what can be said of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distillbench.bench.statistics import Interval, Ratio, crossed_interval, mean_interval, ratio_interval
from distillbench.bench.store.records import Record

Split = Literal["test", "held_out"]


@dataclass(frozen=True)
class Estimate:
    """interval: over seeds and, where there are per-item results, over ``items`` test items. seeds: seeds alone."""

    interval: Interval
    seeds: Interval
    items: int


@dataclass(frozen=True)
class Series:
    """values: one a seed. items: (seeds, items) with the items' names, or None where there are no per-item results."""

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    names: tuple[str, ...] = ()
    items: NDArray[np.float64] | None = None

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(seeds, items), or (seeds, 1) where there are no per-item results."""
        return np.array(self.values)[:, None] if self.items is None else self.items

    def estimate(self) -> Estimate:
        seeds = mean_interval(self.values)
        if self.items is None:
            return Estimate(seeds, seeds, 0)
        return Estimate(crossed_interval(self.items), seeds, len(self.names))

    def minus(self, other: Series) -> Series | None:
        """The differences, paired by seed over the seeds that both have, and by item; None where there are none."""
        seeds = tuple(seed for seed in self.seeds if seed in other.seeds)
        if not seeds:
            return None
        mine, its = ([series.seeds.index(seed) for seed in seeds] for series in (self, other))
        values = tuple(self.values[i] - other.values[j] for i, j in zip(mine, its, strict=True))
        if self.items is None or other.items is None or self.names != other.names:
            return Series(seeds, values)
        return Series(seeds, values, self.names, self.items[mine] - other.items[its])

    def over(self, other: Series) -> Ratio | None:
        """The ratio of the means, paired likewise; None where the denominator may be zero."""
        seeds = tuple(seed for seed in self.seeds if seed in other.seeds)
        if not seeds or (self.items is None) != (other.items is None):
            return None
        mine, its = ([series.seeds.index(seed) for seed in seeds] for series in (self, other))
        return ratio_interval(self.matrix[mine], other.matrix[its])


def series_of(records: Mapping[int, Record], metric: str, split: Split = "test") -> Series | None:
    """The series of a metric from {seed: record}; None where no record has it on this split.

    Items are known of the split that a record's metrics are of: test, or that of trials, held-out.
    """
    found = {seed: r for seed, r in sorted(records.items()) if metric in r.metrics and r.split == split}
    if not found:
        held_out = {seed: r.held_out[metric] for seed, r in sorted(records.items()) if metric in r.held_out}
        return Series(tuple(held_out), tuple(held_out.values())) if held_out and split == "held_out" else None
    seeds, values = tuple(found), tuple(r.metrics[metric].value for r in found.values())
    names = {r.item_names for r in found.values()}
    if len(names) > 1 or any(metric not in r.items for r in found.values()):
        return Series(seeds, values)
    return Series(seeds, values, names.pop(), np.array([r.items[metric] for r in found.values()]))


def beats_all(name: str, series: Mapping[str, Series], sign: int) -> bool:
    """Whether one row is better than every other, each time outside the interval of the paired difference.

    All of the comparisons must hold, so that none needs to be corrected for their number (Berger 1982).
    """
    mine = series[name]
    others: Iterable[Series] = (other for key, other in series.items() if key != name)
    differences = [d.estimate().interval if (d := mine.minus(other)) else None for other in others]
    return bool(differences) and all(d is not None and d.excludes_zero and sign * d.mean > 0 for d in differences)
