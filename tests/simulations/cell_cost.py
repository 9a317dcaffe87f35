"""What a cell's time goes into.

    python tests/simulations/cell_cost.py SUITE [KEY.PATH=VALUE ...]

trains the teacher and the scratch student of each pair of a suite, and prints the table of docs/performance.md: seconds
of training, of validation for its curve, and of the evaluation at its end; the last two with their shares of all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.resolve import load
from distillbench.bench.training.determinism import settle_process
from distillbench.bench.training.learner import Learner
from distillbench.bench.training.loop import initial, train
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Role, Task, read_only


def costs(suite: str, overrides: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Yield a row for each pair and role of a suite."""
    for pair in load(suite, overrides).pairs:
        with TemporaryDirectory() as cache:
            task = pair.build(Path(cache))
            if (recipe := task.extractor_recipe()) is not None:
                task.feature_extractor = read_only(recipe.train())
            teacher: nn.Module | None = None
            for role in ("teacher", "student"):
                learner = _trained(task, role)
                _evaluate(task, read_only(initial(task, role, 1)), teacher)  # does what is done once for all of a pair
                start = time.perf_counter()
                _evaluate(task, learner.model, teacher)
                yield _row(pair, role, learner, time.perf_counter() - start)
                teacher = learner.model


def _evaluate(task: Task, model: nn.Module, teacher: nn.Module | None) -> None:
    for split in ("test", "validation"):
        task.evaluate(model, teacher or model, split)


def _trained(task: Task, role: Role) -> Learner:
    recipe, steps = task.settings.recipe(role), task.steps(role)
    learner = Learner(task, initial(task, role, 0), recipe, steps, Scratch())
    train(task, [learner], role, steps, 0)
    if learner.failure is not None:
        raise RuntimeError(learner.failure[1])
    read_only(learner.model)
    return learner


def _row(pair: Pair, role: Role, learner: Learner, evaluation: float) -> dict[str, str]:
    validation = learner.recorder.seconds
    total = learner.seconds + validation + evaluation
    parts = {"validation": validation, "evaluation": evaluation}
    return {
        "pair": f"{pair.task}, {pair.pair}",
        "role": role,
        "training (s)": f"{learner.seconds:.2f}",
        **{f"{what} (s)": f"{seconds:.2f}, {100 * seconds / total:.1f} %" for what, seconds in parts.items()},
    }


def main() -> None:
    settle_process()
    head: list[str] = []
    for row in costs(sys.argv[1], sys.argv[2:]):
        if not head:
            head = list(row)
            print(f"| {' | '.join(head)} |\n| --- | --- |{' ---: |' * (len(head) - 2)}", flush=True)
        print(f"| {' | '.join(row.values())} |", flush=True)


if __name__ == "__main__":
    main()
