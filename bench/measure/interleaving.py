"""Latency of several callables in one process, interleaved: what disturbs the machine disturbs them alike.

One sample each, in random balanced order, is a pair (of more than two: a round). A ratio is that of paired samples, so
that drift and bursts of other work cancel; in two series taken one after the other they do not.
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
"""Seconds: calls are repeated until a sample takes as long, so that clock and loop do not count."""
WARM_UP = 0.25
"""Share of a sample's calls that are made before it, untimed: another workload has just had the caches."""
LEAST_PAIRS = 30
WIDTH = 0.01
"""Half-width of a ratio's interval, relative to the ratio, at which there are enough pairs."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Workload:
    """A call to time.

    Attributes:
        call: The call, without arguments.
        device: "cuda" (or "cuda:N") where it queues work on torch's stream and does not wait.
    """

    call: Callable[[], object]
    device: str = "cpu"


@dataclass(frozen=True)
class Samples:
    """The samples of one workload.

    Attributes:
        seconds: Of one call, each the mean over the calls of a sample, in the order in which they were taken.
        loops: Calls of each sample.
    """

    seconds: tuple[float, ...]
    loops: int

    def quantile(self, q: float) -> float:
        """Return a quantile of the seconds of one call, ``q`` from 0 to 1."""
        return float(np.quantile(self.seconds, q))

    @property
    def median(self) -> float:
        """The median of the seconds of one call."""
        return self.quantile(0.5)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile of the seconds of one call."""
        return self.quantile(0.25), self.quantile(0.75)

    @property
    def p90(self) -> float | None:
        """The 90th percentile; None with too few samples for it."""
        return self.quantile(0.9) if len(self.seconds) >= P90_FROM else None

    @property
    def p99(self) -> float | None:
        """The 99th percentile; None with too few samples for it."""
        return self.quantile(0.99) if len(self.seconds) >= P99_FROM else None


@dataclass(frozen=True)
class InterleavedTimes:
    """Times of two or more workloads that took turns.

    Attributes:
        samples: By workload, all of one length; the first is the baseline.
        ratios: The other workloads' times over the baseline's.
        pairs: How many samples each workload has.
        stopped_by: "width" where every interval is narrow enough, "cap" where pairs or seconds ran out before.
        level: Confidence of the intervals.
    """

    samples: Mapping[str, Samples]
    ratios: Mapping[str, Ratio]
    pairs: int
    stopped_by: Literal["width", "cap"]
    level: float

    def line(self) -> str:
        """Return 'eager 0.21 ms, onnxruntime 0.08 ms: 2.61 times as fast [2.58, 2.64], 30 pairs'."""
        times = ", ".join(f"{name} {1000 * each.median:.3g} ms" for name, each in self.samples.items())
        named = len(self.ratios) > 1
        ratios = ", ".join(
            f"{name + ' ' if named else ''}{1 / r.value:.3g} times as fast [{1 / r.high:.3g}, {1 / r.low:.3g}]"
            for name, r in self.ratios.items()
        )
        cap = ", stopped by the cap" if self.stopped_by == "cap" else ""
        return f"{times}: {ratios}, {self.pairs} pairs{cap}"


def interleave(
    workloads: Mapping[str, Workload],
    *,
    seed: int = 0,
    threads: int = 1,
    least_pairs: int = LEAST_PAIRS,
    most_pairs: int = 1000,
    most_seconds: float = 60.0,
    width: float = WIDTH,
    level: float = 0.99,
    clock: Clock = time.perf_counter,
) -> InterleavedTimes:
    """Time two or more workloads, interleaved, until the interval of every ratio is narrow enough.

    It stops by the width of intervals, never by the ratios: looking at the result must not decide when to stop.

    Args:
        workloads: By name; the first is the baseline.
        seed: Of the random order.
        threads: Threads of torch meanwhile.
        least_pairs: From here on the caps count, and the width.
        most_pairs: Cap on pairs.
        most_seconds: Cap on seconds.
        width: Half-width of an interval, relative to its ratio, that is narrow enough.
        level: Confidence of the intervals.
        clock: In seconds; a GPU has its own.

    Raises:
        ValueError: There are fewer than two workloads, or the caps leave no pairs.
    """
    if len(workloads) < 2:
        raise ValueError("nothing to compare: fewer than two workloads")
    if not 1 < least_pairs <= most_pairs:
        raise ValueError(f"{least_pairs} pairs at least, {most_pairs} at most")
    baseline, *others = names = list(workloads)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with undisturbed(threads):
        start = clock()
        timers = {name: timer(workload, clock) for name, workload in workloads.items()}
        loops = {name: enough_loops(timers[name]) for name in names}
        next_look = least_pairs
        for pairs, order in enumerate(balanced_orders(names, Random(seed)), start=1):
            for name in order:
                timers[name](math.ceil(WARM_UP * loops[name]))
                seconds[name].append(timers[name](loops[name]) / loops[name])
            if pairs < least_pairs:
                continue
            capped = pairs >= most_pairs or clock() - start >= most_seconds
            if capped or (pairs >= next_look and pairs % len(names) == 0):
                ratios = {name: paired_ratio(seconds[name], seconds[baseline], level) for name in others}
                narrow = all(half_width(ratio) <= width for ratio in ratios.values())
                if narrow or capped:
                    break
                excess = max(map(half_width, ratios.values())) / width
                next_look = math.ceil(pairs * min(max(0.8 * excess**2, 1.1), 2.0))  # a width goes with 1 / √pairs
    samples = {name: Samples(tuple(seconds[name]), loops[name]) for name in names}
    return InterleavedTimes(samples, ratios, pairs, "width" if narrow else "cap", level)


def half_width(ratio: Ratio) -> float:
    """Return the half-width of a ratio's interval, relative to the ratio."""
    return (ratio.high - ratio.low) / 2 / ratio.value


def balanced_orders(names: Sequence[str], rng: Random) -> Iterator[list[str]]:
    """Yield random orders without end: in each block of ``len(names)``, every name is once in every place."""
    while True:
        row = rng.sample(names, len(names))
        block = [row[i:] + row[:i] for i in range(len(row))]
        yield from rng.sample(block, len(block))


def enough_loops(time_of: Callable[[int], float]) -> int:
    """Return how many calls take at least ``LEAST_SAMPLE``, also in the quickest of three trials.

    Args:
        time_of: Makes a number of calls and returns the seconds that they took.
    """
    loops = 1
    while (quickest := min(time_of(loops) for _ in range(3))) < LEAST_SAMPLE:
        needed = 1.1 * loops * LEAST_SAMPLE / max(quickest, 1e-9)
        loops = math.ceil(min(max(needed, loops + 1), 100 * loops))
    return loops


def timer(workload: Workload, clock: Clock) -> Callable[[int], float]:
    """Return a function that makes a number of calls and returns their seconds.

    They are taken by the clock, or on CUDA by events on its stream, the device idle before.
    """
    call = workload.call
    if not workload.device.startswith("cuda"):

        def by_clock(loops: int) -> float:
            start = clock()
            for _ in range(loops):
                call()
            return clock() - start

        return by_clock

    import torch

    def by_events(loops: int) -> float:
        with torch.cuda.device(workload.device):
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
    """Turn the garbage collector off and fix torch's threads meanwhile."""
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
