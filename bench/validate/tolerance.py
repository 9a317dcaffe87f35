"""How far two measurements of the same weights may be from each other (docs/submitting.md says why so far)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import stdev

RELATIVE = 1e-4
"""Of a figure's size: another processor or library sums in another order."""
LEAST = 1e-5
"""In the figure's unit: what is about zero has no size."""
LEAST_OF_THOUSANDTHS = 1e-2
"""Likewise of what is told in thousandths (KID), a difference of large sums."""
FLIPPED = 1 / 500
"""The part of the examples, one at least, of which the answer may be another where two are as good as equal."""
JUDGED, LEAST_JUDGED, LEAST_JUDGED_THOUSANDTHS = 0.15, 0.05, 2.0
"""Likewise of a distance through a judge, where the judge was trained on another machine: it is another judge."""
THOUSANDTHS = "×10⁻³"
SEEDS = 8.0
"""Standard deviations over a row's other seeds: trained on another machine a student is as another seed at most."""
FEWEST_SEEDS, RETRAINED = 3, 0.05
"""With fewer seeds than these no spread is known: so much of a figure's size, and in its unit."""


@dataclass(frozen=True)
class Allowed:
    """relative: of the recorded figure's size. least: in its unit, where that is more."""

    relative: float = RELATIVE
    least: float = LEAST

    def of(self, value: float) -> float:
        return max(self.least, self.relative * abs(value))


ROUNDED = Allowed()


def flips(examples: int) -> int:
    """How many of the test examples may have another answer."""
    return max(1, math.floor(FLIPPED * examples))


def allowed(unit: str, examples: int, judged: bool = False) -> Allowed:
    """Of one metric. examples: of the test split. judged: a distance through a judge that was trained elsewhere."""
    if judged:
        return Allowed(JUDGED, LEAST_JUDGED_THOUSANDTHS if unit == THOUSANDTHS else LEAST_JUDGED)
    if unit == "%":  # an answer that flips moves it by its part
        return Allowed(0.0, 100 * flips(examples) / max(1, examples))
    return Allowed(RELATIVE, LEAST_OF_THOUSANDTHS if unit == THOUSANDTHS else LEAST)


def retrained(seeds: Sequence[float], evaluated: Allowed) -> Allowed:
    """Of one metric, trained again elsewhere.

    seeds: its values in the row's other records. evaluated: what evaluating alone may do.
    """
    if len(seeds) < FEWEST_SEEDS:
        return Allowed(RETRAINED, RETRAINED)
    return Allowed(evaluated.relative, max(evaluated.least, SEEDS * stdev(seeds)))


@dataclass
class Tally:
    """figures: compared. equal: to the last digit. largest: by table, the largest difference relative to its size."""

    figures: int = 0
    equal: int = 0
    largest: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, recorded: float, found: float) -> None:
        self.figures += 1
        self.equal += recorded == found
        apart = abs(found - recorded) / max(abs(recorded), LEAST)
        self.largest[name] = max(self.largest.get(name, 0.0), apart)

    def __str__(self) -> str:
        if self.equal == self.figures:
            return f"{self.figures:,} figures, all equal to the last digit"
        name, apart = max(self.largest.items(), key=lambda entry: entry[1])
        return f"{self.figures:,} figures, {self.equal:,} equal to the last digit; at most {apart:.1e} apart ({name})"


def compare(
    table: str, recorded: Mapping[str, float], found: Mapping[str, float], limits: Mapping[str, Allowed], tally: Tally
) -> Iterator[tuple[str, str, str]]:
    """Figures by name: those too far apart, or on one side alone, as (field of this table, problem, allowed)."""
    for name in sorted(recorded.keys() | found.keys()):
        field = f"{table}.{name}"
        if name not in recorded or name not in found:
            yield field, "is recorded, and not found again" if name in recorded else "is not recorded", ""
            continue
        its, again = recorded[name], found[name]
        tally.add(field, its, again)
        most = limits.get(name, ROUNDED).of(its)
        if not (math.isfinite(again) and abs(again - its) <= most):
            yield field, f"{its:.7g} is recorded, and {again:.7g} found again", f"within {most:.2g}"


def compare_items(
    recorded: Mapping[str, Sequence[float]], found: Mapping[str, Sequence[float]], tally: Tally
) -> Iterator[tuple[str, str, str]]:
    """Likewise of per-example results: a few may be another answer, the others are equal but for rounding."""
    for name in sorted(recorded.keys() | found.keys()):
        field, its, again = f"examples.{name}", recorded.get(name, ()), found.get(name, ())
        if len(its) != len(again):
            yield field, f"{len(its)} examples are recorded, and {len(again)} found again", ""
            continue
        apart = 0
        for one, other in zip(its, again, strict=True):
            tally.add(field, one, other)
            apart += not abs(other - one) <= ROUNDED.of(one)
        if apart > (most := flips(len(its))):
            yield field, f"{apart} of {len(its)} examples are not found again", f"at most {most}"
