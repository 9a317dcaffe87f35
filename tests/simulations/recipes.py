"""What teachers and scratch students reach with candidate recipes: the trials of docs/recipes.md.

    python tests/simulations/recipes.py SUITE SEEDS ROLE TASK.SETTING=VALUE ... [/ ROLE TASK.SETTING=VALUE ...]

trains a network of the role ("teacher" or "student") on its own objective for each candidate, with seeds that no
suite reports (such as 100,101), and prints a row: the primary metric on the validation split, its mean and every
seed's, the network's parameters, and the processor's seconds of one training. No method is looked at, and no test
image. Of a suite's task the first pair is taken.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import cast

from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.resolve import load
from distillbench.bench.training.determinism import settle_process
from distillbench.bench.training.learner import Learner
from distillbench.bench.training.loop import initial, train
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Role, Task, read_only


def reached(pair: Pair, role: Role, seeds: Sequence[int]) -> dict[str, str]:
    """Train a network of one role with every seed, and return what it reaches."""
    with TemporaryDirectory() as cache:
        task = pair.build(Path(cache))
        if (recipe := task.extractor_recipe()) is not None:
            task.feature_extractor = read_only(recipe.train())
        start = time.process_time()
        learners = [_trained(task, role, seed) for seed in seeds]
        seconds = (time.process_time() - start) / len(seeds)
        values = [_value(task, learner) for learner in learners]
    metric = task.metrics[task.primary_metric]
    return {
        f"{task.primary_metric}, validation": f"{mean(values):.{metric.decimals}f}",
        "seeds": ", ".join(f"{value:.{metric.decimals}f}" for value in values),
        "parameters": f"{sum(weights.numel() for weights in task.deployed(learners[0].model).parameters()):,}",
        "seconds": f"{seconds:.1f}",
    }


def _trained(task: Task, role: Role, seed: int) -> Learner:
    learner = Learner(task, initial(task, role, seed), task.settings.recipe(role), task.steps(role), Scratch())
    train(task, [learner], role, learner.steps, seed)
    if learner.failure is not None:
        raise RuntimeError(learner.failure[1])
    return learner


def _value(task: Task, learner: Learner) -> float:
    model = read_only(learner.model)
    return task.evaluate(model, model, "validation").metrics[task.primary_metric]


def candidates(arguments: Sequence[str]) -> Iterator[tuple[Role, list[str]]]:
    """Yield the role and the settings of each candidate, between which stands a slash."""
    for separator, words in groupby(arguments, lambda word: word == "/"):
        if not separator:
            role, *settings = words
            yield cast(Role, role), settings


def main() -> None:
    settle_process()
    suite, seeds, head = sys.argv[1], [int(seed) for seed in sys.argv[2].split(",")], False
    for role, settings in candidates(sys.argv[3:]):
        task = settings[0].partition(".")[0]
        pair = load(suite, [f"tasks.{setting}" for setting in settings if "=" in setting], [task]).pairs[0]
        row = {"role": role, "settings": " ".join(settings)} | reached(pair, role, seeds)
        if not head:
            head = True
            print(f"| {' | '.join(row)} |\n|{' --- |' * len(row)}", flush=True)
        print(f"| {' | '.join(row.values())} |", flush=True)


if __name__ == "__main__":
    main()
