"""What two runs of ``distillbench time`` of one revision would leave inconclusive, by launches and by margin.

    python tests/simulations/launches.py results/quick results/mnist

prints the table of docs/ci.md: each condition's speedups are drawn with the spread that its stored launches have, twice
over, and compared by the gate's rule. Every number comes from the fixed SEED.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from coverage import markdown
from numpy.random import Generator

from distillbench.bench.compare.margins import Margins
from distillbench.bench.compare.times import compare_launch_values
from distillbench.bench.statistics import geometric_mean
from distillbench.bench.store import timings
from distillbench.bench.timing.timer import LaunchLimits

SEED = 0
RUNS = 100
"""Of each condition."""
MARGINS = (0.01, 0.02, 0.05, 0.1)
NUMBERS = (LaunchLimits(3, 3), LaunchLimits(6, 6), LaunchLimits(9, 9), LaunchLimits())
Condition = tuple[float, float]
"""Seconds of a call of the student, and the standard deviation of the logarithm of its speedup over launches."""


def stored_conditions(folders: Sequence[str], batch_size: int) -> Iterator[Condition]:
    """Yield the stored conditions of some results folders with this batch size."""
    for folder in folders:
        for timing in timings.scan(Path(folder)).documents:
            if timing.condition.batch_size == batch_size and len(timing.launches) > 1:
                logs = np.log([launch.ratio("student", "teacher") for launch in timing.launches])
                yield geometric_mean([launch.median("student") for launch in timing.launches]).value, logs.std(ddof=1)


def draw_run(rng: Generator, spread: float, limits: LaunchLimits) -> list[float]:
    """Draw the ratios of student to teacher that a run measures, one a launch."""
    ratios = np.exp(spread * rng.normal(size=limits.most)).tolist()
    count = next(n for n in range(1, limits.most + 1) if limits.suffice(n, geometric_mean(ratios[:n])))
    return ratios[:count]


def line(rng: Generator, conditions: Sequence[Condition], limits: LaunchLimits) -> dict[str, float | str]:
    """Return what is inconclusive in %, by margin, and how many launches a run takes on average."""
    inconclusive, launches = dict.fromkeys(MARGINS, 0), 0
    for seconds, spread in conditions * RUNS:
        before, after = draw_run(rng, spread, limits), draw_run(rng, spread, limits)
        launches += len(before)
        for margin in MARGINS:
            comparison = compare_launch_values("", "", before, after, seconds, Margins(speed=margin))
            inconclusive[margin] += comparison.finding.outcome == "inconclusive"
    total = len(conditions) * RUNS
    return {
        "launches": f"{limits.least} to {limits.most}" if limits.most > limits.least else f"{limits.least}",
        "on average": launches / total,
        **{f"± {margin:.0%}": 100 * count / total for margin, count in inconclusive.items()},
    }


def main(folders: Sequence[str]) -> None:
    for batch_size in (1, 64):
        stored = list(stored_conditions(folders, batch_size))
        rngs = map(np.random.default_rng, np.random.SeedSequence((SEED, batch_size)).spawn(len(NUMBERS)))
        rows = [line(rng, stored, number) for rng, number in zip(rngs, NUMBERS, strict=True)]
        print(f"Batches of {batch_size}, {len(stored)} conditions, % inconclusive:\n\n{markdown(rows)}\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
