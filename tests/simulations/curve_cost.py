"""What training curves cost: ``python tests/simulations/curve_cost.py``.

Trains the scratch student of each pair of the quick suite and prints which part of its training time the fifty looks
at held-out data took besides.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from bench.jobs import settle_process
from bench.suite import load, pairs
from bench.training import Learner, initial, train
from methods.scratch import Scratch
from tasks.base import read_only


def main() -> None:
    settle_process()
    with TemporaryDirectory() as cache:
        for pair in pairs(load("quick")):
            task = pair.build(Path(cache))
            if (recipe := task.judge_recipe()) is not None:
                task.judge = read_only(recipe.train())
            for role in ("student", "teacher"):
                recipe = task.settings.recipe(role)
                learner = Learner(task, initial(task, role, 0), recipe, Scratch())
                train(task, [learner], recipe, 0)
                spent = learner.recorder.seconds
                share = f"{100 * spent / learner.seconds:.1f} %"
                print(f"{pair.task}, {pair.pair}, {role}: {spent:.2f} of {learner.seconds:.2f} s, {share}", flush=True)


if __name__ == "__main__":
    main()
