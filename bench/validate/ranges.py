"""Possible ranges of metrics, by unit and name: a value outside of its range was not measured."""

from __future__ import annotations

import math

MOST_DECIBELS = 100.0
"""The largest PSNR of the tasks: a squared error of 1e-10 counts as zero."""
LEAST_UNBIASED = -50.0
"""Of KID × 10³, and of FID without its bias: an unbiased estimate of what may be zero can be negative."""
ROUNDING = 1e-3
"""By which an FID of equal sets may be negative."""


Range = tuple[float, float]
"""The least and the largest value."""


def possible_range(name: str, unit: str, direction: str) -> Range:
    """The range of a metric.

    Args:
        name: The metric's name.
        unit: Its unit.
        direction: "higher" or "lower", whichever is better.

    Returns:
        Its range; any number for an unknown metric.
    """
    if unit == "%":
        return 0.0, 100.0
    if unit == "dB":
        return -MOST_DECIBELS, MOST_DECIBELS
    if "ssim" in name:
        return -1.0, 1.0
    if "kid" in name or name.endswith("_infinity"):
        return LEAST_UNBIASED, math.inf
    if unit == "nats":  # negative for a density
        return -math.inf, math.inf
    return (-ROUNDING, math.inf) if direction == "lower" else (-math.inf, math.inf)


def is_inside(value: float, limits: Range) -> bool:
    """Whether a value is finite and within a range."""
    return math.isfinite(value) and limits[0] <= value <= limits[1]


def in_words(limits: Range) -> str:
    """A range in words: '0 to 100', 'at least 0' or 'any finite number'."""
    low, high = limits
    if math.isfinite(low) and math.isfinite(high):
        return f"{low:g} to {high:g}"
    return f"at least {low:g}" if math.isfinite(low) else "any finite number"
