"""The places of one board's complete entries: compared pair by pair, put into classes, and how sure each rank is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distillbench.bench.analysis.series import Series
from distillbench.bench.leaderboard.entries import Entry
from distillbench.bench.leaderboard.model import Place
from distillbench.bench.statistics import crossed_unpaired, rank_draws, rank_intervals, ranks, tiers

LEAST_SEEDS = 2
"""What another seed would have been, one seed cannot tell, however many test examples it was measured on."""


@dataclass(frozen=True)
class Places:
    """Of the entries in the order given. draws: ranks (resamples, entries), for what averages over boards."""

    places: tuple[Place, ...]
    draws: NDArray[np.float64]


@dataclass(frozen=True)
class Competitor:
    """An entry with the primary metric of all its seeds."""

    entry: Entry
    series: Series

    @property
    def mean(self) -> float:
        return math.fsum(self.series.values) / len(self.series.values)

    @property
    def seeds(self) -> tuple[tuple[int, str], ...]:
        """Which they are, each with the teacher that it had."""
        records = self.entry.finished
        return tuple((seed, str(records[seed].config.get("teacher"))) for seed in self.series.seeds)

    @property
    def ran(self) -> tuple[object, ...]:
        """What two entries share that are compared seed by seed and item by item."""
        return self.seeds, self.series.example_names


def places(competitors: Sequence[Competitor], sign: int) -> Places:
    """sign: 1 where higher is better, else −1. One seed has ranks, and neither intervals nor classes."""
    scores = [sign * one.mean for one in competitors]
    at = [float(rank) for rank in ranks(scores)]
    draws = rank_draws(
        [sign * one.series.matrix for one in competitors],
        [one.seeds for one in competitors],
        [one.series.example_names for one in competitors],
    )
    if min((len(one.series.seeds) for one in competitors), default=0) < LEAST_SEEDS:
        return Places(tuple(Place(rank=rank) for rank in at), draws)
    found = tiers(scores, p_values(competitors))
    ends = rank_intervals(draws, at)
    return Places(
        tuple(
            Place(rank=rank, low=low, high=high, in_class=its_class)
            for rank, (low, high), its_class in zip(at, ends, found, strict=True)
        ),
        draws,
    )


def p_values(competitors: Sequence[Competitor]) -> NDArray[np.float64]:
    """(k, k), two-sided, of "these two do not differ": paired where both ran the same."""
    found = np.ones((len(competitors), len(competitors)))
    for i, one in enumerate(competitors):
        for j, other in enumerate(competitors[:i]):
            found[i, j] = found[j, i] = _p(one, other)
    return found


def _p(one: Competitor, other: Competitor) -> float:
    if one.ran == other.ran and (difference := one.series.minus(other.series)) is not None:
        return difference.estimate().interval.p
    same_items = bool(one.series.example_names) and one.series.example_names == other.series.example_names
    return crossed_unpaired(one.series.matrix, other.series.matrix, same_items).p
