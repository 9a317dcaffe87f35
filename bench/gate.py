"""The rule by which a ratio of two times becomes a verdict."""

from __future__ import annotations

from typing import Literal

from bench.statistics import Ratio

MARGIN = 0.01
"""A change of speed that nobody cares about, relative."""

Verdict = Literal["pass", "regressed", "improved", "inconclusive"]


def verdict(ratio: Ratio, margin: float = MARGIN) -> Verdict:
    """Of the candidate's time over the baseline's: only what all of the interval says is said.

    regressed, improved: all of it lies beyond the margin. pass: none of it lies beyond the margin of a regression.
    """
    if ratio.low > 1 + margin:
        return "regressed"
    if ratio.high < 1 / (1 + margin):
        return "improved"
    return "pass" if ratio.high <= 1 + margin else "inconclusive"
