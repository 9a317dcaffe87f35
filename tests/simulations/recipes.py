"""What teachers and scratch students reach with candidate recipes: the trials of docs/recipes.md.

    python tests/simulations/recipes.py denoising 100,101
    python tests/simulations/recipes.py super_resolution 100,101

trains each candidate network on its own objective alone, with seeds that no suite reports, and prints a row for each:
PSNR on the validation split, the mean and every seed's, parameters, and the processor's seconds of one training. No
method is looked at, and no test image. Settings that a candidate does not name are the task's defaults.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

from distillbench.bench.suite.resolve import load
from distillbench.bench.training.determinism import settle_process
from distillbench.bench.training.learner import Learner
from distillbench.bench.training.loop import initial, train
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Role, Task, read_only

Candidate = tuple[Role, int, str, float, int | None]
"""Role, steps, network as TOML, learning rate, number of originals (None: all)."""

SLIM, WIDER = "depth=4,width=8", "depth=4,width=16"
ESPCN, FSRCNN = 'name="espcn",features=48,mapped=24', 'name="fsrcnn",features=56,shrunk=12,mappings=4'
EDSR_24, EDSR_32 = 'name="edsr",width=24,blocks=4', 'name="edsr",width=32,blocks=4'
CANDIDATES: dict[str, tuple[Candidate, ...]] = {
    "denoising": (
        *(("student", 500, SLIM, 5e-3, originals) for originals in (None, 2, 1)),
        ("student", 1000, SLIM, 5e-3, 1),
        *(("student", 500, WIDER, 5e-3, originals) for originals in (None, 1)),
        *(("student", 500, f"{WIDER},batch_norm=true", 5e-3, originals) for originals in (None, 1)),
        *(("teacher", 500, "depth=6,width=16", 3e-3, originals) for originals in (None, 2, 1)),
        ("teacher", 500, "depth=8,width=32", 2e-3, None),
        ("teacher", 500, "depth=6,width=32,batch_norm=true", 5e-3, None),
        ("teacher", 500, "depth=8,width=32,batch_norm=true", 5e-3, None),
    ),
    "super_resolution": (
        *(("student", 500, ESPCN, 5e-3, originals) for originals in (None, 2, 1)),
        ("student", 500, ESPCN, 1e-2, 2),
        ("student", 1000, ESPCN, 5e-3, 2),
        *(("student", 2000, ESPCN, 5e-3, originals) for originals in (None, 2, 1)),
        *(("student", 500, FSRCNN, 3e-3, originals) for originals in (None, 1)),
        *(("teacher", 500, EDSR_24, rate, None) for rate in (1e-3, 2e-3, 4e-3)),
        ("teacher", 1000, EDSR_24, 2e-3, None),
        *(("teacher", steps, EDSR_32, 2e-3, None) for steps in (500, 2000)),
        ("teacher", 2000, 'name="edsr",width=32,blocks=8', 2e-3, None),
        ("teacher", 2000, 'name="edsr",width=64,blocks=4', 1e-3, None),
    ),
}


def row(name: str, candidate: Candidate, seeds: Sequence[int]) -> dict[str, Any]:
    """Train a candidate with every seed, and return what it reaches."""
    role, steps, network, rate, originals = candidate
    recipe = f"{{steps={steps},learning_rate={rate},network={{{network}}}}}"
    kept = [] if originals is None else [f"tasks.{name}.originals={originals}"]
    suite = {"name": "recipes", "seeds": [0], "methods": ["scratch"], "tasks": {name: {}}}
    pair = load(suite, [f"tasks.{name}.{role}={recipe}", *kept]).pairs[0]
    with TemporaryDirectory() as cache:
        task = pair.build(Path(cache))
        start = time.process_time()
        learners = [_trained(task, role, seed) for seed in seeds]
        seconds = (time.process_time() - start) / len(seeds)
        values = [_psnr(task, learner) for learner in learners]
    return {
        "role": role,
        "steps": steps,
        "network": f"`{network}`",
        "rate": rate,
        "originals": originals or "all",
        "PSNR (dB)": f"{mean(values):.2f}",
        "seeds": ", ".join(f"{value:.2f}" for value in values),
        "parameters": f"{sum(weights.numel() for weights in learners[0].model.parameters()):,}",
        "seconds": f"{seconds:.1f}",
    }


def _trained(task: Task, role: Role, seed: int) -> Learner:
    learner = Learner(task, initial(task, role, seed), task.settings.recipe(role), task.steps(role), Scratch())
    train(task, [learner], role, learner.steps, seed)
    if learner.failure is not None:
        raise RuntimeError(learner.failure[1])
    return learner


def _psnr(task: Task, learner: Learner) -> float:
    model = read_only(learner.model)
    return task.evaluate(model, model, "validation").metrics["psnr"]


def rows(name: str, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield a row for each candidate of a task."""
    return (row(name, candidate, seeds) for candidate in CANDIDATES[name])


def main() -> None:
    settle_process()
    name, seeds = sys.argv[1], [int(seed) for seed in sys.argv[2].split(",")]
    for i, cells in enumerate(rows(name, seeds)):
        if not i:
            print(f"| {' | '.join(cells)} |\n|{' --- |' * len(cells)}", flush=True)
        print(f"| {' | '.join(map(str, cells.values()))} |", flush=True)


if __name__ == "__main__":
    main()
