"""Statistics as pure functions: arrays in, frozen values out. docs/statistics.md says how often they hold."""

from distillbench.bench.statistics.holm import holm, holm_levels
from distillbench.bench.statistics.intervals import (
    Interval,
    Ratio,
    crossed_interval,
    crossed_unpaired,
    mean_interval,
    ratio_interval,
    unpaired_difference,
)
from distillbench.bench.statistics.power import minimum_detectable_effect
from distillbench.bench.statistics.ranking import pareto_front, rank_draws, rank_intervals, ranks, tiers
from distillbench.bench.statistics.ratios import (
    exponential_ratio,
    geometric_mean,
    least_pairs,
    paired_ratio,
    unpaired_ratio,
)
from distillbench.bench.statistics.sequences import anytime_ratio
from distillbench.bench.statistics.verdicts import Verdict, difference_verdict, ratio_margin, ratio_verdict

__all__ = [
    "Interval",
    "Ratio",
    "Verdict",
    "anytime_ratio",
    "crossed_interval",
    "crossed_unpaired",
    "difference_verdict",
    "exponential_ratio",
    "geometric_mean",
    "holm",
    "holm_levels",
    "least_pairs",
    "mean_interval",
    "minimum_detectable_effect",
    "paired_ratio",
    "pareto_front",
    "rank_draws",
    "rank_intervals",
    "ranks",
    "ratio_interval",
    "ratio_margin",
    "ratio_verdict",
    "tiers",
    "unpaired_difference",
    "unpaired_ratio",
]
