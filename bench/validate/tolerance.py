"""How far two measurements of the same weights may be apart (docs/submitting.md gives the reasons)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import stdev

from distillbench.bench.validate.violations import Problem

RELATIVE = 1e-4
"""Of a value's size: another processor or library sums in another order."""
LEAST = 1e-5
"""In the value's unit: what is about zero has no size."""
LEAST_THOUSANDTHS = 1e-2
"""In the unit, of a metric in thousandths (KID), which is a difference of large sums."""
FLIPPED = 1 / 500
"""The share of the examples, one at least, whose answer may change where two are almost equally likely."""
EXTRACTOR_RELATIVE, EXTRACTOR_LEAST, EXTRACTOR_LEAST_THOUSANDTHS = 0.15, 0.05, 2.0
"""Of a distance whose feature extractor was trained on another machine, and so is another one."""
THOUSANDTHS = "×10⁻³"
DEVIATIONS = 8.0
"""Standard deviations over a row's other seeds: trained on another machine a student is at most like another seed."""
FEWEST_SEEDS, FEW_SEEDS_RELATIVE = 3, 0.05
"""With fewer seeds the spread is unknown: this share of a value's size, or as much in its unit."""


@dataclass(frozen=True)
class Tolerance:
    """How far a value may be from the recorded one.

    Attributes:
        relative: To the recorded value's size.
        least: In its unit, where that is more.
    """

    relative: float = RELATIVE
    least: float = LEAST

    def of(self, value: float) -> float:
        """The tolerance of one recorded value, in its unit."""
        return max(self.least, self.relative * abs(value))


ROUNDING = Tolerance()


def flips(examples: int) -> int:
    """How many of the test examples may have another answer."""
    return max(1, math.floor(FLIPPED * examples))


def evaluation_tolerance(unit: str, examples: int, other_extractor: bool = False) -> Tolerance:
    """The tolerance of a metric when the same weights are evaluated again.

    Args:
        unit: The metric's unit.
        examples: Of the test split.
        other_extractor: Whether it is a distance whose feature extractor was trained on another machine.
    """
    if other_extractor:
        least = EXTRACTOR_LEAST_THOUSANDTHS if unit == THOUSANDTHS else EXTRACTOR_LEAST
        return Tolerance(EXTRACTOR_RELATIVE, least)
    if unit == "%":  # each answer that flips changes it by one example's share
        return Tolerance(0.0, 100 * flips(examples) / max(1, examples))
    return Tolerance(RELATIVE, LEAST_THOUSANDTHS if unit == THOUSANDTHS else LEAST)


def training_tolerance(seeds: Sequence[float], evaluated: Tolerance) -> Tolerance:
    """The tolerance of a metric when a cell is trained again on another machine.

    Args:
        seeds: Its values in the row's other records.
        evaluated: The tolerance of evaluating alone.
    """
    if len(seeds) < FEWEST_SEEDS:
        return Tolerance(FEW_SEEDS_RELATIVE, FEW_SEEDS_RELATIVE)
    return Tolerance(evaluated.relative, max(evaluated.least, DEVIATIONS * stdev(seeds)))


@dataclass
class Tally:
    """A summary of compared values.

    Attributes:
        values: How many were compared.
        equal: How many were equal to the last digit.
        largest: The largest difference relative to a value's size, by field.
    """

    values: int = 0
    equal: int = 0
    largest: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, recorded: float, measured: float) -> None:
        """Count one comparison.

        Args:
            name: The field.
            recorded: Its recorded value.
            measured: The value measured here.
        """
        self.values += 1
        self.equal += recorded == measured
        difference = abs(measured - recorded) / max(abs(recorded), LEAST)
        self.largest[name] = max(self.largest.get(name, 0.0), difference)

    def __str__(self) -> str:
        if self.equal == self.values:
            return f"{self.values:,} values, all equal to the last digit"
        name, largest = max(self.largest.items(), key=lambda entry: entry[1])
        return f"{self.values:,} values, {self.equal:,} equal to the last digit; at most {largest:.1e} apart ({name})"


def compare_metrics(
    table: str,
    recorded: Mapping[str, float],
    measured: Mapping[str, float],
    tolerances: Mapping[str, Tolerance],
    tally: Tally,
) -> Iterator[Problem]:
    """Compare recorded metrics with those measured here.

    Args:
        table: The record's field that holds them.
        recorded: Values by name.
        measured: Values by name.
        tolerances: By name; others may differ by rounding.
        tally: Counts the comparisons.

    Yields:
        Problems: values that are too far apart, or on one side only.
    """
    for name in sorted(recorded.keys() | measured.keys()):
        field = f"{table}.{name}"
        if name not in measured:
            yield field, "is recorded, but was not measured again", ""
        elif name not in recorded:
            yield field, "was measured again, but is not recorded", ""
        else:
            tally.add(field, recorded[name], measured[name])
            most = tolerances.get(name, ROUNDING).of(recorded[name])
            if not (math.isfinite(measured[name]) and abs(measured[name] - recorded[name]) <= most):
                problem = f"{recorded[name]:.7g} is recorded, but {measured[name]:.7g} was measured again"
                yield field, problem, f"within {most:.2g}"


def compare_examples(
    recorded: Mapping[str, Sequence[float]], measured: Mapping[str, Sequence[float]], tally: Tally
) -> Iterator[Problem]:
    """Compare recorded per-example results with those measured here.

    Args:
        recorded: Values of all test examples, by metric.
        measured: Values of all test examples, by metric.
        tally: Counts the comparisons.

    Yields:
        Problems: metrics of which more than a few examples differ by more than rounding.
    """
    for name in sorted(recorded.keys() | measured.keys()):
        field, old, new = f"examples.{name}", recorded.get(name, ()), measured.get(name, ())
        if len(old) != len(new):
            yield field, f"{len(old)} examples are recorded, but {len(new)} were measured again", ""
            continue
        different = 0
        for before, after in zip(old, new, strict=True):
            tally.add(field, before, after)
            different += not abs(after - before) <= ROUNDING.of(before)
        if different > (most := flips(len(old))):
            yield field, f"{different} of {len(old)} examples differ when measured again", f"at most {most}"
