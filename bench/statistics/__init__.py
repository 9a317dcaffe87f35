"""Statistics as pure functions: arrays in, frozen values out. docs/statistics.md says how often they hold."""

from distillbench.bench.statistics.intervals import (
    Interval,
    Ratio,
    crossed_interval,
    holm,
    mean_interval,
    paired_difference,
    ratio_interval,
    unpaired_difference,
)
from distillbench.bench.statistics.items import PairedTest, mcnemar, wilcoxon
from distillbench.bench.statistics.power import detectable_difference
from distillbench.bench.statistics.ranking import classes, crossed_unpaired, front, rank_draws, rank_intervals, ranks
from distillbench.bench.statistics.ratios import family_ratio, geometric_mean, least_pairs, paired_ratio, unpaired_ratio
from distillbench.bench.statistics.sequences import anytime_ratio
from distillbench.bench.statistics.verdicts import Verdict, difference_verdict, ratio_margin, ratio_verdict

__all__ = [
    "Interval",
    "PairedTest",
    "Ratio",
    "Verdict",
    "anytime_ratio",
    "classes",
    "crossed_interval",
    "crossed_unpaired",
    "detectable_difference",
    "difference_verdict",
    "family_ratio",
    "front",
    "geometric_mean",
    "holm",
    "least_pairs",
    "mcnemar",
    "mean_interval",
    "paired_difference",
    "paired_ratio",
    "rank_draws",
    "rank_intervals",
    "ranks",
    "ratio_interval",
    "ratio_margin",
    "ratio_verdict",
    "unpaired_difference",
    "unpaired_ratio",
    "wilcoxon",
]
