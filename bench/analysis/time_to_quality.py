"""Time to quality: the steps and the seconds of training after which a student is as good as scratch ends.

docs/statistics.md says why the rule is what it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distillbench.bench.statistics import Ratio, geometric_mean
from distillbench.bench.store.records import MetricValue, Record, TrainingCurve

END = 0.1
"""The part of a curve's points, at its end, whose median is the quality that the training ends with."""


@dataclass(frozen=True)
class Moment:
    """A moment of a training, at a point of its curve or between two.

    Attributes:
        steps: Optimiser steps until then.
        seconds: Of training until then.
    """

    steps: float
    seconds: float


@dataclass(frozen=True)
class TimeToQuality:
    """When the students of a row are as good as scratch ends.

    Attributes:
        seeds: How many seeds have a curve beside that of scratch.
        never: How many of them never get there; where there are any, there is no mean.
        seconds: The geometric mean of their seconds, with its interval over seeds.
        multiple: The same as a multiple of the seconds of scratch's whole training with the same seed.
        steps: The same of their steps, which are equal wherever they are counted.
    """

    seeds: int
    never: int
    seconds: Ratio | None = None
    multiple: Ratio | None = None
    steps: Ratio | None = None


def scores_of(curve: TrainingCurve, metric: MetricValue) -> list[float]:
    """The validation metric at each point so that higher is better; −∞ where it was not finite, or not measured."""
    sign = 1.0 if metric.direction == "higher" else -1.0
    return [-math.inf if value is None else sign * value for value in curve.validation]


def end_score(scores: Sequence[float]) -> float | None:
    """The score that a training ends with: the lower median of its last tenth of points; None where there is none.

    Args:
        scores: At each point of a curve, higher is better.
    """
    last = sorted(scores[-max(1, round(END * len(scores))) :])
    median = last[(len(last) - 1) // 2] if last else -math.inf
    return median if math.isfinite(median) else None


def end_quality(curve: TrainingCurve, metric: MetricValue) -> float | None:
    """The validation metric that a training ends with, in its unit; None where there is none.

    Args:
        curve: Of the training.
        metric: A value of the metric, for its direction.
    """
    score = end_score(scores_of(curve, metric))
    return score if score is None or metric.direction == "higher" else -score


def first_lasting(scores: Sequence[float], level: float) -> int | None:
    """Return the first point that reaches a level for good; None where there is none.

    From it on, up to any later point, at least half of the points are no worse than the level: a good point counts for
    nothing where worse ones follow, and one bad point undoes nothing where better ones do. The points are only compared
    with the level, so that it does not matter how far they are from it, or whether one takes logarithms.

    Args:
        scores: At each point of a curve, higher is better.
        level: The score to reach.
    """
    found, least = None, 0
    for i in reversed(range(len(scores))):
        least = (1 if scores[i] >= level else -1) + min(0, least)  # of good points less bad ones, from i to any later
        if least >= 0:
            found = i
    return found


def reached(curve: TrainingCurve, scores: Sequence[float], level: float) -> Moment | None:
    """Return when a training reaches a score for good; None for never.

    Between the first lasting point and the one before, the score is taken to rise in a straight line. Nothing is known
    before the first point: who has reached the level there is taken to have needed all of the time until it.

    Args:
        curve: Of the training.
        scores: At each of its points, higher is better.
        level: The score to reach.
    """
    if (i := first_lasting(scores, level)) is None:
        return None
    if i == 0 or not math.isfinite(scores[i - 1]):
        return Moment(curve.steps[i], curve.seconds[i])
    part = (level - scores[i - 1]) / (scores[i] - scores[i - 1])
    steps, seconds = (
        float(np.interp(part, (0.0, 1.0), values[i - 1 : i + 1])) for values in (curve.steps, curve.seconds)
    )
    return Moment(steps, seconds)


def time_to_quality(
    students: Mapping[int, Record], scratch: Mapping[int, Record], metric: MetricValue
) -> TimeToQuality | None:
    """When the students of a row are as good as scratch with the same seed ends.

    Args:
        students: The records of the row, by seed.
        scratch: Those of the scratch row that it is compared with.
        metric: A value of the metric that the curves are of, for its direction.

    Returns:
        The times; None where no seed has a curve beside one of scratch that ends with a score.
    """
    moments: list[tuple[Moment | None, float]] = []
    for student, reference in _curves(students, scratch):
        if (level := end_score(scores_of(reference, metric))) is not None:
            moments.append((reached(student, scores_of(student, metric), level), reference.seconds[-1]))
    found = [(moment, total) for moment, total in moments if moment is not None]
    never = len(moments) - len(found)
    if not moments or never:
        return TimeToQuality(len(moments), never) if moments else None
    return TimeToQuality(
        len(moments),
        never,
        _mean(moment.seconds for moment, _ in found),
        _mean(moment.seconds / total for moment, total in found),
        _mean(moment.steps for moment, _ in found),
    )


def _curves(
    students: Mapping[int, Record], scratch: Mapping[int, Record]
) -> Iterator[tuple[TrainingCurve, TrainingCurve]]:
    """The curve of a student beside that of scratch, of each seed that both have."""
    for seed in sorted(students.keys() & scratch.keys()):
        training, reference = students[seed].training, scratch[seed].training
        if training is not None and reference is not None:
            yield training.curve, reference.curve


def _mean(values: Iterable[float]) -> Ratio:
    return geometric_mean(list(values))
