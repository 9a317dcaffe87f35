"""The trials of tuning: as many points of its search space for every method, the default first."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from pydantic import ValidationError

from distillbench.bench.store.configurations import plain
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.bench.suite.resolve import Suite
from distillbench.bench.training.seeds import derive
from distillbench.common.errors import UserError
from distillbench.methods.base import Method, SearchSpace, search_space

PATIENCE = 100
"""Points drawn for each trial in search of a new one: a space of a few choices runs out."""


@dataclass(frozen=True)
class Tuning:
    """The tuning of one method on one pair.

    Attributes:
        pair: Of networks.
        label: The name of the method's row.
        trials: Settings to try, the default first.
        teachers: Whether all seeds share a teacher.
    """

    pair: Pair
    label: str
    trials: tuple[Method, ...]
    teachers: Literal["shared", "per-seed"] = "shared"

    @property
    def key(self) -> tuple[str, str, str]:
        """The names of task, pair and method."""
        return self.pair.task, self.pair.pair, self.label

    @property
    def searches(self) -> bool:
        """Whether the method has anything to search, be it set by the suite."""
        return bool(search_space(type(self.trials[0])))

    def cells(self, numbers: Iterable[int], seeds: Iterable[int]) -> list[Cell]:
        """Return the cells of some trials with some seeds."""
        return [
            Cell("student", self.pair, self.label, seed, self._teacher_seed(seed), self.trials[number], number)
            for seed in seeds
            for number in numbers
        ]

    def _teacher_seed(self, seed: int) -> int:
        return seed if self.teachers == "per-seed" else 0

    def values(self, number: int) -> dict[str, Any]:
        """Return the searched hyperparameters in which a trial differs from the default."""
        default, trial = self.trials[0], self.trials[number]
        return {name: getattr(trial, name) for name in free(default) if getattr(trial, name) != getattr(default, name)}

    def at_boundary(self, number: int) -> dict[str, SearchSpace]:
        """Return the hyperparameters of a trial that lie at the boundary of what is searched."""
        space = free(self.trials[0])
        return {name: space[name] for name, value in self.values(number).items() if space[name].at_boundary(value)}


def tunings(suite: Suite, trials: int) -> list[Tuning]:
    """Return the tuning of every method of a suite on every pair.

    Args:
        suite: The suite.
        trials: How many trials each has; a method without anything to search, as scratch, has its default alone.
    """
    return [
        Tuning(entry.pair, label, trials_of(entry.pair, label, method, trials), suite.teachers)
        for entry in suite.entries
        for label, method in entry.methods.items()
    ]


def free(method: Method) -> dict[str, SearchSpace]:
    """Return what there is to search of a method: hyperparameters that the suite sets itself are not searched."""
    space = search_space(type(method))
    return {name: search for name, search in space.items() if name not in method.model_fields_set}


def trials_of(pair: Pair, label: str, default: Method, count: int) -> tuple[Method, ...]:
    """Return the default and points of its search space, which depend on the names of task, pair and method alone.

    Args:
        pair: Of networks.
        label: The name of the method's row.
        default: The method as the suite has it.
        count: How many trials, the default included.

    Raises:
        UserError: The search space has too few points, or a point is invalid with the suite's settings.
    """
    if not (space := free(default)):
        return (default,)
    trials = {json.dumps(default.model_dump(mode="json")): default}
    stream = derive("trials", pair.task, pair.pair, label)
    for values in islice(points(space, stream), PATIENCE * count):
        try:
            trial = type(default).model_validate(default.model_dump(exclude_unset=True) | values)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(f"{pair.task}/{pair.pair}/{label}: {in_words(values)}: {reason}") from error
        trials.setdefault(json.dumps(trial.model_dump(mode="json")), trial)
        if len(trials) == count:
            return tuple(trials.values())
    raise UserError(f"--trials: {count} is out of range ({label} has only {len(trials)} different settings to try)")


def points(space: Mapping[str, SearchSpace], stream: int) -> Iterator[dict[str, Any]]:
    """Yield points of a space without end, evenly spread however many are taken, from a random start.

    An additive recurrence with the golden ratio, or its counterpart in more dimensions (Roberts 2018), in place of
    independent draws (Bousquet et al. 2017): a few of these leave gaps.

    Args:
        space: What is searched, by hyperparameter.
        stream: Seed of the start.
    """
    root = 2.0
    for _ in range(64):  # converges to the root of x^(d + 1) = x + 1
        root = (1 + root) ** (1 / (len(space) + 1))
    rng = random.Random(stream)
    shares = [rng.random() for _ in space]
    while True:
        yield {name: search.at(share) for (name, search), share in zip(space.items(), shares, strict=True)}
        shares = [(share + root ** -(i + 1)) % 1 for i, share in enumerate(shares)]


def in_words(values: Mapping[str, Any]) -> str:
    """Format hyperparameters as 'temperature 4, weight 0.5'."""
    return ", ".join(f"{name} {plain(value)}" for name, value in values.items())
