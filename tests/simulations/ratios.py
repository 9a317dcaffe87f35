"""How often the intervals of ratios contain the truth, and how often tests and verdicts err or find what is there.

    python tests/simulations/ratios.py

prints the tables of docs/statistics.md. Every number comes from the fixed SEED.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from coverage import table
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import nctdtr, stdtrit

from distillbench.bench.statistics import (
    Ratio,
    detectable_difference,
    family_ratio,
    geometric_mean,
    mcnemar,
    mean_interval,
    paired_ratio,
    ratio_verdict,
    unpaired_ratio,
    wilcoxon,
)

Array = NDArray[np.float64]
Line = dict[str, float | str]

SEED = 0
DATA_SETS = 3000
RESAMPLES = 2000
LEVELS = {0.95: "95 %", 0.99: "99 %"}
SPREAD = 0.02  # of the log-ratio of one pair


def lasting(rng: Generator, n: int) -> Array:
    """Normal, each pair correlated by 0.5 with the one before (an autoregression): a disturbance outlasts a pair."""
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


def hits(ratio: Ratio, truth: float = 1.0) -> bool:
    return ratio.low <= truth <= ratio.high


def ones(x: Array) -> Array:
    return np.ones(len(x))


def bootstrap(logs: Array, level: float, rng: Generator) -> bool:
    """Whether the percentile interval of the bootstrapped median (Efron 1979) contains 0."""
    medians = np.median(rng.choice(logs, (RESAMPLES, len(logs))), axis=1)
    low, high = np.quantile(medians, (0.5 - level / 2, 0.5 + level / 2))
    return bool(low <= 1e-12 and high >= -1e-12)


def pairs(rng: Generator, noise: str, n: int) -> Line:
    """Three intervals of the ratio of interleaved pairs; t is of the mean, which is the median's but for 'skewed'."""
    found: Counter[str] = Counter()
    for _ in range(DATA_SETS):
        logs = SPREAD * NOISE[noise](rng, n)
        ratios = np.exp(logs)
        for level, name in LEVELS.items():
            found[f"chosen, {name}"] += hits(paired_ratio(ratios, ones(logs), level))
            found[f"bootstrap, {name}"] += bootstrap(logs, level, rng)
            found[f"t, {name}"] += hits(geometric_mean(ratios, level))
    line: Line = {"noise": noise, "pairs": str(n)}
    for name, count in found.items():
        line[name] = "none" if name == "chosen, 99 %" and n < 8 else 100 * count / DATA_SETS
    return line


def launches(rng: Generator, noise: str, n: int) -> Line:
    """geometric_mean of n launches, of one ratio and of 5; unpaired_ratio of n and n, 10, or 10 calmer ones."""
    draw = NOISE[noise]
    centre = 1 - math.log(2) if noise == "skewed" else 0.0  # these are intervals of the mean

    def times(size: int, spread: float = SPREAD) -> Array:
        return np.exp(spread * (draw(rng, size) - centre))

    found: Counter[str] = Counter()
    for _ in range(DATA_SETS):
        found["one ratio"] += hits(geometric_mean(times(n)))
        shared = SPREAD * rng.normal(size=(n, 1))
        family = np.log(np.stack([times(n) for _ in range(5)], axis=1)) * np.linspace(1, 4, 5) + shared
        found["5 ratios"] += hits(geometric_mean(np.exp(family)))
        found["n : n"] += hits(unpaired_ratio(times(n), times(n)))
        found["n : 10"] += hits(unpaired_ratio(times(n), times(10)))
        found["n : 10, a quarter of the spread"] += hits(unpaired_ratio(times(n), times(10, SPREAD / 4)))
    return {"noise": noise, "launches n": str(n)} | {name: 100 * count / DATA_SETS for name, count in found.items()}


def families(rng: Generator, members: int, n: int) -> Line:
    """family_ratio of the paired ratios of members that vary by up to four times as much as the calmest."""
    found: Counter[str] = Counter()
    for _ in range(DATA_SETS):
        ratios = np.exp(SPREAD * np.linspace(1, 4, members)[:, None] * rng.normal(size=(members, n)))
        for level, name in LEVELS.items():
            found[name] += hits(family_ratio([paired_ratio(x, ones(x), level) for x in ratios]))
    return {"members": str(members), "pairs each": str(n)} | {
        name: 100 * count / DATA_SETS for name, count in found.items()
    }


def tests(rng: Generator, items: int) -> Line:
    """How often two equal models are said to differ at 5 %, and two that do differ."""
    found: Counter[str] = Counter()
    for _ in range(DATA_SETS):
        shared = rng.normal(scale=1.5, size=items)
        for name, better in (("equal", 0.0), ("better", 0.5)):
            right = [shared + rng.normal(size=items) > -2.3 - shift for shift in (better, 0.0)]
            found[f"McNemar, {name}"] += mcnemar(*right).p < 0.05
            psnr = [3 * shared + rng.normal(scale=0.5, size=items) + shift for shift in (better / 2, 0.0)]
            found[f"Wilcoxon, {name}"] += wilcoxon(*psnr).p < 0.05
    return {"items": str(items)} | {name: 100 * found[name] / DATA_SETS for name in sorted(found)}


def power(rng: Generator, n: int) -> Line:
    """How often a difference is found that is the detectable one for the true deviation 1, and the estimates of it."""
    quantile = float(stdtrit(n - 1, 0.975))
    exact = detectable_difference(mean_interval((np.arange(n) - (n - 1) / 2).tolist()))
    exact /= float(np.std(np.arange(n), ddof=1))
    found, estimates = 0, []
    for _ in range(DATA_SETS):
        interval = mean_interval((exact + rng.normal(size=n)).tolist())
        found += interval.excludes_zero and interval.mean > 0
        estimates.append(detectable_difference(interval) / exact)
    low, median, high = np.quantile(estimates, (0.1, 0.5, 0.9))
    return {
        "seeds": str(n),
        "deviations": exact,
        "power": 100 * (1 - float(nctdtr(n - 1, exact * math.sqrt(n), quantile))),
        "found": 100 * found / DATA_SETS,
        "estimated: 10 %": low,
        "median": median,
        "90 %": high,
    }


def verdicts(rng: Generator, noise: str, n: int, truth: float) -> Line:
    """Verdicts of the 99 % interval of n pairs with a margin of 1 %."""
    found: Counter[str] = Counter()
    for _ in range(DATA_SETS):
        times = truth * np.exp(SPREAD * NOISE[noise](rng, n))
        found[ratio_verdict(paired_ratio(times, ones(times), 0.99), 1.0, 0.01)] += 1
    return {"noise": noise, "pairs": str(n), "true ratio": f"{truth:.2f}"} | {
        name: 100 * found[name] / DATA_SETS for name in ("pass", "regressed", "improved", "inconclusive")
    }


def tables() -> Iterator[tuple[str, list[Callable[[Generator], Line]]]]:
    """Heading and lines of each table."""
    sizes, few = (6, 7, 10, 30, 31, 100), ("normal", "heavy tails", "skewed")
    paired = [partial(pairs, noise=noise, n=n) for noise in NOISE for n in sizes]
    yield "Coverage of intervals of the ratio of interleaved pairs", paired
    yield "Coverage of 95 % intervals over launches", [partial(launches, noise=x, n=n) for x in few for n in (3, 5, 10)]
    of_families = [partial(families, members=k, n=n) for k in (2, 5, 15) for n in (8, 10, 30, 100)]
    yield "Coverage of the geometric mean of a family of paired ratios", of_families
    yield "Differences that tests over items find at 5 %", [partial(tests, items=n) for n in (10, 30, 100, 500)]
    yield "The detectable difference, in standard deviations", [partial(power, n=n) for n in (3, 5, 10)]
    judged = [
        partial(verdicts, noise=noise, n=n, truth=truth)
        for noise in ("normal", "heavy tails", "lasting")
        for n in (10, 30, 100)
        for truth in (1.0, 1.01, 1.05)
    ]
    yield "Verdicts of 99 % intervals with a margin of 1 %", judged


def main() -> None:
    every = list(tables())
    rngs = map(np.random.default_rng, np.random.SeedSequence(SEED).spawn(sum(len(lines) for _, lines in every)))
    for heading, lines in every:
        rows = []
        for line in lines:
            rows.append(line(next(rngs)))
            print(f"{heading}: {len(rows)}/{len(lines)}", end="\r", file=sys.stderr)
        print(f"{heading}, {DATA_SETS} data sets a line:\n\n{table(rows)}\n", flush=True)


if __name__ == "__main__":
    main()
