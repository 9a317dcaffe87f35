"""Methods by their mean rank over all teacher-student pairs: an overview, and no test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from distillbench.bench.analysis.rows import Summary
from distillbench.bench.statistics import Interval, mean_interval


@dataclass(frozen=True)
class AverageRank:
    """The average rank of one method.

    Attributes:
        name: The method.
        interval: The mean of its ranks over all pairs (1 is the best), with an interval over seeds.
        pairs: How many teacher-student pairs were averaged over.
    """

    name: str
    interval: Interval
    pairs: int


def average_ranks(summaries: Sequence[Summary]) -> list[AverageRank]:
    """Rank methods for each seed and pair on the primary metric, and average: the best first; controls have no rank.

    Equal ones share the mean of their ranks. Only methods and seeds that every pair has are compared. The interval over
    seeds is Student's.
    """
    columns = [column for summary in summaries for column in _columns(summary)]
    if not columns:
        return []
    names = [str(name) for name in columns[0] if all(name in column for column in columns)]
    complete = [column[names].dropna() for column in columns] if names else []
    seeds = [seed for seed in complete[0].index if all(seed in column.index for column in complete)] if names else []
    if len(names) < 2 or not seeds:
        return []
    ranks = pd.concat([column.loc[seeds].rank(axis="columns") for column in complete]).groupby(level=0).mean()
    means = [AverageRank(name, mean_interval(ranks[name].tolist()), len(complete)) for name in names]
    return sorted(means, key=lambda rank: rank.interval.mean)


def _columns(summary: Summary) -> list[pd.DataFrame]:
    """For each pair the primary metric by seed and method, lower being better."""
    metric = summary.metrics.get(summary.primary_metric)
    sign = 1 if metric is not None and metric.direction == "lower" else -1
    return [
        sign * pd.DataFrame({row.name: pd.Series(row.values_by_seed) for row in methods if row.values_by_seed})
        for pair in summary.pairs
        if (methods := [row for row in summary.rows if row.pair == pair and row.section == "method"])
    ]
