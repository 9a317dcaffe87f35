"""The results of a task as rows: one for each configuration of a method, of the teacher and of a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from distillbench.bench.analysis.series import Estimate
from distillbench.bench.analysis.time_to_quality import TimeToQuality
from distillbench.bench.statistics import Interval, Ratio
from distillbench.bench.store.configurations import section_of
from distillbench.bench.store.records import MetricValue, TrainingCurve
from distillbench.bench.store.terms import Kind, Section

SIGNIFICANCE_LEVEL = 0.05
"""The family-wise error of the differences that count as significant."""


@dataclass(frozen=True)
class Row:
    """One method, the teacher or a baseline in one configuration, over its seeds."""

    pair: str
    name: str
    """The label, with what tells this configuration from others of the label."""
    kind: Kind
    finished: int
    """The number of seeds that finished."""
    failed: int
    """The number of seeds that failed."""
    missing: int
    """The number of seeds that the run expects and that have no record."""
    metrics: Mapping[str, Estimate]
    """By name."""
    control: bool = False
    """Whether it is a control, which a method has to beat and which is not ranked."""
    undefined: str = ""
    """Why there is no such row, as 'needs labels; gan has none'; '' where there is."""
    difference: Estimate | None = None
    """To scratch, on the primary metric, paired by seed and test example."""
    p: float | None = None
    """The p-value of the difference, Holm-corrected over all methods of the table (Holm 1979); None for other rows."""
    detectable: float | None = None
    """The least true difference that would probably be significant after this correction, as a factor where the metric
    is compared as a ratio; None where that is not known."""
    gap: Ratio | None = None
    """The share recovered of the gap from scratch to the teacher; None where the difference or the gap may be zero."""
    unfiltered_gap: Ratio | None = None
    """The share recovered of the gap from scratch to the teacher; None where the gap may be zero."""
    gap_defined: bool = False
    """Whether the teacher is better than scratch beyond the interval of their difference."""
    best: bool = False
    """Whether the method is better than every other, each time beyond the interval of their paired difference."""
    unbeaten_controls: tuple[str, ...] = ()
    """Of the best method: the controls, but for scratch, that it is not better than beyond that interval."""
    parameters: int | None = None
    macs: int | None = None
    latency: float | None = None
    """Seconds of one input in eager PyTorch on one thread; None where that was not timed."""
    speedup: Ratio | None = None
    """Over the teacher, interleaved with it under the same condition; None where that was not timed."""
    values_by_seed: Mapping[int, float] = field(default_factory=dict)
    """The primary metric, in its unit."""
    differences_by_seed: Mapping[int, float] = field(default_factory=dict)
    """The difference to scratch on the primary metric, or the factor where it is compared as a ratio."""
    training_seconds: Interval | None = None
    images_per_second: Interval | None = None
    """In training."""
    curves: Mapping[int, TrainingCurve] = field(default_factory=dict)
    """Of training, by seed."""
    time_to_quality: TimeToQuality | None = None
    """Until a student is as good as scratch ends; None for other rows, and where no curve says so."""

    @property
    def section(self) -> Section:
        """The section of the table in which it stands."""
        return section_of(self.kind, self.control)

    @property
    def significant(self) -> bool:
        """Whether the difference to scratch is significant (p < 0.05, Holm-corrected)."""
        return self.p is not None and self.p < SIGNIFICANCE_LEVEL


@dataclass(frozen=True)
class Summary:
    """The results of one task."""

    task: str
    primary_metric: str
    """Its name; '' where there are no records."""
    metrics: Mapping[str, MetricValue]
    """A value of each metric, for its direction, unit and decimals; the primary metric first."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    """What a reader must know."""
    problems: tuple[str, ...] = ()
    """Files that were left out, and why."""

    @property
    def pairs(self) -> list[str]:
        """The teacher-student pairs, in the order of the rows."""
        return list(dict.fromkeys(row.pair for row in self.rows))
