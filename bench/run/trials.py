"""What tuning may spend, and its trials: as many points of its search space for every method, the default first."""

from __future__ import annotations

import json
import math
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
from distillbench.methods.base import LogUniform, Method, SearchSpace, search_space

FIRST_SEED = 100
"""Seeds from here on are for tuning; reported ones are below."""
MOST_TRIALS = 1000
PATIENCE = 100
"""Points drawn for each trial in search of a new one: a space of a few choices runs out."""


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

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Those to pick by, then those to compare by."""
        return *self.seeds, *self.confirm

    def check(self, suite: Suite) -> None:
        """Check that the choice can be trusted.

        Args:
            suite: Its seeds are reported.

        Raises:
            UserError: There are too few or too many trials, too few seeds, or the suite reports some of these seeds.
        """
        if not 2 <= self.trials <= MOST_TRIALS:
            allowed = f"2 to {MOST_TRIALS}, the default is one"
            raise UserError(f"{self.trials} is out of range", "--trials", allowed=allowed)
        for option, seeds, least in (("--seeds", self.seeds, 1), ("--confirm", self.confirm, 2)):
            if len(set(seeds)) != len(seeds) or len(seeds) < least:
                raise UserError(listed(seeds), option, allowed=f"{least} or more different seeds")
            if reported := sorted(set(seeds) & set(suite.seeds)):
                raise UserError(f"{listed(reported)}: reported by {suite.name}", option, allowed=f"from {FIRST_SEED}")
        if both := sorted(set(self.seeds) & set(self.confirm)):
            raise UserError(f"{listed(both)}: the best trial is picked by it", "--confirm", allowed="none of --seeds")


def listed(seeds: Iterable[int]) -> str:
    """Format seeds as '100, 101'."""
    return ", ".join(map(str, seeds)) or "none"


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
    def space(self) -> dict[str, SearchSpace]:
        """What is searched: hyperparameters that the suite sets itself are not."""
        return free(self.trials[0])

    @property
    def mildest(self) -> int:
        """The trial with the smallest weight of the distillation loss; the default where no weight is searched."""
        if "weight" not in self.space:
            return 0
        return min(range(len(self.trials)), key=lambda number: self.trials[number].weight)

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
        default = self.trials[0]
        return {name: value for name, value in self.settings(number).items() if value != getattr(default, name)}

    def settings(self, number: int) -> dict[str, Any]:
        """Return the searched hyperparameters of a trial."""
        return {name: getattr(self.trials[number], name) for name in self.space}

    def at_boundary(self, number: int) -> dict[str, SearchSpace]:
        """Return the hyperparameters of a trial that lie at the boundary of what is searched."""
        space = self.space
        return {name: space[name] for name, value in self.values(number).items() if space[name].at_boundary(value)}


def tunings(suite: Suite, trials: int) -> list[Tuning]:
    """Return the tuning of every method of a suite on every pair.

    Args:
        suite: The suite.
        trials: How many trials each has; a method without anything to search has its default alone.
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
    independent draws (Bousquet et al. 2017): a few of these leave gaps. Of two ranges the wider one has the second
    dimension of the recurrence, which few points cover better: seven leave gaps of a sixth of it, not of a quarter.

    Args:
        space: What is searched, by hyperparameter.
        stream: Seed of the start.
    """
    root = 2.0
    for _ in range(64):  # converges to the root of x^(d + 1) = x + 1
        root = (1 + root) ** (1 / (len(space) + 1))
    rng = random.Random(stream)
    shares = {name: rng.random() for name in sorted(space, key=lambda name: _width(space[name]))}
    while True:
        yield {name: search.at(shares[name]) for name, search in space.items()}
        shares = {name: (share + root ** -(i + 1)) % 1 for i, (name, share) in enumerate(shares.items())}


def _width(search: SearchSpace) -> float:
    """The width of a range on the logarithmic scale; 0 for a choice."""
    return math.log(search.high / search.low) if isinstance(search, LogUniform) else 0.0


def in_words(values: Mapping[str, Any]) -> str:
    """Format hyperparameters as 'temperature 4, weight 0.5'."""
    return ", ".join(f"{name} {plain(value)}" for name, value in values.items())
