"""How far the time to quality of noisy training curves is from that of the curves without their noise.

    python tests/simulations/time_to_quality.py

prints the table of docs/statistics.md. Every number comes from the fixed SEED.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from coverage import markdown
from numpy.random import Generator
from numpy.typing import NDArray

from distillbench.bench.analysis.time_to_quality import end_score, reached
from distillbench.bench.store.records import TrainingCurve
from distillbench.bench.training.curves import POINTS

SEED = 0
CURVES = 2000
"""Of each line: as many of a method, and of scratch."""
WINDOW = 5
Array = NDArray[np.float64]
TIMES = np.arange(1, POINTS + 1) / POINTS
"""Of a curve's points, as parts of scratch's training."""
SHAPES = {"flat at the end": 6.0, "rising to the end": 2.0}
"""The rates of 1 − exp(−rate × time), which scratch's quality is."""
NOISE: dict[str, Callable[[Generator], Array]] = {
    "1 %": lambda rng: 0.01 * rng.normal(size=POINTS),
    "3 %": lambda rng: 0.03 * rng.normal(size=POINTS),
    "1 %, a tenth up to 20 % lower": lambda rng: (
        0.01 * rng.normal(size=POINTS) - 0.2 * rng.random(POINTS) * (rng.random(POINTS) < 0.1)
    ),
}
BETTER = (0.0, 0.05, 0.2)
"""By how much a method's quality is larger than scratch's at each moment."""


def quality(rate: float, times: Array) -> Array:
    """Scratch's quality without noise, as a part of what it would have in the end."""
    return 1 - np.exp(-rate * times)


def first(scores: Array, scratch: Array) -> float:
    """The first point as good as scratch's last."""
    found = np.nonzero(scores >= scratch[-1])[0]
    return float(TIMES[found[0]]) if len(found) else math.inf


def running_mean(scores: Array, scratch: Array) -> float:
    """The first point at which the mean of the last five is as good as scratch's is at its end."""
    means = np.convolve(scores, np.full(WINDOW, 1 / WINDOW), "valid")
    found = np.nonzero(means >= scratch[-WINDOW:].mean())[0]
    return float(TIMES[found[0] + WINDOW - 1]) if len(found) else math.inf


def never_below(scores: Array, scratch: Array) -> float:
    """The first point from which on none is worse than scratch's last."""
    worse = np.nonzero(scores < scratch[-1])[0]
    after = worse[-1] + 1 if len(worse) else 0
    return float(TIMES[after]) if after < POINTS else math.inf


def chosen(scores: Array, scratch: Array) -> float:
    """The rule of ``distillbench table``."""
    level = end_score(scratch.tolist())
    curve = TrainingCurve(
        steps=tuple(range(1, POINTS + 1)), loss=(0.0,) * POINTS, validation=tuple(scores), seconds=tuple(TIMES)
    )
    moment = None if level is None else reached(curve, scores.tolist(), level)
    return math.inf if moment is None else moment.seconds


RULES = {"first": first, "running mean": running_mean, "never below": never_below, "chosen": chosen}


def line(rng: Generator, shape: str, noise: str, better: float) -> dict[str, float | str]:
    """Return the true time, the median and the middle 80 % of each rule, and how often the chosen one says never."""
    rate, draw = SHAPES[shape], NOISE[noise]
    clean = quality(rate, TIMES)
    times = {name: np.empty(CURVES) for name in RULES}
    for i in range(CURVES):
        scratch, scores = clean + draw(rng), (1 + better) * clean + draw(rng)
        for name, rule in RULES.items():
            times[name][i] = rule(scores, scratch)
    truth = -math.log(1 - float(np.median(clean[-WINDOW:])) / (1 + better)) / rate
    return {
        "scratch": shape,
        "noise": noise,
        "better by": f"{better:.0%}",
        "true": f"{truth:.2f}",
        **{name: _spread(found) for name, found in times.items()},
        "never (%)": 100 * float(np.mean(np.isinf(times["chosen"]))),
    }


def _spread(times: Array) -> str:
    """'0.50 [0.46, 0.56]': the median and the middle 80 %."""
    low, middle, high = (
        "never" if math.isinf(time) else f"{time:.2f}"
        for time in np.quantile(times, (0.1, 0.5, 0.9), method="lower").tolist()
    )
    return f"{middle} [{low}, {high}]"


def lines() -> Iterator[dict[str, float | str]]:
    """Yield the table, each line with a random stream of its own."""
    cases = list(product(SHAPES, NOISE, BETTER))
    rngs = map(np.random.default_rng, np.random.SeedSequence(SEED).spawn(len(cases)))
    return (line(rng, *case) for rng, case in zip(rngs, cases, strict=True))


if __name__ == "__main__":
    print(f"{CURVES} curves a line:\n\n{markdown(list(lines()))}")
