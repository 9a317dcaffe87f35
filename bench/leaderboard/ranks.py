"""The ranking of one board's complete entries: compared pairwise, divided into tiers, with an interval of each rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from distillbench.bench.analysis.series import Series
from distillbench.bench.leaderboard.entries import Entry
from distillbench.bench.leaderboard.model import Place
from distillbench.bench.statistics import crossed_unpaired, rank_draws, rank_intervals, ranks, tiers

SIGNIFICANCE_LEVEL = 0.05
LEAST_SEEDS = 2
"""For tiers and intervals: one seed says nothing about another one, however many test examples it was measured on."""


@dataclass(frozen=True)
class CompleteEntry:
    """An entry with enough seeds to be ranked.

    Attributes:
        entry: The entry.
        series: Its primary metric, logarithms of what is compared as a ratio.
    """

    entry: Entry
    series: Series

    @cached_property
    def mean(self) -> float:
        """The mean over seeds, on the scale on which the primary metric is compared."""
        return math.fsum(self.series.values) / len(self.series.values)

    @cached_property
    def seeds(self) -> tuple[tuple[int, str], ...]:
        """Each seed with the hash of its teacher's configuration."""
        records = self.entry.finished
        return tuple((seed, str(records[seed].config.get("teacher"))) for seed in self.series.seeds)

    @cached_property
    def pairing(self) -> tuple[object, ...]:
        """Seeds, teachers and test examples: entries that share them are compared pairwise by seed and example."""
        return self.seeds, self.series.example_names


@dataclass(frozen=True)
class Ranking:
    """The places of complete entries.

    Attributes:
        places: In the order of the entries.
        draws: Ranks (resamples, entries), for averages over boards.
    """

    places: tuple[Place, ...]
    draws: NDArray[np.float64]


def rank(entries: Sequence[CompleteEntry], sign: int) -> Ranking:
    """Rank complete entries by their means.

    Args:
        entries: Of one board.
        sign: 1 where higher values are better, else −1.

    Returns:
        Their ranking; with a single seed it has neither intervals nor tiers.
    """
    scores = [sign * entry.mean for entry in entries]
    observed = [float(value) for value in ranks(scores)]
    draws = rank_draws(
        [sign * entry.series.matrix for entry in entries],
        [entry.seeds for entry in entries],
        [entry.series.example_names for entry in entries],
    )
    if min((len(entry.series.seeds) for entry in entries), default=0) < LEAST_SEEDS:
        return Ranking(tuple(Place(rank=value) for value in observed), draws)
    tier_numbers = tiers(scores, p_values(entries))
    places = (
        Place(rank=value, low=low, high=high, tier=tier)
        for value, (low, high), tier in zip(observed, rank_intervals(draws, observed), tier_numbers, strict=True)
    )
    return Ranking(tuple(places), draws)


def unbeaten(entries: Sequence[CompleteEntry], controls: Sequence[CompleteEntry], sign: int) -> list[Entry]:
    """Return the controls that the best entry is not known to be better than, at 5% each; with a single seed none.

    Args:
        entries: Of one board, the best first.
        controls: Of the same board.
        sign: 1 where higher values are better, else −1.
    """
    return [
        control.entry
        for best in entries[:1]
        for control in controls
        if min(len(best.series.seeds), len(control.series.seeds)) >= LEAST_SEEDS
        and not (_p(best, control) < SIGNIFICANCE_LEVEL and sign * (best.mean - control.mean) > 0)
    ]


def p_values(entries: Sequence[CompleteEntry]) -> NDArray[np.float64]:
    """Two-sided p-values of "these two entries do not differ".

    Args:
        entries: k entries of one board.

    Returns:
        (k, k), symmetric with ones on the diagonal.
    """
    p = np.ones((len(entries), len(entries)))
    for i, j in combinations(range(len(entries)), 2):
        p[i, j] = p[j, i] = _p(entries[j], entries[i])
    return p


def _p(first: CompleteEntry, second: CompleteEntry) -> float:
    """Paired where both ran the same seeds, teachers and test examples."""
    if first.pairing == second.pairing and (difference := first.series.minus(second.series)) is not None:
        return difference.estimate().interval.p
    same_examples = bool(first.series.example_names) and first.series.example_names == second.series.example_names
    return crossed_unpaired(first.series.matrix, second.series.matrix, same_examples).p
