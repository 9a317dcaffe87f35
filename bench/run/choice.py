"""The choice among the trials of one method on one pair: picked by some seeds, confirmed by others, held to scratch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from distillbench.bench.analysis.series import Series, series_of
from distillbench.bench.run.trials import Budget, Tuning, in_words
from distillbench.bench.statistics import Interval
from distillbench.bench.store.configurations import SCRATCH
from distillbench.bench.store.records import MetricValue, Record

Results = Mapping[int, Mapping[int, Record]]
"""{trial: {seed: record}} of one method on one pair."""


@dataclass(frozen=True)
class Decision:
    """The outcome of tuning one method on one pair. Differences are of the primary metric, paired by seed.

    Attributes:
        tuning: The method, the pair and the trials.
        results: The records of the trials.
        best: The trial that was picked; None where all failed.
        chosen: The trial whose settings the method is to have.
        confirmed: The trials that finished with every confirming seed.
        difference: The best less the default; None where they are the same trial, or one is not confirmed.
        to_scratch: Each confirmed trial less the one that was chosen for scratch; empty for scratch itself.
        to_plain_scratch: Each less scratch by the pair's recipe, which a method with the weight 0 would be.
        reason: Why it is not the best, or what else was unusual.
    """

    tuning: Tuning
    results: Results = field(repr=False, compare=False)
    best: int | None
    chosen: int = 0
    confirmed: Mapping[int, Series] = field(default_factory=dict, repr=False, compare=False)
    difference: Interval | None = None
    to_scratch: Mapping[int, Interval] = field(default_factory=dict)
    to_plain_scratch: Mapping[int, Interval] = field(default_factory=dict)
    reason: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """The searched hyperparameters in which the choice differs from the default."""
        return self.tuning.values(self.chosen)

    @property
    def records(self) -> list[Record]:
        """The records of all trials."""
        return [record for by_seed in self.results.values() for record in by_seed.values()]

    @property
    def metric(self) -> MetricValue | None:
        """How to read the primary metric; None where no trial has a value."""
        return next((_metric(record) for record in self.records if record.status == "finished"), None)

    def mean(self, number: int | None) -> float | None:
        """Return a trial's mean over the confirming seeds; None where it is not confirmed."""
        series = None if number is None else self.confirmed.get(number)
        return None if series is None else _mean(series)

    @property
    def helpful(self) -> frozenset[int]:
        """The trials that are better than what was chosen for scratch, beyond the interval."""
        return self._beyond(self.to_scratch, 1)

    @property
    def harmful(self) -> frozenset[int]:
        """The trials that are worse than scratch by the pair's recipe, beyond the interval."""
        return self._beyond(self.to_plain_scratch, -1)

    def _beyond(self, differences: Mapping[int, Interval], side: int) -> frozenset[int]:
        return frozenset(number for number, interval in differences.items() if self.beyond(interval, side))

    def beyond(self, interval: Interval, side: int) -> bool:
        """Return whether the whole interval of a difference is on the better side (1) or the worse one (−1) of zero."""
        return interval.excludes_zero and side * self.sign * interval.mean > 0

    @property
    def sign(self) -> int:
        """1 where higher is better, else −1."""
        return 1 if self.metric is None or self.metric.direction == "higher" else -1

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""
        own = (self.reason,) if self.reason else ()
        return (*own, *self._on_scratch(), *self._on_boundary(), *self._on_failures())

    def _on_scratch(self) -> Iterator[str]:
        if self.tuning.label == SCRATCH and self.chosen:
            yield "the others keep the pair's recipe"
        if not self.to_scratch or self.helpful:
            return
        worse = self._beyond(self.to_scratch, -1) == self.to_scratch.keys()
        if self._beyond(self.to_plain_scratch, 1):
            yield f"better than scratch by the pair's recipe, {'worse' if worse else 'not better'} than it as tuned"
            return
        tuned = "" if self.harmful == self.to_plain_scratch.keys() else " as tuned"
        harm = f": all that was compared is worse than scratch{tuned}" if worse else ""
        yield f"no {'weight' if 'weight' in self.tuning.space else 'setting'} helps here{harm}"

    def _on_boundary(self) -> Iterator[str]:
        for name, search in self.tuning.at_boundary(self.chosen).items():
            yield f"{name}: at the search boundary ({search})"

    def _on_failures(self) -> Iterator[str]:
        if failed := sum(any(r.failure for r in by_seed.values()) for by_seed in self.results.values()):
            yield f"{failed} of {len(self.tuning.trials)} trials failed"


def pick(tuning: Tuning, results: Results, seeds: Sequence[int]) -> int | None:
    """Return the trial with the best mean, the first of equals; None where all failed with some seed.

    Args:
        tuning: The trials.
        results: Their records.
        seeds: Over which the mean is taken.
    """
    means = {}
    for number in range(len(tuning.trials)):
        if (series := _series(results.get(number, {}), seeds)) is not None:
            sign = 1 if _metric(results[number][seeds[0]]).direction == "higher" else -1
            means[number] = sign * math.fsum(series.values)
    return max(means, key=lambda number: (means[number], -number)) if means else None


def decide(tuning: Tuning, results: Results, budget: Budget, scratch: Decision | None = None) -> Decision:
    """Choose the best trial where it beats the default beyond the interval of the paired difference over seeds.

    It is chosen, too, where it beats scratch as tuned beyond the interval and the default does not: one seed with which
    the default diverges makes the interval of their difference as wide as it makes the default bad.
    What is then worse than scratch by the same recipe gives way to the best confirmed trial that is not, if there is
    one. The choice is for these validation examples: an interval over two photographs as well would never exclude zero.

    Args:
        tuning: The trials.
        results: Their records.
        budget: Which seeds pick, and which confirm.
        scratch: What was decided for scratch; None: nothing to compare with.
    """
    best = pick(tuning, results, budget.seeds)
    if best is None:
        return Decision(tuning, results, None, reason="nothing to choose from")
    every = {number: _series(by_seed, budget.confirm) for number, by_seed in sorted(results.items())}
    confirmed = {number: series for number, series in every.items() if series is not None}
    difference = None if best == 0 else _difference(confirmed.get(best), confirmed.get(0))
    to_scratch = _less(confirmed, scratch, scratch.chosen) if scratch is not None else {}
    to_plain = _less(confirmed, scratch, 0) if scratch is not None else {}
    return _with_choice(Decision(tuning, results, best, 0, confirmed, difference, to_scratch, to_plain))


def _less(confirmed: Mapping[int, Series], scratch: Decision, number: int) -> dict[int, Interval]:
    """Each trial less one of scratch; empty where that one failed."""
    differences = {n: _difference(series, scratch.confirmed.get(number)) for n, series in confirmed.items()}
    return {n: interval for n, interval in differences.items() if interval is not None}


def _with_choice(decision: Decision) -> Decision:
    chosen, reason = _against_default(decision)
    means = {n: decision.sign * _mean(its) for n, its in decision.confirmed.items() if n not in decision.harmful}
    if chosen in decision.harmful and means:
        reason = f"{in_words(decision.tuning.values(chosen)) or 'default'}: worse than scratch"
        chosen = max(means, key=means.__getitem__)
    return replace(decision, chosen=chosen, reason=reason)


def _against_default(decision: Decision) -> tuple[int, str]:
    """The best trial or the default, and why it is not the best."""
    best, difference = decision.best or 0, decision.difference
    if best == 0:
        return 0, "the default is the best" if len(decision.tuning.trials) > 1 else "nothing to search"
    name = in_words(decision.tuning.values(best))
    if best not in decision.confirmed:
        return 0, f"{name}: the best, but failed with a confirming seed"
    if difference is None:
        return best, "the default failed"
    if decision.beyond(difference, 1):
        return best, ""
    if decision.beyond(difference, -1):
        return 0, f"{name}: worse with other seeds"
    if best in decision.helpful and 0 not in decision.helpful:
        return best, "better than scratch, which the default is not"
    return 0, f"{name}: may be no better"


def _difference(first: Series | None, second: Series | None) -> Interval | None:
    """The interval over seeds of the paired difference."""
    difference = first.minus(second) if first is not None and second is not None else None
    return None if difference is None else difference.estimate().seed_interval


def _series(by_seed: Mapping[int, Record], seeds: Sequence[int]) -> Series | None:
    """The primary metric over exactly these seeds; None where one is missing or failed."""
    if any(seed not in by_seed or by_seed[seed].status != "finished" for seed in seeds):
        return None
    return series_of({seed: by_seed[seed] for seed in seeds}, by_seed[seeds[0]].primary_metric, "validation")


def _metric(record: Record) -> MetricValue:
    return record.metrics[record.primary_metric]


def _mean(series: Series) -> float:
    return series.estimate().shown.value
