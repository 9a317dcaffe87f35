"""Launches of two revisions: living processes, timed interleaved, launch after launch until every student is decided.

The launch is the statistical unit: what a process draws once (where its memory lies) is the same in all its samples.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distillbench.bench.compare.decisions import SIDES, Rule, Side, Times, decide
from distillbench.bench.compare.revision_process import Sampler
from distillbench.bench.measure.interleaving import WARM_UP, balanced_orders, enough_loops

LEAST_ROUNDS = 30
SHARES = 20
"""Launches that the time must suffice for: where rounds take long, a student has fewer of them in each."""
Samplers = Mapping[Side, Sampler]
Launcher = Callable[[bool], AbstractContextManager[Samplers]]
"""Starts the processes of one launch and ends them; the argument says whether sizes are needed."""
Clock = Callable[[], float]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Budget:
    """How long a comparison of revisions may take.

    On two virtual cores, the denoising student: medians of 60 rounds vary by 0.6% within a launch, and launches by as
    much again. With 240 rounds a launch's own noise is small against that.

    Attributes:
        rounds: Of a student in a launch, at most.
        seconds: In all; no launch begins that would not end by then.
    """

    rounds: int = 240
    seconds: float = 600.0


@dataclass(frozen=True)
class Measurements:
    """All launches of one comparison.

    Attributes:
        opened: What each side can time, with sizes, as its process reported.
        times: Of each subject that all sides have.
        launches: How many there were.
    """

    opened: Mapping[Side, Mapping[str, Any]]
    times: Mapping[str, Times]
    launches: int


def measure(
    launch: Launcher,
    rule: Rule,
    budget: Budget,
    rng: Random,
    progress: Progress = lambda line: None,
    clock: Clock = time.monotonic,
) -> tuple[Measurements, Rule]:
    """Time every undecided subject in launch after launch; in the first one all of them, however long it takes.

    Args:
        launch: Starts the processes.
        rule: What a change must exceed.
        budget: After which the undecided remain so.
        rng: Of orders; the order of subjects is random since time may not suffice for the last.
        progress: Called with a line after each launch.
        clock: Seconds.

    Returns:
        The measurements, and the rule for as many subjects as there are.
    """
    start = clock()
    times: dict[str, Times] = {}
    opened: Mapping[Side, Mapping[str, Any]] = {}
    undecided: list[str] = []
    for count in itertools.count(1):
        began = clock()
        with launch(count == 1) as samplers:
            answers = {side: samplers[side].open() for side in SIDES}
            if count == 1:
                opened, undecided = answers, _common_subjects(answers)
                times, rule = dict.fromkeys(undecided, Times()), replace(rule, subjects=max(1, len(undecided)))
            seconds = budget.seconds / SHARES / max(1, len(undecided))
            for subject in rng.sample(undecided, len(undecided)):
                if count == 1 or clock() - start < budget.seconds:
                    sample = _time_rounds(subject, samplers, budget.rounds, rng, seconds, clock)
                    times[subject] = times[subject].with_launch(*sample)
        undecided = [subject for subject in undecided if not decide(times[subject], rule).final]
        now = clock()
        progress(f"launch {count}: {len(times) - len(undecided)} of {len(times)} decided, {now - start:.0f} s")
        if not undecided or 2 * now - began > start + budget.seconds:
            break
    return Measurements(opened, times, count), rule


def _common_subjects(answers: Mapping[Side, Mapping[str, Any]]) -> list[str]:
    subjects: Iterable[str] = answers["base"]["subjects"]
    return [subject for subject in subjects if all(subject in answer["subjects"] for answer in answers.values())]


def _time_rounds(
    subject: str, samplers: Samplers, rounds: int, rng: Random, seconds: float, clock: Clock
) -> tuple[float, float, float]:
    """One launch of a subject: head / base and control / base (medians over rounds), and seconds of a call at base.

    All three make as many calls as the slowest to fill a sample needs, and one of them computes at a time. There are
    ``LEAST_ROUNDS``, and more for so many seconds.
    """
    start = clock()
    loops = max(enough_loops(_timer(samplers[side], subject)) for side in SIDES)
    warm_up = math.ceil(WARM_UP * loops)
    samples: dict[Side, list[float]] = {side: [] for side in SIDES}
    for number, order in zip(range(rounds), balanced_orders(SIDES, rng), strict=False):
        if number >= LEAST_ROUNDS and number % len(SIDES) == 0 and clock() - start >= seconds:
            break
        for side in order:
            samples[side].append(samplers[side].sample(subject, loops, warm_up) / loops)  # type: ignore[index]
    base = np.array(samples["base"])
    head, control = (_median_ratio(samples[side], base) for side in ("head", "control"))
    return head, control, float(np.median(base))


def _timer(sampler: Sampler, subject: str) -> Callable[[int], float]:
    return lambda loops: sampler.sample(subject, loops, 0)


def _median_ratio(seconds: Sequence[float], base: NDArray[np.float64]) -> float:
    return float(np.exp(np.median(np.log(np.array(seconds) / base))))
