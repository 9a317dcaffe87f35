"""Can this machine detect a slowdown of 5%? The gate's rule, on pairs of networks of which the truth is known.

A network against a copy of itself (the A/A control) shows how often the rule raises a false alarm, the network with 5%
more work how often it detects a slowdown.
"""

from __future__ import annotations

import copy
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Literal

from distillbench.bench.measure.interleaving import Clock, InterleavedTimes, Workload, interleave
from distillbench.bench.statistics import Ratio, Verdict, ratio_verdict

if TYPE_CHECKING:
    from torch import Tensor, nn

SLOWDOWN = 0.05
MARGIN = 0.01
"""A relative change of speed that does not matter."""
DEVIATION = 0.005
"""How far the slowdown may be from ``SLOWDOWN``, at most."""
MOST_FALSE, LEAST_DETECTED = 0.01, 0.95
LEVEL = 0.95
TRIALS = 8
"""How often the size of the extra work is adjusted."""
LONGEST = 60.0
"""Seconds of one comparison, at most."""


@dataclass(frozen=True)
class Design:
    """The design of the experiment.

    Attributes:
        unchanged: How many comparisons of a network with itself.
        slowed: How many comparisons of a network with the slower one.
        most_pairs: Cap on the pairs of a comparison.
        seconds: Of the whole experiment.
        truth_seconds: Of these at most, for measuring the slowdown itself: one long run.
    """

    unchanged: int
    slowed: int
    most_pairs: int
    seconds: float
    truth_seconds: float


QUICK = Design(unchanged=300, slowed=100, most_pairs=300, seconds=110, truth_seconds=12)
FULL = Design(unchanged=1000, slowed=300, most_pairs=1000, seconds=600, truth_seconds=60)


@dataclass(frozen=True)
class Rate:
    """How often something happened, with one-sided 95% bounds after Clopper and Pearson 1934.

    Attributes:
        count: How often it happened.
        of: How often it could have happened.
    """

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share; NaN of nothing."""
        return self.count / self.of if self.of else math.nan

    @property
    def at_least(self) -> float:
        """The lower bound."""
        from scipy.special import betaincinv

        return float(betaincinv(self.count, self.of - self.count + 1, 1 - LEVEL)) if self.count else 0.0

    @property
    def at_most(self) -> float:
        """The upper bound."""
        from scipy.special import betaincinv

        return float(betaincinv(self.count + 1, self.of - self.count, LEVEL)) if self.count < self.of else 1.0


@dataclass(frozen=True)
class SelftestResult:
    """The result of the experiment.

    Attributes:
        unchanged: How many comparisons of a network with itself had which verdict.
        slowed: How many comparisons with the slower network had which verdict.
        truth: The time of the slower network over the other's.
        pairs: Of every comparison.
        seconds: Of one pass of the network, the median.
        design: Of the experiment.
    """

    unchanged: Mapping[Verdict, int]
    slowed: Mapping[Verdict, int]
    truth: Ratio
    pairs: tuple[int, ...]
    seconds: float
    design: Design = field(repr=False)

    @property
    def false_alarms(self) -> Rate:
        """How often an unchanged network is reported as changed, in either direction."""
        total = sum(self.unchanged.values())
        return Rate(self.unchanged.get("regressed", 0) + self.unchanged.get("improved", 0), total)

    @property
    def detections(self) -> Rate:
        """How often a slower network is reported as slower."""
        return Rate(self.slowed.get("regressed", 0), sum(self.slowed.values()))

    @property
    def answer(self) -> Literal["yes", "no", "inconclusive"]:
        """Whether the machine detects the slowdown, where the bounds are conclusive and its size was right."""
        if self.false_alarms.at_least > MOST_FALSE:
            return "no"
        if abs(self.truth.value - 1 - SLOWDOWN) > DEVIATION:
            return "inconclusive"
        if self.detections.at_most < LEAST_DETECTED:
            return "no"
        sure = self.false_alarms.at_most <= MOST_FALSE and self.detections.at_least >= LEAST_DETECTED
        return "yes" if sure else "inconclusive"

    def lines(self) -> list[str]:
        """Return the result as text; the last line is the answer."""
        false, detected, truth = self.false_alarms, self.detections, self.truth
        return [
            f"network: {1000 * self.seconds:.3g} ms a pass; slowed by {_percent(truth.value - 1)} "
            f"[{_percent(truth.low - 1)}, {_percent(truth.high - 1)}]",
            f"unchanged: {false.count} false alarms in {_rate(false, f'at most {_percent(false.at_most)}')}; "
            f"{self.unchanged.get('inconclusive', 0)} inconclusive",
            f"slowed: {detected.count} detected in {_rate(detected, f'at least {_percent(detected.at_least)}')}; "
            f"{self.slowed.get('inconclusive', 0)} inconclusive",
            self._sentence(),
        ]

    def _sentence(self) -> str:
        what = f"a slowdown of {SLOWDOWN:.0%} beyond a margin of {MARGIN:.0%}"
        pairs = f"{median(self.pairs):.0f} pairs (at most {max(self.pairs)})" if self.pairs else "no pairs"
        if self.answer == "yes":
            return f"yes: this machine detects {what}, with {pairs}"
        if self.answer == "no":
            reason = "false alarms" if self.false_alarms.at_least > MOST_FALSE else "it is not detected often enough"
            return f"no: this machine does not detect {what}, with {pairs}: {reason}"
        if abs(self.truth.value - 1 - SLOWDOWN) > DEVIATION:
            return f"inconclusive: the network was slowed by {_percent(self.truth.value - 1)}, not by {SLOWDOWN:.0%}"
        short = self.design.unchanged + self.design.slowed - self.false_alarms.of - self.detections.of
        why = f"time ran out {short} comparisons early" if short else "the bounds allow both"
        return f"inconclusive: whether this machine detects {what}, with {pairs}: {why}"


def rule_of_the_gate(ratio: Ratio) -> Verdict:
    """Return the verdict of ``distillbench compare --revisions`` on a ratio of times."""
    return ratio_verdict(ratio, 1.0, MARGIN)


def selftest(
    plain: Callable[[], Workload],
    slowed: Callable[[], Workload],
    design: Design,
    *,
    rule: Callable[[Ratio], Verdict] = rule_of_the_gate,
    clock: Clock = time.perf_counter,
    start: float | None = None,
    seed: int = 0,
) -> SelftestResult:
    """Run the experiment; the two kinds of comparison are mixed, so that other work of the machine disturbs both.

    Args:
        plain: Makes the network; each comparison has its own copies.
        slowed: Makes the network that is slower by ``SLOWDOWN``.
        design: Of the experiment.
        rule: The rule that is tested.
        clock: In seconds.
        start: By the clock, from when the design's seconds count; default: now.
        seed: Of all random orders.
    """
    end = (clock() if start is None else start) + design.seconds
    truth = interleave(
        {"plain": plain(), "slowed": slowed()},
        seed=seed,
        least_pairs=300,
        most_pairs=10_000,
        most_seconds=min(design.truth_seconds, end - clock()),
        width=0.002,
        clock=clock,
    )
    verdicts: dict[bool, Counter[Verdict]] = {False: Counter(), True: Counter()}
    pairs: list[int] = []
    kinds = [False] * design.unchanged + [True] * design.slowed
    for number, slow in enumerate(Random(seed).sample(kinds, len(kinds)), start=1):
        if clock() >= end:
            break
        times: InterleavedTimes = interleave(
            {"baseline": plain(), "candidate": (slowed if slow else plain)()},
            seed=seed + number,
            most_pairs=design.most_pairs,
            most_seconds=min(LONGEST, end - clock()),
            clock=clock,
        )
        verdicts[slow][rule(times.ratios["candidate"])] += 1
        pairs.append(times.pairs)
    ratio = truth.ratios["slowed"]
    return SelftestResult(verdicts[False], verdicts[True], ratio, tuple(pairs), truth.samples["plain"].median, design)


def workloads(
    model: nn.Module, example: Tensor, seconds: float = 8.0
) -> tuple[Callable[[], Workload], Callable[[], Workload]]:
    """Return functions that make a network, and the same with extra work that takes ``SLOWDOWN`` of a pass.

    Args:
        model: The network.
        example: A batch of inputs.
        seconds: For adjusting the size of the extra work.
    """
    import torch

    model = model.eval()

    def plain() -> Workload:
        network = copy.deepcopy(model)

        def call() -> None:
            with torch.inference_mode():
                network(example)

        return Workload(call)

    def slower(elements: int, with_network: bool = True) -> Workload:
        network, numbers = copy.deepcopy(model), torch.rand(elements)
        result = torch.empty_like(numbers)

        def call() -> None:
            with torch.inference_mode():
                if with_network:
                    network(example)
                torch.sin(numbers, out=result)

        return Workload(call)

    elements = 1000
    for number in range(TRIALS):
        pair = {"network": plain(), "work": slower(elements, False)}
        work = interleave(pair, seed=number, most_seconds=seconds / TRIALS)
        share = work.ratios["work"].value
        if abs(share / SLOWDOWN - 1) < 0.02:
            break
        elements = max(1, round(elements * min(10.0, max(0.1, SLOWDOWN / share))))
    return plain, lambda: slower(elements)


def network() -> tuple[nn.Module, Tensor]:
    """Return an untrained student of the quick suite and one input: times do not depend on the weights."""
    from distillbench.bench.suite.resolve import load
    from distillbench.bench.training.loop import initial

    (pair,) = load("quick", tasks=["denoising"]).pairs
    task = pair.build()
    return task.deployed(initial(task, "student", 0)), task.example_input(1)


def _rate(rate: Rate, bound: str) -> str:
    return f"{rate.of} comparisons, {_percent(rate.value)} ({bound})" if rate.of else "no comparisons"


def _percent(part: float) -> str:
    return f"{100 * part:.2g}%" if abs(part) < 0.1 else f"{100 * part:.3g}%"
