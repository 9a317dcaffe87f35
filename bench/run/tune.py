"""Tune the methods of a suite: as many trials for each, on the validation split, with seeds that are never reported.

First all trials run with a few seeds, and the best one by its mean is picked; then that one and the default run with
other seeds, and the default stays unless these tell the two apart. Picking from many favours a lucky trial; what it is
then judged by, it was not picked by.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import ValidationError

from distillbench.bench.analysis.series import Series, series_of
from distillbench.bench.run.runner import Plan
from distillbench.bench.statistics import Interval
from distillbench.bench.store.configurations import plain
from distillbench.bench.store.records import MetricValue, Record, Store
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.bench.suite.resolve import Suite
from distillbench.bench.training.seeds import derive
from distillbench.common.errors import UserError
from distillbench.methods.base import Method, SearchSpace, search_space

FIRST_SEED = 100
"""Seeds from here on are for tuning; reported ones are below."""
PATIENCE = 100
"""So many points a trial are looked at for one that was not drawn before: a space of a few choices runs out."""


@dataclass(frozen=True)
class Budget:
    """trials: of each method on each pair, the default included. seeds: that all of them have, to pick the best by.

    confirm: that it and the default have then, to tell the two apart by.
    """

    trials: int = 8
    seeds: tuple[int, ...] = (100, 101)
    confirm: tuple[int, ...] = (102, 103, 104, 105, 106)

    def check(self, suite: Suite) -> None:
        """Raise UserError where the choice could not be trusted."""
        if self.trials < 2:
            raise UserError(f"--trials: {self.trials} is out of range (allowed: 2 and more, the default is one)")
        for option, seeds, least in (("--seeds", self.seeds, 1), ("--confirm", self.confirm, 2)):
            if len(set(seeds)) != len(seeds) or len(seeds) < least:
                raise UserError(f"{option}: {_listed(seeds)} (allowed: {least} or more different seeds)")
            if reported := sorted(set(seeds) & set(suite.seeds)):
                raise UserError(f"{option}: {_listed(reported)}: reported by {suite.name} (allowed: from {FIRST_SEED})")
        if both := sorted(set(self.seeds) & set(self.confirm)):
            raise UserError(f"--confirm: {_listed(both)}: the trials are picked by it (allowed: none of --seeds)")


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"


# -- trials -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tuning:
    """One method on one pair. trials: what is tried, the default first."""

    pair: Pair
    label: str
    trials: tuple[Method, ...]
    teachers: Literal["shared", "per-seed"] = "shared"

    @property
    def key(self) -> tuple[str, str, str]:
        return self.pair.task, self.pair.pair, self.label

    def cells(self, numbers: Iterable[int], seeds: Iterable[int]) -> list[Cell]:
        return [
            Cell(
                "student",
                self.pair,
                self.label,
                seed,
                seed if self.teachers == "per-seed" else 0,
                self.trials[number],
                number,
            )
            for seed in seeds
            for number in numbers
        ]


def tunings(suite: Suite, trials: int) -> list[Tuning]:
    """Every method of a suite on every pair. One without anything to search, as scratch, has its default alone."""
    return [
        Tuning(entry.pair, label, trials_of(entry.pair, label, method, trials), suite.teachers)
        for entry in suite.entries
        for label, method in entry.methods.items()
    ]


def free(method: Method) -> dict[str, SearchSpace]:
    """What there is to search: what the suite sets itself takes precedence over what is chosen here."""
    return {name: its for name, its in search_space(type(method)).items() if name not in method.model_fields_set}


def trials_of(pair: Pair, label: str, default: Method, count: int) -> tuple[Method, ...]:
    """The default, and points of the search space that depend on the names of task, pair and method alone."""
    if not (space := free(default)):
        return (default,)
    found = {json.dumps(default.model_dump(mode="json")): default}
    stream = derive("trials", pair.task, pair.pair, label)
    for values in islice(points(space, stream), PATIENCE * count):
        try:
            trial = type(default).model_validate(default.model_dump(exclude_unset=True) | values)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(f"{pair.task}/{pair.pair}/{label}: {_words(values)}: {reason}") from error
        found.setdefault(json.dumps(trial.model_dump(mode="json")), trial)
        if len(found) == count:
            return tuple(found.values())
    raise UserError(f"--trials: {count}, and {label} has {len(found)} different settings to try")


def points(space: Mapping[str, SearchSpace], stream: int) -> Iterator[dict[str, Any]]:
    """Points of a space, without end: spread evenly however many are taken, from a random start.

    An additive recurrence with the golden ratio, or its counterpart in more dimensions (Roberts 2018), in place of
    independent draws (Bousquet et al. 2017): a few of these leave gaps.
    """
    root = 2.0
    for _ in range(64):  # towards the root of x^(d + 1) = x + 1
        root = (1 + root) ** (1 / (len(space) + 1))
    rng = random.Random(stream)
    shares = [rng.random() for _ in space]
    while True:
        yield {name: its.at(share) for (name, its), share in zip(space.items(), shares, strict=True)}
        shares = [(share + root ** -(i + 1)) % 1 for i, share in enumerate(shares)]


# -- decision -----------------------------------------------------------------------------------------------------

Results = Mapping[int, Mapping[int, Record]]
"""{trial: {seed: record}} of one method on one pair."""


@dataclass(frozen=True)
class Decision:
    """What one method is to have on one pair.

    best: the trial that was picked, None where all failed. default_value, best_value: means of the primary metric on
    the validation split, over the seeds that tell the two apart; where the default is the best, over those it was
    picked by. difference: best less default. chosen: the number of a trial. notes: what a reader must know.
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
        """What the choice sets: the searched hyperparameters that differ from the default's."""
        return _values(self.tuning, self.chosen)


def _values(tuning: Tuning, number: int) -> dict[str, Any]:
    default, trial = tuning.trials[0], tuning.trials[number]
    return {name: value for name in free(default) if (value := getattr(trial, name)) != getattr(default, name)}


def pick(tuning: Tuning, results: Results, seeds: Sequence[int]) -> int | None:
    """The trial with the best mean; one that failed with any seed has lost. None where all have."""
    means = {}
    for number in range(len(tuning.trials)):
        series = _series(results.get(number, {}), seeds)
        if series is not None:
            sign = 1 if _metric(results[number][seeds[0]]).direction == "higher" else -1
            means[number] = sign * math.fsum(series.values)
    return max(means, key=lambda number: (means[number], -number)) if means else None


def decide(tuning: Tuning, results: Results, budget: Budget) -> Decision:
    """The best trial, where it is better than the default beyond the interval of the paired difference over seeds.

    The choice is for these validation examples: an interval over two photographs as well would never tell anything.
    """
    best = pick(tuning, results, budget.seeds)
    records = [r for by_seed in results.values() for r in by_seed.values()]
    primary_metric = records[0].primary_metric if records else ""
    metric = next((_metric(r) for r in records if r.status == "finished"), None)
    failed = [k for k in range(len(tuning.trials)) if any(r.failure for r in results.get(k, {}).values())]
    notes = [f"{len(failed)} of {len(tuning.trials)} trials failed"] if failed else []

    def of(number: int, seeds: Sequence[int]) -> Series | None:
        return _series(results.get(number, {}), seeds)

    def decided(chosen: int, *why: str, **more: Any) -> Decision:
        edges = [f"{name}: at the edge of {its}" for name, its in _at_edge(tuning, chosen)]
        return Decision(tuning, primary_metric, metric, best, chosen, notes=(*why, *edges, *notes), **more)

    if best is None:
        return decided(0, "nothing to choose from")
    if best == 0:
        default = of(0, budget.seeds)
        why = "no trial is better" if len(tuning.trials) > 1 else "nothing to search: the suite sets it"
        return decided(0, why, default_value=_mean(default))
    mine, its = of(best, budget.confirm), of(0, budget.confirm)
    means = {"default_value": _mean(its), "best_value": _mean(mine)}
    named = _words(_values(tuning, best))
    if mine is None:
        return decided(0, f"{named}: the best, but not with every seed", **means)
    if its is None:
        return decided(best, "the default failed", **means)
    difference = mine.minus(its)
    assert difference is not None
    assert metric is not None
    interval = difference.estimate().seed_interval
    sign = 1 if metric.direction == "higher" else -1
    if interval.excludes_zero and sign * interval.mean > 0:
        return decided(best, difference=interval, **means)
    why = "worse with other seeds" if interval.excludes_zero else "may be no better"
    return decided(0, f"{named}: {why}", difference=interval, **means)


def _at_edge(tuning: Tuning, number: int) -> Iterator[tuple[str, SearchSpace]]:
    space = free(tuning.trials[0])
    return ((name, space[name]) for name, value in _values(tuning, number).items() if space[name].at_boundary(value))


def _series(by_seed: Mapping[int, Record], seeds: Sequence[int]) -> Series | None:
    """The primary metric over exactly these seeds; None where one is not there or failed."""
    if any(seed not in by_seed or by_seed[seed].status != "finished" for seed in seeds):
        return None
    return series_of({seed: by_seed[seed] for seed in seeds}, by_seed[seeds[0]].primary_metric, "validation")


def _metric(record: Record) -> MetricValue:
    return record.metrics[record.primary_metric]


def _mean(series: Series | None) -> float | None:
    return math.fsum(series.values) / len(series.values) if series else None


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {plain(value)}" for name, value in values.items())


# -- from a suite to decisions --------------------------------------------------------------------------------------


def decisions(suite: Suite, out: Path, budget: Budget, run: Callable[[Sequence[Cell]], Plan]) -> list[Decision]:
    """Run the trials, then the best ones against the defaults; what is to be chosen, by pair and method.

    run: makes what is missing of some cells, into ``out``. Raises UserError.
    """
    budget.check(suite)
    todo = tunings(suite, budget.trials)
    if not any(search_space(type(tuning.trials[0])) for tuning in todo):
        raise UserError(f"{suite.name}: methods: nothing to tune in {', '.join(suite.methods)}")
    first = [cell for tuning in todo for cell in tuning.cells(range(len(tuning.trials)), budget.seeds)]
    run(first)
    found = _read(out, first)
    better = {t.key: best for t in todo if (best := pick(t, found[t.key], budget.seeds))}
    pairs = {key[:2] for key in better}
    second = [
        cell
        for tuning in todo
        if tuning.key[:2] in pairs and (tuning.key in better or not search_space(type(tuning.trials[0])))
        for cell in tuning.cells((0, better[tuning.key]) if tuning.key in better else (0,), budget.confirm)
    ]
    run(second)
    found = _read(out, [*first, *second])
    return [decide(tuning, found[tuning.key], budget) for tuning in todo if search_space(type(tuning.trials[0]))]


def _read(out: Path, wanted: Sequence[Cell]) -> dict[tuple[str, str, str], dict[int, dict[int, Record]]]:
    store = Store(out)
    found: dict[tuple[str, str, str], dict[int, dict[int, Record]]] = {}
    for cell in wanted:
        by_trial = found.setdefault((cell.pair.task, cell.pair.pair, cell.label), {})
        if (record := store.find(cell.path)) is None:
            raise UserError(f"{out / cell.path}: is gone; tune again")
        by_trial.setdefault(cell.trial or 0, {})[cell.seed] = record
    return found


# -- what a suite includes ------------------------------------------------------------------------------------------


def as_toml(decisions: Sequence[Decision], origin: str) -> str:
    """The chosen values, for a suite's ``tuned``. Defaults that stay are left out."""
    tasks: dict[str, Any] = {}
    for decision in decisions:
        if values := decision.values:
            task, pair, label = decision.tuning.key
            its = tasks.setdefault(task, {"pair": {}})["pair"].setdefault(pair, {"hyperparameters": {}})
            its["hyperparameters"][label] = values
    return f"# {origin}\n\n{tomli_w.dumps({'tasks': tasks})}" if tasks else f"# {origin}\n"
