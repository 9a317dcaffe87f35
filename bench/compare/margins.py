"""The margins: how much worse a candidate may be before it counts as regressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from distillbench.bench.statistics import ratio_margin

STORED_SPEED, INTERLEAVED_SPEED = 0.05, 0.01
"""Relative margins of times stored on two days, and of two revisions timed interleaved (docs/ci.md)."""


@dataclass(frozen=True)
class Margins:
    """How much worse a metric or a time may be.

    Attributes:
        quality: Of a metric, relative to the baseline's mean.
        by_metric: Of single metrics by name, each in its own unit.
        speed: Of a time, relative to the baseline's.
        seconds: Of a call's time; a difference up to it never matters.
    """

    quality: float = 0.01
    by_metric: Mapping[str, float] = field(default_factory=dict)
    speed: float = STORED_SPEED
    seconds: float = 2e-6

    def of_metric(self, metric: str, baseline: float, candidate: float | None = None) -> float:
        """The margin of one metric on the scale on which it is compared.

        Args:
            metric: The metric's name.
            baseline: The baseline's mean, in the metric's unit.
            candidate: The candidate's mean of a metric that is compared as a ratio; None for a difference.

        Returns:
            The margin given for this metric, else the relative one; of a ratio its logarithm.
        """
        if candidate is None:
            return self.by_metric.get(metric, self.quality * abs(baseline))
        if metric in self.by_metric:
            return ratio_margin(baseline, candidate, 0.0, self.by_metric[metric])
        return ratio_margin(baseline, candidate, self.quality)

    def of_times(self) -> str:
        """The margins of times in words, 'the margins of 0.05 and 2 us'."""
        return time_margins(self.speed, self.seconds)


def time_margins(relative: float, seconds: float) -> str:
    """Margins of times in words.

    Args:
        relative: The relative margin.
        seconds: The absolute margin in seconds.

    Returns:
        For example 'the margins of 0.05 and 2 us'.
    """
    return f"the margins of {relative:.3g} and {seconds * 1e6:g} us"
