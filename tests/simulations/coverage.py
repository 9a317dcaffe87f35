"""How often the intervals of bench/statistics contain the truth, beside the candidates that were not chosen.

    python tests/simulations/coverage.py

prints the tables of docs/statistics.md. Every number comes from the fixed SEED.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from distillbench.bench.statistics import crossed_interval, holm, paired_difference, ratio_interval

Array = NDArray[np.float64]

SEED = 0
DATA_SETS = 3000
RATIOS = 2000  # data sets for a ratio, whose ends are searched for
CHUNK = 500
RESAMPLES = 400

# Shares of the variance of the mean that come from seeds, items and the rest.
MIXES = {
    "items dominate": (0.05, 0.90, 0.05),
    "seeds dominate": (0.90, 0.05, 0.05),
    "rest dominates": (0.05, 0.05, 0.90),
    "no item effect": (0.50, 0.00, 0.50),
    "seeds and items": (0.45, 0.45, 0.10),
    "mostly seeds": (0.60, 0.30, 0.10),
}
# Standard deviations on the probit scale, where e has 1: seeds, items, and each method's own items.
ACCURACY = {
    "items dominate": (0.03, 3.0),
    "seeds dominate": (0.15, 0.3),
    "rest dominates": (0.02, 0.15),
    "no item effect": (0.10, 0.0),
    "seeds and items": (0.12, 1.0),
    "mostly seeds": (0.20, 1.0),
}
DIFFERENCE = {
    "items dominate": (0.03, 3.0, 3.0),
    "seeds dominate": (0.20, 1.0, 0.3),
    "rest dominates": (0.02, 0.7, 0.15),
    "no item effect": (0.10, 1.0, 0.0),
    "seeds and items": (0.12, 1.0, 0.7),
    "mostly seeds": (0.20, 1.0, 1.0),
}


@dataclass(frozen=True)
class Case:
    """One line of the table: ``draw(rng, n)`` makes n matrices whose true mean is ``truth``."""

    data: str
    seeds: int
    items: int
    mix: str
    truth: float
    draw: Callable[[Generator, int], Array]


def normal(seeds: int, items: int, mix: str, shape: str = "normal") -> Case:
    """Normal seeds and rest; items normal, exponential or lognormal, always with mean 0."""
    of_seed, of_item, of_rest = np.sqrt(np.multiply(MIXES[mix], (seeds, items, seeds * items)))

    def draw(rng: Generator, n: int) -> Array:
        if shape == "exponential":
            b = rng.exponential(size=(n, 1, items)) - 1
        elif shape == "lognormal":
            b = (rng.lognormal(size=(n, 1, items)) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1))
        else:
            b = rng.normal(size=(n, 1, items))
        a, e = rng.normal(size=(n, seeds, 1)), rng.normal(size=(n, seeds, items))
        return of_seed * a + of_item * b + of_rest * e

    return Case(shape, seeds, items, mix, 0.0, draw)


def correct(rng: Generator, shared: Array, seeds: int, accuracy: float, sd_seed: float, sd_own: float) -> Array:
    """True for every seed and item that one method gets right; ``accuracy`` on the probit scale (see ``level``).

    shared: the item effects (n, 1, items) that it shares with other methods; its own have deviation ``sd_own``.
    """
    n, _, items = shared.shape
    a = sd_seed * rng.normal(size=(n, seeds, 1))
    own = sd_own * rng.normal(size=(n, 1, items))
    return a + own + shared + rng.normal(size=(n, seeds, items)) > -accuracy


def level(accuracy: float, *deviations: float) -> float:
    """The probit mean at which a method with these effects has this accuracy: E Φ(m + x) = Φ(m / √(1 + σ²))."""
    return float(ndtri(accuracy) * np.sqrt(1 + np.square(deviations).sum()))


def accuracy(seeds: int, items: int, mix: str, truth: float = 0.90) -> Case:
    sd_seed, sd_item = ACCURACY[mix]

    def draw(rng: Generator, n: int) -> Array:
        shared = sd_item * rng.normal(size=(n, 1, items))
        return correct(rng, shared, seeds, level(truth, sd_seed, sd_item), sd_seed, 0.0).astype(float)

    return Case(f"accuracy {truth:.0%}", seeds, items, mix, truth, draw)


def difference(seeds: int, items: int, mix: str) -> Case:
    sd_seed, sd_item, sd_own = DIFFERENCE[mix]

    def draw(rng: Generator, n: int) -> Array:
        shared = sd_item * rng.normal(size=(n, 1, items))
        new, old = (
            correct(rng, shared, seeds, level(p, sd_seed, sd_item, sd_own), sd_seed, sd_own).astype(float)
            for p in (0.92, 0.90)
        )
        return new - old

    return Case("difference", seeds, items, mix, 0.02, draw)


def cases() -> Iterator[Case]:
    for mix in MIXES:
        yield accuracy(5, 500, mix)
    for mix in MIXES:
        yield difference(5, 500, mix)
    for seeds, items in ((5, 4), (3, 4), (3, 500), (10, 500), (5, 68), (5, 14)):
        for mix in MIXES:
            yield normal(seeds, items, mix)
    for shape in ("exponential", "lognormal"):
        for seeds, items in ((5, 500), (5, 14), (5, 4)):
            for mix in ("items dominate", "seeds and items"):
                yield normal(seeds, items, mix, shape)
    for truth in (0.98, 0.99):
        yield accuracy(5, 500, "items dominate", truth)


def mean_squares(y: Array) -> tuple[Array, Array, Array, Array]:
    """Of n matrices at once: the means, and the mean squares of seeds, items and the rest."""
    seeds, items = y.shape[1:]
    of_seed, of_item = y.mean(axis=2, keepdims=True), y.mean(axis=1, keepdims=True)
    mean = y.mean(axis=(1, 2), keepdims=True)
    a = items * np.square(of_seed - mean).sum(axis=(1, 2)) / (seeds - 1)
    b = seeds * np.square(of_item - mean).sum(axis=(1, 2)) / (items - 1)
    e = np.square(y - of_seed - of_item + mean).sum(axis=(1, 2)) / ((seeds - 1) * (items - 1))
    return mean[:, 0, 0], a, b, e


def half_width(variance: Array, degrees: Array | float) -> Array:
    return stdtrit(np.maximum(degrees, 1e-3), 0.975) * np.sqrt(variance)


def rejected(y: Array) -> dict[str, tuple[Array, Array]]:
    """{candidate: (low, high)} of those that distillbench.bench.statistics does not use."""
    seeds, items = y.shape[1:]
    n = seeds * items
    mean, a, b, e = mean_squares(y)
    widths = {}
    # The t interval of the seed means: items as if they were all there are.
    widths["seeds only"] = half_width(a / n, seeds - 1)
    widths["wider one-way"] = np.maximum(widths["seeds only"], half_width(b / n, items - 1))
    # The unbiased variance, floored at 0, with the degrees of Satterthwaite 1946.
    squares = a**2 / (seeds - 1) + b**2 / (items - 1) + e**2 / ((seeds - 1) * (items - 1))
    total = np.maximum(a + b - e, 0)
    widths["Satterthwaite"] = half_width(total / n, total**2 / squares)
    # Hillis 2007: readers are the seeds, cases the items; only the readers' degrees count.
    total = a + np.maximum(b - e, 0)
    with np.errstate(divide="ignore"):  # seeds that tie
        widths["Hillis"] = half_width(total / n, total**2 / (a**2 / (seeds - 1)))
    # The same variance with the items' degrees too, but neither floor.
    degrees = np.where(b > e, total**2 / squares, seeds - 1)
    widths["no floors"] = half_width(total / n, degrees)
    # The half-widths of the seeds' part and the items' part in quadrature, each with its own degrees.
    parts = half_width(a / n, seeds - 1), half_width(np.maximum(b - e, 0) / n, items - 1)
    widths["quadrature"] = np.hypot(*parts)
    return {name: (mean - w, mean + w) for name, w in widths.items()}


def pigeonhole(y: Array, rng: Generator) -> tuple[Array, Array]:
    """Percentiles of Owen's (2007) bootstrap: seeds and items drawn anew, each with replacement, independently."""
    seeds, items = y.shape[1:]
    of_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    of_item = rng.multinomial(items, np.full(items, 1 / items), RESAMPLES) / items
    rows = y.reshape(-1, items).astype(np.float32) @ of_item.T.astype(np.float32)
    means = np.einsum("nsr,rs->nr", rows.reshape(-1, seeds, RESAMPLES), of_seed)
    low, high = np.quantile(means, (0.025, 0.975), axis=1)
    return low, high


def simulate(case: Case, rng: Generator, n: int = DATA_SETS) -> dict[str, float | str]:
    """The line of one case: what its variance consists of, and the coverage (%) of each candidate."""
    hits: Counter[str] = Counter()
    components, means, chosen = np.zeros(3), [], []
    for _ in range(n // CHUNK):
        y = case.draw(rng, CHUNK)
        bounds = rejected(y)
        bounds["pigeonhole"] = pigeonhole(y, rng)
        intervals = [crossed_interval(x) for x in y]
        mean, width = (np.array([getattr(i, key) for i in intervals]) for key in ("mean", "half_width"))
        bounds["chosen"] = mean - width, mean + width
        hits.update({k: int(((low <= case.truth) & (case.truth <= high)).sum()) for k, (low, high) in bounds.items()})
        _, a, b, e = mean_squares(y)
        components += [float((a - e).sum()), float((b - e).sum()), float(e.sum())]
        means.append(mean)
        chosen.append(width)
    shares = "/".join(f"{max(0.0, share):.0f}" for share in 100 * components / components.sum())
    ideal = float(-ndtri(0.025)) * np.concatenate(means).std()
    return {
        "values": case.data,
        "seeds × items": f"{case.seeds} × {case.items}",
        "mix": case.mix,
        "seeds/items/rest": shares,
        **{name: 100 * hits[name] / n for name in (*bounds,)},
        "width": float(np.concatenate(chosen).mean() / ideal),
    }


def gap(rng: Generator, seeds: int, items: int, n: int) -> Iterator[tuple[Array, Array, float]]:
    """(method − scratch, teacher − scratch, true ratio), the one teacher the same for all seeds.

    500 items: accuracies of 89.5 (scratch), 91 (method) and 94 % (teacher). 4 items: PSNR, 1.7 dB from scratch to
    teacher and half of it recovered.
    """
    for _ in range(n):
        if items > 4:
            sd_seed, sd_item, sd_own = 0.03, 2.0, 0.7
            shared = sd_item * rng.normal(size=(1, 1, items))
            scratch, method = (
                correct(rng, shared, seeds, level(p, sd_seed, sd_item, sd_own), sd_seed, sd_own)[0].astype(float)
                for p in (0.895, 0.91)
            )
            teacher = correct(rng, shared, 1, level(0.94, sd_item, sd_own), 0.0, sd_own)[0].astype(float)
            yield method - scratch, teacher - scratch, (0.91 - 0.895) / (0.94 - 0.895)
        else:
            shared = rng.normal(scale=3.0, size=(1, items))
            scratch, method = (shared + pictures(rng, seeds, items) for _ in range(2))
            teacher = shared + rng.normal(scale=0.3, size=(1, items))
            yield method + 0.85 - scratch, teacher + 1.7 - scratch, 0.5


def pictures(rng: Generator, seeds: int, items: int) -> Array:
    """What one method adds to the PSNR of each picture, in dB: its own pictures, its seeds, the rest."""
    own, a = rng.normal(scale=0.3, size=(1, items)), rng.normal(scale=0.2, size=(seeds, 1))
    return own + a + rng.normal(scale=0.1, size=(seeds, items))


def fieller(rng: Generator, seeds: int, items: int, n: int = RATIOS) -> dict[str, float | str]:
    """How often Fieller's interval over seeds and items, and that over seeds only, contains the true gap recovered."""
    found: Counter[str] = Counter()
    for above, below, truth in gap(rng, seeds, items, n):
        for name, ratio in (
            ("both", ratio_interval(above, below)),
            ("seeds", ratio_interval(above.mean(axis=1), below.mean(axis=1))),
        ):
            found[f"{name} bounded"] += ratio is not None
            found[f"{name} hit"] += (hit := ratio is not None and ratio.low <= truth <= ratio.high)
            if name == "both" and ratio and crossed_interval(above).excludes_zero:  # the gaps that a table prints
                found["printed"] += 1
                found["printed hit"] += hit
    return {
        "seeds × items": f"{seeds} × {items}",
        "seeds only": 100 * found["seeds hit"] / found["seeds bounded"],
        "chosen": 100 * found["both hit"] / found["both bounded"],
        "chosen, where Δ is not zero": 100 * found["printed hit"] / found["printed"],
        "no interval": 100 * (1 - found["both bounded"] / n),
    }


def family(rng: Generator, seeds: int, items: int, n: int = RATIOS) -> dict[str, float | str]:
    """How often any of 4 methods, each as good as scratch, is said to differ from it at the 5 % level."""
    found: Counter[str] = Counter()
    for _ in range(n):
        if items > 4:
            shared = 2.0 * rng.normal(size=(1, 1, items))
            mean = level(0.90, 0.03, 2.0, 0.7)
            scratch, *methods = (correct(rng, shared, seeds, mean, 0.03, 0.7)[0].astype(float) for _ in range(5))
        else:
            scratch, *methods = (pictures(rng, seeds, items) for _ in range(5))
        alone = [paired_difference(m.mean(axis=1).tolist(), scratch.mean(axis=1).tolist()).p for m in methods]
        both = [crossed_interval(m - scratch).p for m in methods]
        for name, p_values in (
            ("seeds only, Holm", holm(alone)),
            ("chosen, unadjusted", both),
            ("chosen, Holm", holm(both)),
        ):
            found[name] += min(p_values) < 0.05
    return {"seeds × items": f"{seeds} × {items}"} | {name: 100 * count / n for name, count in found.items()}


def table(rows: list[dict[str, float | str]]) -> str:
    """Markdown; coverage and error in %, to one decimal, ``width`` to two."""
    head = list(rows[0])
    lines = [head, ["---" if isinstance(rows[0][key], str) else "---:" for key in head]]
    lines += [
        [x if isinstance(x := row[k], str) else f"{x:.{2 if k == 'width' else 1}f}" for k in head] for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    streams = np.random.SeedSequence(SEED)
    every = list(cases())
    rngs = [np.random.default_rng(s) for s in streams.spawn(len(every) + 4)]
    rows = []
    for case, rng in zip(every, rngs, strict=False):
        rows.append(simulate(case, rng))
        print(f"{len(rows)}/{len(every)}", end="\r", file=sys.stderr)
    print(f"Coverage of the nominal 95 % interval of the mean, {DATA_SETS} data sets a line:\n\n{table(rows)}\n")
    sizes = ((5, 500), (5, 4))
    rows = [fieller(rng, *size) for rng, size in zip(rngs[-4:-2], sizes, strict=True)]
    print(f"Coverage of the gap recovered where it has an interval, {RATIOS} data sets a line:\n\n{table(rows)}\n")
    rows = [family(rng, *size) for rng, size in zip(rngs[-2:], sizes, strict=True)]
    print(f"At least one of 4 equal methods found different from scratch, {RATIOS} data sets a line:\n\n{table(rows)}")


if __name__ == "__main__":
    main()
