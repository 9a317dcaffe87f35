"""Latency of several callables in one process, in turns: what disturbs the machine disturbs them alike.

One sample each, in random balanced order, is a pair (of more than two: a round). A ratio is that of paired samples, so
that drift and bursts of other work cancel, which two series taken one after the other do not allow.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np

from distillbench.bench.statistics import Ratio, paired_ratio
from distillbench.bench.store.timings import P90_FROM, P99_FROM

LEAST_SAMPLE = 50 * 20e-6
"""Seconds: calls are repeated until a sample takes as long, so that neither the clock nor the loop is what is seen."""
WARM_UP = 0.25
"""Part of a sample's calls that each turn begins with, untimed: the other subject has just had the caches."""
LEAST_PAIRS = 30
WIDTH = 0.01
"""Half-width of a ratio's interval, relative to the ratio, at which there are enough pairs."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Subject:
    """call: what is timed. device: "cuda" (or "cuda:N") where it queues work on torch's stream and does not wait."""

    call: Callable[[], object]
    device: str = "cpu"


@dataclass(frozen=True)
class Samples:
    """seconds: of one call, each the mean over the ``loops`` calls of a sample, in the order they were taken."""

    seconds: tuple[float, ...]
    loops: int

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.seconds, q))

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    @property
    def quartiles(self) -> tuple[float, float]:
        return self.quantile(0.25), self.quantile(0.75)

    @property
    def p90(self) -> float | None:
        """None with too few samples to say."""
        return self.quantile(0.9) if len(self.seconds) >= P90_FROM else None

    @property
    def p99(self) -> float | None:
        """None with too few samples to say."""
        return self.quantile(0.99) if len(self.seconds) >= P99_FROM else None


@dataclass(frozen=True)
class Interleaved:
    """samples: by subject, all of one length; the first is the baseline. ratios: the others' times over the baseline's.

    stopped_by: "width" where every interval is as narrow as was asked, "cap" where pairs or seconds ran out before.
    """

    samples: Mapping[str, Samples]
    ratios: Mapping[str, Ratio]
    pairs: int
    stopped_by: Literal["width", "cap"]
    level: float

    def line(self) -> str:
        """'eager 0.21 ms, onnxruntime 0.08 ms: 2.61 times as fast [2.58, 2.64], 30 pairs'."""
        times = ", ".join(f"{name} {1000 * each.median:.3g} ms" for name, each in self.samples.items())
        named = len(self.ratios) > 1
        ratios = ", ".join(
            f"{name + ' ' if named else ''}{1 / r.value:.3g} times as fast [{1 / r.high:.3g}, {1 / r.low:.3g}]"
            for name, r in self.ratios.items()
        )
        cap = ", stopped by the cap" if self.stopped_by == "cap" else ""
        return f"{times}: {ratios}, {self.pairs} pairs{cap}"


def interleave(
    subjects: Mapping[str, Subject],
    *,
    seed: int = 0,
    threads: int = 1,
    least_pairs: int = LEAST_PAIRS,
    most_pairs: int = 1000,
    most_seconds: float = 60.0,
    width: float = WIDTH,
    level: float = 0.99,
    clock: Clock = time.perf_counter,
) -> Interleaved:
    """Time two or more subjects in turns until the interval of every ratio to the first is within ± ``width``.

    It stops by that width, never by what the ratio is: a look at the result decides nothing. The caps, on pairs and on
    seconds, count from ``least_pairs`` on. threads: of torch, while this runs. clock: in seconds; a
    GPU has its own.

    Raises ValueError for fewer than two subjects, or caps that leave no pairs.
    """
    if len(subjects) < 2:
        raise ValueError("nothing to compare: fewer than two subjects")
    if not 1 < least_pairs <= most_pairs:
        raise ValueError(f"{least_pairs} pairs at least, {most_pairs} at most")
    rng, names = Random(seed), list(subjects)
    baseline, *others = names
    taken: dict[str, list[float]] = {name: [] for name in names}
    with undisturbed(threads):
        start = clock()
        timers = {name: timer(subject, clock) for name, subject in subjects.items()}
        loops = {name: enough_loops(timers[name]) for name in names}
        next_look = least_pairs
        for pairs, order in enumerate(balanced_orders(names, rng), start=1):
            for name in order:
                timers[name](math.ceil(WARM_UP * loops[name]))
                taken[name].append(timers[name](loops[name]) / loops[name])
            if pairs < least_pairs:
                continue
            capped = pairs >= most_pairs or clock() - start >= most_seconds
            if capped or (pairs >= next_look and pairs % len(names) == 0):
                ratios = {name: paired_ratio(taken[name], taken[baseline], level) for name in others}
                narrow = all(half_width(ratio) <= width for ratio in ratios.values())
                if narrow or capped:
                    break
                wanted = max(map(half_width, ratios.values())) / width
                next_look = math.ceil(pairs * min(max(0.8 * wanted**2, 1.1), 2.0))  # a width goes with 1 / √pairs
    samples = {name: Samples(tuple(taken[name]), loops[name]) for name in names}
    return Interleaved(samples, ratios, pairs, "width" if narrow else "cap", level)


def half_width(ratio: Ratio) -> float:
    """Of its interval, relative to the ratio."""
    return (ratio.high - ratio.low) / 2 / ratio.value


def balanced_orders(names: Sequence[str], rng: Random) -> Iterator[list[str]]:
    """Random orders without end. In each block of as many as there are names, every name is once in every place."""
    while True:
        row = rng.sample(names, len(names))
        block = [row[i:] + row[:i] for i in range(len(row))]
        yield from rng.sample(block, len(block))


def enough_loops(time_of: Callable[[int], float]) -> int:
    """Calls that take ``LEAST_SAMPLE`` also in the quickest of three trials. time_of: seconds of so many calls."""
    loops = 1
    while (quickest := min(time_of(loops) for _ in range(3))) < LEAST_SAMPLE:
        needed = 1.1 * loops * LEAST_SAMPLE / max(quickest, 1e-9)
        loops = math.ceil(min(max(needed, loops + 1), 100 * loops))
    return loops


def timer(subject: Subject, clock: Clock) -> Callable[[int], float]:
    """Seconds that so many calls take: by the clock, or on CUDA by events on its stream, the device idle before."""
    call = subject.call
    if not subject.device.startswith("cuda"):

        def by_clock(loops: int) -> float:
            start = clock()
            for _ in range(loops):
                call()
            return clock() - start

        return by_clock

    import torch

    def by_events(loops: int) -> float:
        with torch.cuda.device(subject.device):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize()
            start.record()
            for _ in range(loops):
                call()
            end.record()
            torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1000

    return by_events


@contextmanager
def undisturbed(threads: int) -> Iterator[None]:
    """The garbage collector off and torch's threads fixed; both as they were afterwards."""
    import torch

    before, collecting = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(threads)
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if collecting:
            gc.enable()
