"""Can this machine see a slowdown of 5%? The gate's rule, on pairs of which the truth is known.

A network against a copy of itself shows how often the rule raises a false alarm, the network with 5% more work how
often it finds what there is.
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

from distillbench.bench.measure.interleaving import Clock, Interleaved, Subject, interleave
from distillbench.bench.statistics import Ratio, Verdict, ratio_verdict

if TYPE_CHECKING:
    from torch import Tensor, nn

SLOWDOWN = 0.05
MARGIN = 0.01
"""A change of speed that nobody cares about."""
OFF = 0.005
"""How far the slowdown may be from ``SLOWDOWN`` and still be called it."""
MOST_FALSE, LEAST_FOUND = 0.01, 0.95
LEVEL = 0.95
TRIALS = 8
"""Of the size of the slowdown."""
LONGEST = 60.0
"""Seconds of one comparison."""


@dataclass(frozen=True)
class Plan:
    """unchanged, slowed: how many comparisons. most_pairs: of each. seconds: for all that is done.

    truth_seconds: of these at most, for the size of the slowdown: one long run.
    """

    unchanged: int
    slowed: int
    most_pairs: int
    seconds: float
    truth_seconds: float


QUICK = Plan(unchanged=300, slowed=100, most_pairs=300, seconds=110, truth_seconds=12)
FULL = Plan(unchanged=1000, slowed=300, most_pairs=1000, seconds=600, truth_seconds=60)


@dataclass(frozen=True)
class Rate:
    """How often something happened, with one-sided 95% bounds after Clopper and Pearson 1934."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of if self.of else math.nan

    @property
    def at_least(self) -> float:
        from scipy.special import betaincinv

        return float(betaincinv(self.count, self.of - self.count + 1, 1 - LEVEL)) if self.count else 0.0

    @property
    def at_most(self) -> float:
        from scipy.special import betaincinv

        return float(betaincinv(self.count + 1, self.of - self.count, LEVEL)) if self.count < self.of else 1.0


@dataclass(frozen=True)
class Findings:
    """unchanged, slowed: how many comparisons had which verdict. truth: time of the slowed network over the other's.

    pairs: of every comparison. seconds: of one pass of the network, the median.
    """

    unchanged: Mapping[Verdict, int]
    slowed: Mapping[Verdict, int]
    truth: Ratio
    pairs: tuple[int, ...]
    seconds: float
    planned: Plan = field(repr=False)

    @property
    def false_alarms(self) -> Rate:
        """In both directions: an improvement that is none is as false."""
        total = sum(self.unchanged.values())
        return Rate(self.unchanged.get("regressed", 0) + self.unchanged.get("improved", 0), total)

    @property
    def found(self) -> Rate:
        return Rate(self.slowed.get("regressed", 0), sum(self.slowed.values()))

    @property
    def answer(self) -> Literal["yes", "no", "inconclusive"]:
        """yes, no: as the bounds say, where they say anything, and the slowdown was what it was meant to be."""
        if self.false_alarms.at_least > MOST_FALSE:
            return "no"
        if abs(self.truth.value - 1 - SLOWDOWN) > OFF:
            return "inconclusive"
        if self.found.at_most < LEAST_FOUND:
            return "no"
        sure = self.false_alarms.at_most <= MOST_FALSE and self.found.at_least >= LEAST_FOUND
        return "yes" if sure else "inconclusive"

    def lines(self) -> list[str]:
        """For the eye; the last is the answer."""
        false, found, truth = self.false_alarms, self.found, self.truth
        return [
            f"network: {1000 * self.seconds:.3g} ms a pass; slowed by {_percent(truth.value - 1)} "
            f"[{_percent(truth.low - 1)}, {_percent(truth.high - 1)}]",
            f"unchanged: {false.count} false alarms in {_rate(false, f'at most {_percent(false.at_most)}')}; "
            f"{self.unchanged.get('inconclusive', 0)} inconclusive",
            f"slowed: {found.count} found in {_rate(found, f'at least {_percent(found.at_least)}')}; "
            f"{self.slowed.get('inconclusive', 0)} inconclusive",
            self._sentence(),
        ]

    def _sentence(self) -> str:
        what = f"a slowdown of {SLOWDOWN:.0%} beyond a margin of {MARGIN:.0%}"
        pairs = f"{median(self.pairs):.0f} pairs (at most {max(self.pairs)})" if self.pairs else "no pairs"
        if self.answer == "yes":
            return f"yes: this machine sees {what}, with {pairs}"
        if self.answer == "no":
            reason = "false alarms" if self.false_alarms.at_least > MOST_FALSE else "it is not found often enough"
            return f"no: this machine does not see {what}, with {pairs}: {reason}"
        if abs(self.truth.value - 1 - SLOWDOWN) > OFF:
            return f"inconclusive: the network was slowed by {_percent(self.truth.value - 1)}, not by {SLOWDOWN:.0%}"
        short = self.planned.unchanged + self.planned.slowed - self.false_alarms.of - self.found.of
        why = f"time ran out {short} comparisons early" if short else "the bounds allow both"
        return f"inconclusive: whether this machine sees {what}, with {pairs}: {why}"


def rule_of_the_gate(ratio: Ratio) -> Verdict:
    return ratio_verdict(ratio, 1.0, MARGIN)


def selftest(
    plain: Callable[[], Subject],
    slowed: Callable[[], Subject],
    plan: Plan,
    *,
    rule: Callable[[Ratio], Verdict] = rule_of_the_gate,
    clock: Clock = time.perf_counter,
    start: float | None = None,
    seed: int = 0,
) -> Findings:
    """plain, slowed: make the network, and the one that is slower by ``SLOWDOWN``; each comparison has its own copies.

    The two kinds of comparison come mixed, so that what the machine does meanwhile meets both. start: by the clock,
    that the plan's seconds count from; now.
    """
    end = (clock() if start is None else start) + plan.seconds
    truth = interleave(
        {"plain": plain(), "slowed": slowed()},
        seed=seed,
        least_pairs=300,
        most_pairs=10_000,
        most_seconds=min(plan.truth_seconds, end - clock()),
        width=0.002,
        clock=clock,
    )
    verdicts: dict[bool, Counter[Verdict]] = {False: Counter(), True: Counter()}
    pairs: list[int] = []
    kinds = [False] * plan.unchanged + [True] * plan.slowed
    for number, slow in enumerate(Random(seed).sample(kinds, len(kinds)), start=1):
        if clock() >= end:
            break
        compared: Interleaved = interleave(
            {"baseline": plain(), "candidate": (slowed if slow else plain)()},
            seed=seed + number,
            most_pairs=plan.most_pairs,
            most_seconds=min(LONGEST, end - clock()),
            clock=clock,
        )
        verdicts[slow][rule(compared.ratios["candidate"])] += 1
        pairs.append(compared.pairs)
    found = truth.ratios["slowed"]
    return Findings(verdicts[False], verdicts[True], found, tuple(pairs), truth.samples["plain"].median, plan)


def subjects(
    model: nn.Module, example: Tensor, seconds: float = 8.0
) -> tuple[Callable[[], Subject], Callable[[], Subject]]:
    """A network, and the same with extra work after each pass, of a size that takes ``SLOWDOWN`` of a pass.

    seconds: that the size may be looked for.
    """
    import torch

    model = model.eval()

    def plain() -> Subject:
        network = copy.deepcopy(model)

        def call() -> None:
            with torch.inference_mode():
                network(example)

        return Subject(call)

    def slower(elements: int, with_network: bool = True) -> Subject:
        network, numbers = copy.deepcopy(model), torch.rand(elements)
        result = torch.empty_like(numbers)

        def call() -> None:
            with torch.inference_mode():
                if with_network:
                    network(example)
                torch.sin(numbers, out=result)

        return Subject(call)

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
    """A student of the quick suite, untrained, and one input: what a pass takes does not depend on the weights."""
    from distillbench.bench.suite.resolve import load
    from distillbench.bench.training.loop import initial

    (pair,) = load("quick", tasks=["denoising"]).pairs
    task = pair.build()
    return task.deployed(initial(task, "student", 0)), task.example_input(1)


def _rate(rate: Rate, bound: str) -> str:
    return f"{rate.of} comparisons, {_percent(rate.value)} ({bound})" if rate.of else "no comparisons"


def _percent(part: float) -> str:
    return f"{100 * part:.2g}%" if abs(part) < 0.1 else f"{100 * part:.3g}%"
