"""Numbers as the text of a table's cell, and metrics as the heading of its column."""

from __future__ import annotations

import math

from distillbench.bench.analysis.series import Estimate
from distillbench.bench.statistics import Interval, Ratio
from distillbench.bench.store.records import MetricValue
from distillbench.common.text import visible

ARROWS = {"higher": "↑", "lower": "↓"}
"""Which way is better."""
ABSENT = "n/a"
DASH = "–"
"""Stands for what is not defined, and for a place that an entry does not have."""
SIGNIFICANT = "*"
"""Follows a difference that is significant."""


def heading(name: str, metric: MetricValue) -> str:
    """A metric's name, direction and unit: 'accuracy ↑ (%)'."""
    unit = f" ({metric.unit})" if metric.unit else ""
    return visible(f"{name.replace('_', ' ')} {ARROWS[metric.direction]}{unit}")


def estimate_text(estimate: Estimate | None, metric: MetricValue, signed: bool = False) -> str:
    """A mean with its interval, '86.10 ± 2.73', or 'n/a'; '2.38 [2.27, 2.50]' of what is compared as a ratio.

    Args:
        estimate: The mean and its interval; None where there is none.
        metric: Says how many decimals are shown.
        signed: Whether it is a difference: a plus stands before what is positive, and '×' before a factor.
    """
    if estimate is None:
        return ABSENT
    if estimate.compared == "ratio":
        return factor_text(estimate.shown) if signed else ends_text(estimate.shown, metric.decimals)
    return interval_text(estimate.interval, metric.decimals, signed)


def interval_text(interval: Interval, decimals: int, signed: bool = False) -> str:
    """'86.10 ± 2.73', or the mean alone where the interval is not known."""
    mean = f"{interval.mean:{'+' if signed else ''}.{decimals}f}"
    return mean if math.isnan(interval.half_width) else f"{mean} ± {interval.half_width:.{decimals}f}"


def ratio_text(ratio: Ratio | None) -> str:
    """'2.48 [2.46, 2.50]' with fewer decimals where it is large; '' for None."""
    if ratio is None:
        return ""
    return ends_text(ratio, 2 if ratio.value < 10 else 1 if ratio.value < 100 else 0)


def factor_text(factor: Ratio) -> str:
    """'×0.43 [0.40, 0.46]', with two digits at least where it is small."""
    small = 0 < factor.value < 0.1
    return f"×{ends_text(factor, 1 - math.floor(math.log10(factor.value))) if small else ratio_text(factor)}"


def ends_text(ratio: Ratio, decimals: int) -> str:
    """'2.38 [2.27, 2.50]', or the value alone where the interval is not known."""
    value = f"{ratio.value:.{decimals}f}"
    return value if math.isnan(ratio.low) else f"{value} [{ratio.low:.{decimals}f}, {ratio.high:.{decimals}f}]"


def digits_text(ratio: Ratio) -> str:
    """'0.480 [0.250, 104]', three digits each, for what may vary by powers of ten."""
    value, low, high = (
        f"{part:.0f}" if 100 <= part < 1e5 else f"{part:#.3g}" for part in (ratio.value, ratio.low, ratio.high)
    )
    return value if math.isnan(ratio.low) else f"{value} [{low}, {high}]"


def count_text(value: float | None) -> str:
    """Three digits and a prefix: 9.61k, 1.5M; '' for None."""
    if value is None:
        return ""
    for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{prefix}"
    return f"{value:.3g}"


def milli_text(value: float | None) -> str:
    """Three digits of seconds as milliseconds, or of joules as millijoules: '0.295'; '' for None."""
    return "" if value is None else f"{1000 * value:.3g}"


def finite(value: float) -> float | None:
    """The value, or None for a NaN or an infinity, which JSON has no word for."""
    return value if math.isfinite(value) else None
