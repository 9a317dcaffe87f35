"""How often the intervals of ratios contain the truth, and how often verdicts err or find what is there.

    python tests/simulations/ratios.py

prints the tables of docs/statistics.md. Every number comes from the fixed SEED.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from coverage import markdown
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import nctdtr, stdtrit

from distillbench.bench.statistics import (
    Ratio,
    geometric_mean,
    mean_interval,
    minimum_detectable_effect,
    paired_ratio,
    ratio_verdict,
    unpaired_ratio,
)

Array = NDArray[np.float64]
Line = dict[str, float | str]

SEED = 0
DATA_SETS = 3000
RESAMPLES = 2000
LEVELS = {0.95: "95 %", 0.99: "99 %"}
SPREAD = 0.02
"""The standard deviation of the log-ratio of one pair."""


@dataclass(frozen=True)
class Table:
    """A table of docs/statistics.md."""

    heading: str
    stream: int
    """The number of the first line's random stream, of SEED; the next lines have the next ones."""
    lines: Sequence[Callable[[Generator], Line]]


def lasting(rng: Generator, n: int) -> Array:
    """Draw normal values, each correlated by 0.5 with the one before (an autoregression): what outlasts a pair."""
    z = rng.normal(size=n)
    for i in range(1, n):
        z[i] = 0.5 * z[i - 1] + math.sqrt(0.75) * z[i]
    return z


# Log-ratios of n pairs in units of SPREAD, with median 0.
NOISE: dict[str, Callable[[Generator, int], Array]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_t(2, size=n),
    "skewed": lambda rng, n: rng.exponential(size=n) - math.log(2),
    "coarse clock": lambda rng, n: np.round(rng.normal(size=n)),
    "lasting": lasting,
}


def contains(ratio: Ratio, truth: float = 1.0) -> bool:
    """Tell whether the interval of a ratio contains the truth; never where it has no ends."""
    return ratio.low <= truth <= ratio.high


def ones(x: Array) -> Array:
    """Return as many ones, the denominators of ratios."""
    return np.ones(len(x))


def percent(counts: Mapping[str, int]) -> Line:
    """Return counts of data sets as shares in %."""
    return {name: 100 * count / DATA_SETS for name, count in counts.items()}


def bootstrap_contains(logs: Array, level: float, rng: Generator) -> bool:
    """Tell whether the percentile interval of the bootstrapped median (Efron 1979) contains 0."""
    medians = np.median(rng.choice(logs, (RESAMPLES, len(logs))), axis=1)
    low, high = np.quantile(medians, (0.5 - level / 2, 0.5 + level / 2))
    return bool(low <= 1e-12 and high >= -1e-12)


def pairs(rng: Generator, noise: str, n: int) -> Line:
    """Return the coverage of three intervals of the ratio of interleaved pairs; t is of the mean, not of the median."""
    counts: Counter[str] = Counter()
    for _ in range(DATA_SETS):
        logs = SPREAD * NOISE[noise](rng, n)
        ratios = np.exp(logs)
        for level, name in LEVELS.items():
            counts[f"chosen, {name}"] += contains(paired_ratio(ratios, ones(logs), level))
            counts[f"bootstrap, {name}"] += bootstrap_contains(logs, level, rng)
            counts[f"t, {name}"] += contains(geometric_mean(ratios, level))
    line: Line = {"noise": noise, "pairs": str(n)} | percent(counts)
    return line | ({"chosen, 99 %": "none"} if n < 8 else {})


def launches(rng: Generator, noise: str, n: int) -> Line:
    """Return the coverage over n launches, of one ratio and of 5, and against n, 10, or 10 calmer other launches."""
    draw = NOISE[noise]
    centre = 1 - math.log(2) if noise == "skewed" else 0.0  # these are intervals of the mean

    def times(size: int, spread: float = SPREAD) -> Array:
        return np.exp(spread * (draw(rng, size) - centre))

    counts: Counter[str] = Counter()
    for _ in range(DATA_SETS):
        counts["one ratio"] += contains(geometric_mean(times(n)))
        shared = SPREAD * rng.normal(size=(n, 1))
        family = np.log(np.stack([times(n) for _ in range(5)], axis=1)) * np.linspace(1, 4, 5) + shared
        counts["5 ratios"] += contains(geometric_mean(np.exp(family)))
        counts["n : n"] += contains(unpaired_ratio(times(n), times(n)))
        counts["n : 10"] += contains(unpaired_ratio(times(n), times(10)))
        counts["n : 10, a quarter of the spread"] += contains(unpaired_ratio(times(n), times(10, SPREAD / 4)))
    return {"noise": noise, "launches n": str(n)} | percent(counts)


def power(rng: Generator, n: int) -> Line:
    """Return how often the minimum detectable effect of the true deviation 1 is found, and what is estimated for it."""
    quantile = float(stdtrit(n - 1, 0.975))
    effect = minimum_detectable_effect(mean_interval((np.arange(n) - (n - 1) / 2).tolist()))
    effect /= float(np.std(np.arange(n), ddof=1))
    hits, estimates = 0, []
    for _ in range(DATA_SETS):
        interval = mean_interval((effect + rng.normal(size=n)).tolist())
        hits += interval.excludes_zero and interval.mean > 0
        estimates.append(minimum_detectable_effect(interval) / effect)
    low, median, high = np.quantile(estimates, (0.1, 0.5, 0.9))
    return {
        "seeds": str(n),
        "deviations": effect,
        "power": 100 * (1 - float(nctdtr(n - 1, effect * math.sqrt(n), quantile))),
        "found": 100 * hits / DATA_SETS,
        "estimated: 10 %": low,
        "median": median,
        "90 %": high,
    }


def verdicts(rng: Generator, noise: str, n: int, truth: float) -> Line:
    """Return the verdicts of the 99 % interval of n pairs with a margin of 1 %."""
    counts = dict.fromkeys(("pass", "regressed", "improved", "inconclusive"), 0)
    for _ in range(DATA_SETS):
        times = truth * np.exp(SPREAD * NOISE[noise](rng, n))
        counts[ratio_verdict(paired_ratio(times, ones(times), 0.99), 1.0, 0.01)] += 1
    return {"noise": noise, "pairs": str(n), "true ratio": f"{truth:.2f}"} | percent(counts)


def tables() -> Iterator[Table]:
    """Yield the tables in the order in which they are printed."""
    yield Table(
        "Coverage of intervals of the ratio of interleaved pairs",
        0,
        [partial(pairs, noise=noise, n=n) for noise, n in product(NOISE, (6, 7, 10, 30, 31, 100))],
    )
    yield Table(
        "Coverage of 95 % intervals over launches",
        30,
        [partial(launches, noise=noise, n=n) for noise, n in product(("normal", "heavy tails", "skewed"), (3, 5, 10))],
    )
    yield Table("The minimum detectable effect, in standard deviations", 55, [partial(power, n=n) for n in (3, 5, 10)])
    settings = product(("normal", "heavy tails", "lasting"), (10, 30, 100), (1.0, 1.01, 1.05))
    yield Table(
        "Verdicts of 99 % intervals with a margin of 1 %",
        58,
        [partial(verdicts, noise=noise, n=n, truth=truth) for noise, n, truth in settings],
    )


def main() -> None:
    for table in tables():
        rows = []
        for number, line in enumerate(table.lines, start=table.stream):
            rows.append(line(np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(number,)))))
            print(f"{table.heading}: {len(rows)}/{len(table.lines)}", end="\r", file=sys.stderr)
        print(f"{table.heading}, {DATA_SETS} data sets a line:\n\n{markdown(rows)}\n", flush=True)


if __name__ == "__main__":
    main()
