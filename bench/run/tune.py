"""Tune the methods of a suite: as many trials for each, on the validation split, with seeds that are never reported.

First all trials run with a few seeds, and the best one by its mean is picked; then that one and the default run with
other seeds, and the default stays unless these show a difference. Picking the best of many favours a lucky trial; so it
is judged by seeds that it was not picked by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from distillbench.bench.analysis.series import Series, series_of
from distillbench.bench.run.plan import Plan
from distillbench.bench.run.trials import Tuning, in_words, tunings
from distillbench.bench.statistics import Interval
from distillbench.bench.store.records import MetricValue, Record, Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.resolve import Suite
from distillbench.common.errors import UserError

FIRST_SEED = 100
"""Seeds from here on are for tuning; reported ones are below."""


@dataclass(frozen=True)
class Budget:
    """What every method may spend on each pair.

    Attributes:
        trials: How many, the default included.
        seeds: Of all trials, to pick the best by.
        confirm: Seeds of the best trial and the default, to compare them by.
    """

    trials: int = 8
    seeds: tuple[int, ...] = (100, 101)
    confirm: tuple[int, ...] = (102, 103, 104, 105, 106)

    def check(self, suite: Suite) -> None:
        """Check that the choice can be trusted.

        Args:
            suite: Its seeds are reported.

        Raises:
            UserError: There are too few trials or seeds, or the suite reports some of these seeds.
        """
        if self.trials < 2:
            raise UserError(f"--trials: {self.trials} is out of range (allowed: 2 and more, the default is one)")
        for option, seeds, least in (("--seeds", self.seeds, 1), ("--confirm", self.confirm, 2)):
            if len(set(seeds)) != len(seeds) or len(seeds) < least:
                raise UserError(f"{option}: {_listed(seeds)} (allowed: {least} or more different seeds)")
            if reported := sorted(set(seeds) & set(suite.seeds)):
                raise UserError(f"{option}: {_listed(reported)}: reported by {suite.name} (allowed: from {FIRST_SEED})")
        if both := sorted(set(self.seeds) & set(self.confirm)):
            raise UserError(f"--confirm: {_listed(both)}: the best trial is picked by it (allowed: none of --seeds)")


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"


# -- decision -----------------------------------------------------------------------------------------------------

Results = Mapping[int, Mapping[int, Record]]
"""{trial: {seed: record}} of one method on one pair."""


@dataclass(frozen=True)
class Decision:
    """The outcome of tuning one method on one pair.

    Attributes:
        tuning: The method, the pair and the trials.
        primary_metric: Its name.
        metric: Its direction, unit and decimals; None where no trial has a value.
        best: The trial that was picked; None where all failed.
        chosen: The trial whose settings the method is to have.
        default_value: The default's mean of the primary metric on the validation split, over the confirming seeds;
            over those that the best is picked by where the default is the best.
        best_value: The same of the best trial; None where it is the default.
        difference: The best less the default.
        notes: What a reader must know.
    """

    tuning: Tuning
    primary_metric: str
    metric: MetricValue | None
    best: int | None
    chosen: int
    default_value: float | None = None
    best_value: float | None = None
    difference: Interval | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def values(self) -> dict[str, Any]:
        """The searched hyperparameters in which the choice differs from the default."""
        return self.tuning.values(self.chosen)


def pick(tuning: Tuning, results: Results, seeds: Sequence[int]) -> int | None:
    """Return the trial with the best mean, the first of equals; None where all failed with some seed.

    Args:
        tuning: The trials.
        results: Their records.
        seeds: Over which the mean is taken.
    """
    means = {}
    for number in range(len(tuning.trials)):
        series = _series(results.get(number, {}), seeds)
        if series is not None:
            means[number] = _sign(_metric(results[number][seeds[0]])) * math.fsum(series.values)
    return max(means, key=lambda number: (means[number], -number)) if means else None


def decide(tuning: Tuning, results: Results, budget: Budget) -> Decision:
    """Choose the best trial where it beats the default beyond the interval of the paired difference over seeds.

    The choice is for these validation examples: an interval over two photographs as well would never exclude zero.

    Args:
        tuning: The trials.
        results: Their records.
        budget: Which seeds pick, and which confirm.
    """
    best = pick(tuning, results, budget.seeds)
    records = [record for by_seed in results.values() for record in by_seed.values()]
    primary_metric = records[0].primary_metric if records else ""
    metric = next((_metric(record) for record in records if record.status == "finished"), None)

    def series(number: int, seeds: Sequence[int]) -> Series | None:
        return _series(results.get(number, {}), seeds)

    def decision(chosen: int, *reasons: str, **fields: Any) -> Decision:
        notes = (*reasons, *_boundary_notes(tuning, chosen), *_failure_notes(tuning, results))
        return Decision(tuning, primary_metric, metric, best, chosen, notes=notes, **fields)

    if best is None:
        return decision(0, "nothing to choose from")
    if best == 0:
        reason = "no trial is better" if len(tuning.trials) > 1 else "nothing to search: the suite sets it"
        return decision(0, reason, default_value=_mean(series(0, budget.seeds)))
    of_best, of_default = series(best, budget.confirm), series(0, budget.confirm)
    means = {"default_value": _mean(of_default), "best_value": _mean(of_best)}
    name = in_words(tuning.values(best))
    if of_best is None:
        return decision(0, f"{name}: the best, but failed with a confirming seed", **means)
    if of_default is None:
        return decision(best, "the default failed", **means)
    difference = of_best.minus(of_default)
    assert difference is not None
    assert metric is not None
    interval = difference.estimate().seed_interval
    if interval.excludes_zero and _sign(metric) * interval.mean > 0:
        return decision(best, difference=interval, **means)
    reason = "worse with other seeds" if interval.excludes_zero else "may be no better"
    return decision(0, f"{name}: {reason}", difference=interval, **means)


def _boundary_notes(tuning: Tuning, number: int) -> list[str]:
    return [f"{name}: at the search boundary ({search})" for name, search in tuning.at_boundary(number).items()]


def _failure_notes(tuning: Tuning, results: Results) -> list[str]:
    count = len(tuning.trials)
    failed = sum(any(r.failure for r in results.get(number, {}).values()) for number in range(count))
    return [f"{failed} of {count} trials failed"] if failed else []


def _series(by_seed: Mapping[int, Record], seeds: Sequence[int]) -> Series | None:
    """The primary metric over exactly these seeds; None where one is missing or failed."""
    if any(seed not in by_seed or by_seed[seed].status != "finished" for seed in seeds):
        return None
    return series_of({seed: by_seed[seed] for seed in seeds}, by_seed[seeds[0]].primary_metric, "validation")


def _metric(record: Record) -> MetricValue:
    return record.metrics[record.primary_metric]


def _sign(metric: MetricValue) -> int:
    return 1 if metric.direction == "higher" else -1


def _mean(series: Series | None) -> float | None:
    return series.estimate().shown.value if series else None


# -- from a suite to decisions --------------------------------------------------------------------------------------


def decisions(suite: Suite, out: Path, budget: Budget, run: Callable[[Sequence[Cell]], Plan]) -> list[Decision]:
    """Run the trials, then the best ones and the defaults with other seeds, and decide.

    Methods with nothing to search run beside the others, to be compared with in tables.

    Args:
        suite: The suite.
        out: The results folder of the trials.
        budget: How many trials and which seeds.
        run: Makes the records of some cells that ``out`` lacks.

    Returns:
        One decision for each pair and method that has something to search.

    Raises:
        UserError: The budget is not to be trusted, there is nothing to tune, or a record was deleted meanwhile.
    """
    budget.check(suite)
    tuned = tunings(suite, budget.trials)
    if not any(tuning.searches for tuning in tuned):
        raise UserError(f"{suite.name}: methods: nothing to tune in {', '.join(suite.methods)}")
    first = [cell for tuning in tuned for cell in tuning.cells(range(len(tuning.trials)), budget.seeds)]
    run(first)
    results = _read(out, first)
    best = {t.key: number for t in tuned if (number := pick(t, results[t.key], budget.seeds))}
    pairs = {key[:2] for key in best}
    second = [
        cell
        for tuning in tuned
        if tuning.key[:2] in pairs and (tuning.key in best or not tuning.searches)
        for cell in tuning.cells((0, best[tuning.key]) if tuning.key in best else (0,), budget.confirm)
    ]
    run(second)
    results = _read(out, [*first, *second])
    return [decide(tuning, results[tuning.key], budget) for tuning in tuned if tuning.searches]


def _read(out: Path, cells: Sequence[Cell]) -> dict[tuple[str, str, str], dict[int, dict[int, Record]]]:
    """The records of some cells, by names of task, pair and method, trial and seed."""
    store = Store(out)
    results: dict[tuple[str, str, str], dict[int, dict[int, Record]]] = {}
    for cell in cells:
        by_trial = results.setdefault((cell.pair.task, cell.pair.pair, cell.label), {})
        if (record := store.find(cell.path)) is None:
            raise UserError(f"{out / cell.path}: was deleted during tuning (run distillbench tune again)")
        by_trial.setdefault(cell.trial or 0, {})[cell.seed] = record
    return results


def as_toml(decisions: Sequence[Decision], origin: str) -> str:
    """Format the chosen values for a suite's ``tuned``; defaults that stay are left out.

    Args:
        decisions: Of all pairs and methods.
        origin: How the file was made; its first line, as a comment.
    """
    tasks: dict[str, Any] = {}
    for decision in decisions:
        if values := decision.values:
            task, pair, label = decision.tuning.key
            table = tasks.setdefault(task, {"pair": {}})["pair"].setdefault(pair, {"hyperparameters": {}})
            table["hyperparameters"][label] = values
    return f"# {origin}\n\n{tomli_w.dumps({'tasks': tasks})}" if tasks else f"# {origin}\n"
