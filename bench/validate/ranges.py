"""What a figure can be at all, by its unit and name: a figure outside was not measured."""

from __future__ import annotations

import math

MOST_DECIBELS = 100.0
"""The tasks' PSNR ends here: a squared error of 1e-10 counts as none."""
LEAST_KERNEL_DISTANCE = -50.0
"""KID × 10³ is an unbiased estimate of what may be zero: it falls below by its error."""
ROUNDING = 1e-3
"""An FID of equal sets may come out so far below zero."""


def allowed(name: str, unit: str, direction: str) -> tuple[float, float]:
    """The least and the largest value. A metric that nothing is known of: any finite number."""
    if unit == "%":
        return 0.0, 100.0
    if unit == "dB":
        return -MOST_DECIBELS, MOST_DECIBELS
    if "ssim" in name:
        return -1.0, 1.0
    if "kid" in name:
        return LEAST_KERNEL_DISTANCE, math.inf
    if unit == "nats":  # of a density it may be negative
        return -math.inf, math.inf
    return (-ROUNDING, math.inf) if direction == "lower" else (-math.inf, math.inf)


def inside(value: float, limits: tuple[float, float]) -> bool:
    return math.isfinite(value) and limits[0] <= value <= limits[1]


def said(limits: tuple[float, float]) -> str:
    """'0 to 100', 'at least 0', 'any finite number'."""
    low, high = limits
    if math.isfinite(low) and math.isfinite(high):
        return f"{low:g} to {high:g}"
    return f"at least {low:g}" if math.isfinite(low) else "any finite number"
