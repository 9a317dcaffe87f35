"""When the launches of a student suffice, and what they say about it: intervals that hold however often one looks.

The intervals are confidence sequences (``bench/statistics/sequences.py``), so a clear change is found early and only
what is doubtful takes time. There are two levels. A change is claimed where the interval of 99%, shared among the
students (Bonferroni), is wholly beyond the margins: with many students in every run of continuous integration a false
alarm costs most. A student passes where its interval of 95% is wholly on this side of them, as stored times do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from distillbench.bench.compare.margins import time_margins
from distillbench.bench.statistics import Ratio, Verdict, anytime_ratio, ratio_verdict

Side = Literal["base", "head", "control"]
SIDES: tuple[Side, ...] = ("base", "head", "control")
"""control: another process of base, for the A/A control."""
CLAIM_LEVEL, PASS_LEVEL = 0.99, 0.95
"""Levels of the intervals that a change of any student is claimed by, and that a student passes by."""
CHANGED = ("regressed", "improved")
LEAST_LAUNCHES = 5
"""Before anything is decided: fewer may all have drawn the same by chance, and vary less than launches do."""


@dataclass(frozen=True)
class Times:
    """The times of one subject, one value for each launch.

    Attributes:
        head: Ratio of head to base, the median over the launch's rounds.
        control: Ratio of control to base, the median over the launch's rounds.
        base: Seconds of a call at base.
    """

    head: tuple[float, ...] = ()
    control: tuple[float, ...] = ()
    base: tuple[float, ...] = ()

    def with_launch(self, head: float, control: float, base: float) -> Times:
        """These times and those of one more launch."""
        return Times((*self.head, head), (*self.control, control), (*self.base, base))


@dataclass(frozen=True)
class Rule:
    """What a change must exceed to be claimed.

    Attributes:
        margin: Relative.
        absolute: Seconds; a difference up to it never matters.
        subjects: How many subjects share the level.
    """

    margin: float
    absolute: float
    subjects: int = 1

    @property
    def level(self) -> float:
        """The level of each claiming interval, so that all of them together hold at ``CLAIM_LEVEL`` (Bonferroni)."""
        return 1 - (1 - CLAIM_LEVEL) / self.subjects

    def __str__(self) -> str:
        return time_margins(self.margin, self.absolute)


@dataclass(frozen=True)
class Decision:
    """What the launches so far say about a subject.

    Attributes:
        outcome: The verdict.
        ratio: Of head to base, with the interval that decides.
        reason: In words.
        final: Whether further launches would be of no use.
    """

    outcome: Verdict
    ratio: Ratio
    reason: str
    final: bool


def decide(times: Times, rule: Rule) -> Decision:
    """Decide about a subject by its launches so far.

    Args:
        times: One launch at least.
        rule: What a change must exceed.

    Returns:
        A change only where head differs from base and from control alike; nothing can be claimed where the A/A control
        itself seems to have changed.
    """
    seconds = float(np.median(times.base))

    def verdict(ratio: Ratio) -> Verdict:
        return ratio_verdict(ratio, seconds, rule.margin, rule.absolute)

    claiming, passing = anytime_ratio(times.head, rule.level), anytime_ratio(times.head, PASS_LEVEL)
    if len(times.head) < LEAST_LAUNCHES:
        return Decision("inconclusive", passing, "too early to decide", False)
    if verdict(control_ratio(times, rule)) in CHANGED:
        reason = f"this machine cannot tell: A/A control beyond {rule}"
        return Decision("inconclusive", claiming, reason, True)
    to_control = anytime_ratio(np.divide(times.head, times.control), rule.level)
    if (claimed := verdict(claiming)) in CHANGED and verdict(to_control) == claimed:
        return Decision(claimed, claiming, f"beyond {rule}", True)
    if (outcome := verdict(passing)) in ("pass", "improved"):
        # A likely improvement is not slower, and may become a certain one.
        return Decision("pass", passing, f"within {rule}", outcome == "pass")
    return Decision("inconclusive", passing, f"interval crosses {rule}", False)


def control_ratio(times: Times, rule: Rule) -> Ratio:
    """The A/A control: base against another process of base, with its interval."""
    return anytime_ratio(times.control, rule.level)
