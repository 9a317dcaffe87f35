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

from distillbench.bench.statistics import crossed_interval, holm, mean_interval, ratio_interval

Array = NDArray[np.float64]

SEED = 0
DATA_SETS = 3000
RATIO_DATA_SETS = 2000
"""Fewer, for the ends of a ratio are searched for."""
CHUNK = 500
RESAMPLES = 400

# Shares of the variance of the mean that come from seeds, examples and the rest.
MIXES = {
    "examples dominate": (0.05, 0.90, 0.05),
    "seeds dominate": (0.90, 0.05, 0.05),
    "rest dominates": (0.05, 0.05, 0.90),
    "no example effect": (0.50, 0.00, 0.50),
    "seeds and examples": (0.45, 0.45, 0.10),
    "mostly seeds": (0.60, 0.30, 0.10),
}
# Standard deviations on the probit scale, where e has 1: of seeds, of examples, and of each method's own examples.
ACCURACY = {
    "examples dominate": (0.03, 3.0),
    "seeds dominate": (0.15, 0.3),
    "rest dominates": (0.02, 0.15),
    "no example effect": (0.10, 0.0),
    "seeds and examples": (0.12, 1.0),
    "mostly seeds": (0.20, 1.0),
}
DIFFERENCE = {
    "examples dominate": (0.03, 3.0, 3.0),
    "seeds dominate": (0.20, 1.0, 0.3),
    "rest dominates": (0.02, 0.7, 0.15),
    "no example effect": (0.10, 1.0, 0.0),
    "seeds and examples": (0.12, 1.0, 0.7),
    "mostly seeds": (0.20, 1.0, 1.0),
}


@dataclass(frozen=True)
class Case:
    """One line of the table of coverages."""

    data: str
    seeds: int
    examples: int
    mix: str
    truth: float
    """The true mean."""
    draw: Callable[[Generator, int], Array]
    """Draws so many matrices, (n, seeds, examples)."""


def normal_case(seeds: int, examples: int, mix: str, shape: str = "normal") -> Case:
    """Return a case of normal seeds and rest; the examples normal, exponential or lognormal, always with mean 0."""
    of_seed, of_example, of_rest = np.sqrt(np.multiply(MIXES[mix], (seeds, examples, seeds * examples)))

    def draw(rng: Generator, n: int) -> Array:
        if shape == "exponential":
            b = rng.exponential(size=(n, 1, examples)) - 1
        elif shape == "lognormal":
            b = (rng.lognormal(size=(n, 1, examples)) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1))
        else:
            b = rng.normal(size=(n, 1, examples))
        a, e = rng.normal(size=(n, seeds, 1)), rng.normal(size=(n, seeds, examples))
        return of_seed * a + of_example * b + of_rest * e

    return Case(shape, seeds, examples, mix, 0.0, draw)


def answers(rng: Generator, shared: Array, seeds: int, mean: float, sd_seed: float, sd_own: float) -> Array:
    """Draw what one method gets right (1) or wrong (0), by a probit model.

    Args:
        rng: Decides all draws.
        shared: The effects of the examples (n, 1, examples) that it shares with other methods.
        seeds: How many seeds it has.
        mean: The mean on the probit scale, such as that of ``probit_mean``.
        sd_seed: The standard deviation of its seeds.
        sd_own: The standard deviation of its own effects of the examples.

    Returns:
        Data sets (n, seeds, examples).
    """
    n, _, examples = shared.shape
    a = sd_seed * rng.normal(size=(n, seeds, 1))
    own = sd_own * rng.normal(size=(n, 1, examples))
    return (a + own + shared + rng.normal(size=(n, seeds, examples)) > -mean).astype(float)


def probit_mean(accuracy: float, *deviations: float) -> float:
    """Return the mean at which a method with these effects has this accuracy: E Φ(m + x) = Φ(m / √(1 + σ²))."""
    return float(ndtri(accuracy) * np.sqrt(1 + np.square(deviations).sum()))


def accuracy_case(seeds: int, examples: int, mix: str, truth: float = 0.90) -> Case:
    """Return a case of the accuracy of one method."""
    sd_seed, sd_example = ACCURACY[mix]

    def draw(rng: Generator, n: int) -> Array:
        shared = sd_example * rng.normal(size=(n, 1, examples))
        return answers(rng, shared, seeds, probit_mean(truth, sd_seed, sd_example), sd_seed, 0.0)

    return Case(f"accuracy {truth:.0%}", seeds, examples, mix, truth, draw)


def difference_case(seeds: int, examples: int, mix: str) -> Case:
    """Return a case of the difference of the accuracies of two methods, 92 and 90 %."""
    sd_seed, sd_example, sd_own = DIFFERENCE[mix]

    def draw(rng: Generator, n: int) -> Array:
        shared = sd_example * rng.normal(size=(n, 1, examples))
        means = (probit_mean(accuracy, sd_seed, sd_example, sd_own) for accuracy in (0.92, 0.90))
        better, worse = (answers(rng, shared, seeds, mean, sd_seed, sd_own) for mean in means)
        return better - worse

    return Case("difference", seeds, examples, mix, 0.02, draw)


def cases() -> Iterator[Case]:
    """Yield a case for each line of the table."""
    for mix in MIXES:
        yield accuracy_case(5, 500, mix)
    for mix in MIXES:
        yield difference_case(5, 500, mix)
    for seeds, examples in ((5, 4), (3, 4), (3, 500), (10, 500), (5, 68), (5, 14)):
        for mix in MIXES:
            yield normal_case(seeds, examples, mix)
    for shape in ("exponential", "lognormal"):
        for seeds, examples in ((5, 500), (5, 14), (5, 4)):
            for mix in ("examples dominate", "seeds and examples"):
                yield normal_case(seeds, examples, mix, shape)
    for truth in (0.98, 0.99):
        yield accuracy_case(5, 500, "examples dominate", truth)


def mean_squares(y: Array) -> tuple[Array, Array, Array, Array]:
    """Return the means of n matrices, and their mean squares of seeds, of examples and of the rest."""
    seeds, examples = y.shape[1:]
    of_seed, of_example = y.mean(axis=2, keepdims=True), y.mean(axis=1, keepdims=True)
    mean = y.mean(axis=(1, 2), keepdims=True)
    a = examples * np.square(of_seed - mean).sum(axis=(1, 2)) / (seeds - 1)
    b = seeds * np.square(of_example - mean).sum(axis=(1, 2)) / (examples - 1)
    e = np.square(y - of_seed - of_example + mean).sum(axis=(1, 2)) / ((seeds - 1) * (examples - 1))
    return mean[:, 0, 0], a, b, e


def half_width(variance: Array, degrees: Array | float) -> Array:
    """Return the half-width of the 95 % t interval."""
    return stdtrit(np.maximum(degrees, 1e-3), 0.975) * np.sqrt(variance)


def alternatives(y: Array) -> dict[str, tuple[Array, Array]]:
    """Return the ends of the intervals that distillbench.bench.statistics does not use, by candidate."""
    seeds, examples = y.shape[1:]
    n = seeds * examples
    mean, a, b, e = mean_squares(y)
    widths = {}
    # The t interval of the seed means: the examples as if they were all there are.
    widths["seeds only"] = half_width(a / n, seeds - 1)
    widths["wider one-way"] = np.maximum(widths["seeds only"], half_width(b / n, examples - 1))
    # The unbiased variance, floored at 0, with the degrees of Satterthwaite 1946.
    squares = a**2 / (seeds - 1) + b**2 / (examples - 1) + e**2 / ((seeds - 1) * (examples - 1))
    total = np.maximum(a + b - e, 0)
    widths["Satterthwaite"] = half_width(total / n, total**2 / squares)
    # Hillis 2007: readers are the seeds, cases the examples; only the readers' degrees count.
    total = a + np.maximum(b - e, 0)
    with np.errstate(divide="ignore"):  # seeds that tie
        widths["Hillis"] = half_width(total / n, total**2 / (a**2 / (seeds - 1)))
    # The same variance with the examples' degrees too, but neither floor.
    degrees = np.where(b > e, total**2 / squares, seeds - 1)
    widths["no floors"] = half_width(total / n, degrees)
    # The half-widths of the seeds' part and the examples' part in quadrature, each with its own degrees.
    parts = half_width(a / n, seeds - 1), half_width(np.maximum(b - e, 0) / n, examples - 1)
    widths["quadrature"] = np.hypot(*parts)
    return {name: (mean - w, mean + w) for name, w in widths.items()}


def pigeonhole(y: Array, rng: Generator) -> tuple[Array, Array]:
    """Return percentiles of Owen's (2007) bootstrap, which draws seeds and examples with replacement, independently."""
    seeds, examples = y.shape[1:]
    of_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    of_example = rng.multinomial(examples, np.full(examples, 1 / examples), RESAMPLES) / examples
    rows = y.reshape(-1, examples).astype(np.float32) @ of_example.T.astype(np.float32)
    means = np.einsum("nsr,rs->nr", rows.reshape(-1, seeds, RESAMPLES), of_seed)
    low, high = np.quantile(means, (0.025, 0.975), axis=1)
    return low, high


def simulate(case: Case, rng: Generator, n: int = DATA_SETS) -> dict[str, float | str]:
    """Return the line of a case: what its variance consists of, and the coverage (%) of each candidate."""
    hits: Counter[str] = Counter()
    components, means, widths = np.zeros(3), [], []
    for _ in range(n // CHUNK):
        y = case.draw(rng, CHUNK)
        bounds = alternatives(y)
        bounds["pigeonhole"] = pigeonhole(y, rng)
        intervals = [crossed_interval(x) for x in y]
        mean, width = (np.array([getattr(i, key) for i in intervals]) for key in ("mean", "half_width"))
        bounds["chosen"] = mean - width, mean + width
        hits.update({k: int(((low <= case.truth) & (case.truth <= high)).sum()) for k, (low, high) in bounds.items()})
        _, a, b, e = mean_squares(y)
        components += [float((a - e).sum()), float((b - e).sum()), float(e.sum())]
        means.append(mean)
        widths.append(width)
    shares = "/".join(f"{max(0.0, share):.0f}" for share in 100 * components / components.sum())
    ideal = float(-ndtri(0.025)) * np.concatenate(means).std()
    return {
        "values": case.data,
        "seeds × examples": f"{case.seeds} × {case.examples}",
        "mix": case.mix,
        "seeds/examples/rest": shares,
        **{name: 100 * hits[name] / n for name in (*bounds,)},
        "width": float(np.concatenate(widths).mean() / ideal),
    }


def gaps(rng: Generator, seeds: int, examples: int, n: int) -> Iterator[tuple[Array, Array, float]]:
    """Draw data sets of the gap recovered, with the one teacher the same for all seeds.

    500 examples: accuracies of 89.5 (scratch), 91 (method) and 94 % (teacher). 4 examples: PSNR, 1.7 dB from scratch to
    teacher and half of it recovered.

    Yields:
        method − scratch (seeds, examples), teacher − scratch (seeds, examples), and the true ratio of their means.
    """
    for _ in range(n):
        if examples > 4:
            sd_seed, sd_example, sd_own = 0.03, 2.0, 0.7
            shared = sd_example * rng.normal(size=(1, 1, examples))
            means = (probit_mean(accuracy, sd_seed, sd_example, sd_own) for accuracy in (0.895, 0.91))
            scratch, method = (answers(rng, shared, seeds, mean, sd_seed, sd_own)[0] for mean in means)
            teacher = answers(rng, shared, 1, probit_mean(0.94, sd_example, sd_own), 0.0, sd_own)[0]
            yield method - scratch, teacher - scratch, (0.91 - 0.895) / (0.94 - 0.895)
        else:
            shared = rng.normal(scale=3.0, size=(1, examples))
            scratch, method = (shared + psnr_effects(rng, seeds, examples) for _ in range(2))
            teacher = shared + rng.normal(scale=0.3, size=(1, examples))
            yield method + 0.85 - scratch, teacher + 1.7 - scratch, 0.5


def psnr_effects(rng: Generator, seeds: int, examples: int) -> Array:
    """Draw what one method adds to the PSNR of each image, in dB: by its own images, its seeds, and the rest."""
    own, a = rng.normal(scale=0.3, size=(1, examples)), rng.normal(scale=0.2, size=(seeds, 1))
    return own + a + rng.normal(scale=0.1, size=(seeds, examples))


def fieller(rng: Generator, seeds: int, examples: int, n: int = RATIO_DATA_SETS) -> dict[str, float | str]:
    """Return how often Fieller's interval over seeds and examples, and that over seeds only, contains the true gap."""
    counts: Counter[str] = Counter()
    for above, below, truth in gaps(rng, seeds, examples, n):
        for name, ratio in (
            ("both", ratio_interval(above, below)),
            ("seeds", ratio_interval(above.mean(axis=1), below.mean(axis=1))),
        ):
            counts[f"{name} bounded"] += ratio is not None
            counts[f"{name} hit"] += (hit := ratio is not None and ratio.low <= truth <= ratio.high)
            if name == "both" and ratio and crossed_interval(above).excludes_zero:  # the gaps that a table prints
                counts["printed"] += 1
                counts["printed hit"] += hit
    return {
        "seeds × examples": f"{seeds} × {examples}",
        "seeds only": 100 * counts["seeds hit"] / counts["seeds bounded"],
        "chosen": 100 * counts["both hit"] / counts["both bounded"],
        "chosen, where Δ is not zero": 100 * counts["printed hit"] / counts["printed"],
        "no interval": 100 * (1 - counts["both bounded"] / n),
    }


def family(rng: Generator, seeds: int, examples: int, n: int = RATIO_DATA_SETS) -> dict[str, float | str]:
    """Return how often any of 4 methods that equal scratch counts as different from it at the 5 % level."""
    counts: Counter[str] = Counter()
    for _ in range(n):
        if examples > 4:
            shared = 2.0 * rng.normal(size=(1, 1, examples))
            mean = probit_mean(0.90, 0.03, 2.0, 0.7)
            scratch, *methods = (answers(rng, shared, seeds, mean, 0.03, 0.7)[0] for _ in range(5))
        else:
            scratch, *methods = (psnr_effects(rng, seeds, examples) for _ in range(5))
        over_seeds = [mean_interval((m.mean(axis=1) - scratch.mean(axis=1)).tolist()).p for m in methods]
        over_both = [crossed_interval(m - scratch).p for m in methods]
        for name, p_values in (
            ("seeds only, Holm", holm(over_seeds)),
            ("chosen, unadjusted", over_both),
            ("chosen, Holm", holm(over_both)),
        ):
            counts[name] += min(p_values) < 0.05
    shares = {name: 100 * count / n for name, count in counts.items()}
    return {"seeds × examples": f"{seeds} × {examples}"} | shares


def markdown(rows: list[dict[str, float | str]]) -> str:
    """Return Markdown with one decimal, ``width`` with two."""
    head = list(rows[0])
    lines = [head, ["---" if isinstance(rows[0][key], str) else "---:" for key in head]]
    lines += [
        [x if isinstance(x := row[k], str) else f"{x:.{2 if k == 'width' else 1}f}" for k in head] for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    streams = np.random.SeedSequence(SEED)
    lines = list(cases())
    rngs = [np.random.default_rng(s) for s in streams.spawn(len(lines) + 4)]
    rows = []
    for case, rng in zip(lines, rngs, strict=False):
        rows.append(simulate(case, rng))
        print(f"{len(rows)}/{len(lines)}", end="\r", file=sys.stderr)
    print(f"Coverage of the nominal 95 % interval of the mean, {DATA_SETS} data sets a line:\n\n{markdown(rows)}\n")
    sizes = ((5, 500), (5, 4))
    count = f"{RATIO_DATA_SETS} data sets a line:"
    rows = [fieller(rng, *size) for rng, size in zip(rngs[-4:-2], sizes, strict=True)]
    print(f"Coverage of the gap recovered where it has an interval, {count}\n\n{markdown(rows)}\n")
    rows = [family(rng, *size) for rng, size in zip(rngs[-2:], sizes, strict=True)]
    print(f"At least one of 4 equal methods found different from scratch, {count}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
