"""Stored times compared: the launch is the unit, and the teacher, timed interleaved with its student, the control."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from distillbench.bench.compare.correction import Comparison, corrected, p_beyond
from distillbench.bench.compare.findings import POSITION, Change, Finding, differing_field
from distillbench.bench.compare.margins import Margins
from distillbench.bench.statistics import (
    Ratio,
    geometric_mean,
    ratio_margin,
    ratio_verdict,
    unpaired_difference,
    unpaired_ratio,
)
from distillbench.bench.store.configurations import flat
from distillbench.bench.store.timings import Timing

LEAST_LAUNCHES = 3
"""On each side."""
Pair = tuple[Timing, Timing]
"""The timings of one condition in the baseline and in the candidate."""


def compare_times(
    baseline: Iterable[Timing],
    candidate: Iterable[Timing],
    unreadable: Container[Path],
    margins: Margins,
    tasks: Sequence[str],
    backends: Sequence[str],
) -> Iterator[Finding]:
    """Findings on speedups, which are one family, each followed by that on the latency.

    Args:
        baseline: The baseline's timings.
        candidate: The candidate's timings, joined by path.
        unreadable: Unusable files of the candidate, which have findings of their own.
        margins: How much slower the candidate may be.
        tasks: Only these tasks; empty for all.
        backends: Only these backends; empty for all.
    """
    new_of = {timing.path: timing for timing in candidate}
    pairs: list[Pair] = []
    for old in baseline:
        if not old.launches or old.path in unreadable or not _selected(old, tasks, backends):
            continue
        new = new_of.get(old.path)
        if (obstacle := _obstacle(old, new)) is not None:
            yield obstacle
        elif new is not None:
            pairs.append((old, new))
    speedups = corrected([_speedup(*pair, margins) for pair in pairs])
    for pair, speedup in zip(pairs, speedups, strict=True):
        yield speedup
        yield _latency(*pair, speedup, margins)


def _selected(timing: Timing, tasks: Sequence[str], backends: Sequence[str]) -> bool:
    return (not tasks or timing.task in tasks) and (not backends or timing.condition.backend in backends)


def _condition(timing: Timing) -> str:
    return f"{timing.condition.way}, batch {timing.condition.batch_size}{timing.condition.resources}"


def _cell(timing: Timing) -> str:
    return f"{timing.task}/{timing.pair}"


def _obstacle(old: Timing, new: Timing | None) -> Finding | None:
    """Why two timings cannot be compared; None where they can."""
    finding = partial(Finding, _cell(old), f"speedup, {_condition(old)}")
    if new is None:
        return finding("missing", "not timed in the candidate")
    if new.unavailable:
        return finding("missing", f"not available in the candidate: {new.unavailable}")
    if old.environment_hash != new.environment_hash:
        return finding("incomparable", _differing_environment(old, new))
    return None


def _differing_environment(old: Timing, new: Timing) -> str:
    before, after = flat(old.environment), flat(new.environment)
    fields = sorted(before.keys() | after.keys())
    name = next((field for field in fields if field and before.get(field) != after.get(field)), "")
    return differing_field(f"environment.{name}", before.get(name), after.get(name))


def _student_seconds(timing: Timing) -> list[float]:
    """Seconds of a call of the student, one value for each launch."""
    return [launch.median("student") for launch in timing.launches]


def _speedup(old: Timing, new: Timing, margins: Margins) -> Comparison:
    before, after = ([launch.ratio("student", "teacher") for launch in side.launches] for side in (old, new))
    seconds = geometric_mean(_student_seconds(old)).value
    metric, identical = f"speedup, {_condition(old)}", old.launches == new.launches
    comparison = compare_launch_values(
        _cell(old), metric, before, after, seconds, margins, inverted=True, identical=identical
    )
    if old.teacher == new.teacher:
        return comparison
    reason = f"{comparison.finding.reason}, over a different teacher"
    return replace(comparison, finding=replace(comparison.finding, reason=reason))


def _latency(old: Timing, new: Timing, speedup: Finding, margins: Margins) -> Finding:
    before, after = _student_seconds(old), _student_seconds(new)
    seconds = geometric_mean(before).value
    metric, identical = f"latency, {_condition(old)}", old.launches == new.launches
    comparison = compare_launch_values(_cell(old), metric, before, after, seconds, margins, identical=identical)
    return _controlled(comparison.finding, speedup, old, new)


def _controlled(latency: Finding, speedup: Finding, old: Timing, new: Timing) -> Finding:
    """A latency's verdict, given the control: a machine that is slower on another day slows the teacher down as well.

    The interval is over launches of one day and says nothing about another. The speedup is free of what both share:
    where it passes, an inconclusive latency passes too, and a changed one is claimed only where the speedup agrees.
    """
    same_teacher = old.teacher == new.teacher
    if latency.outcome == "inconclusive" and speedup.outcome == "pass" and same_teacher:
        return replace(latency, outcome="pass", reason=f"{latency.reason}, but the speedup is within its margins")
    changed = latency.outcome in ("regressed", "improved")
    if not changed or (same_teacher and latency.outcome == speedup.outcome):
        return latency
    doubt = (
        _machine_doubt(old, new)
        if same_teacher
        else (
            "the teacher differs, so a change of the student cannot be told apart from a change of the machine "
            "(use compare --revisions)"
        )
    )
    return replace(latency, outcome="inconclusive", reason=f"{latency.reason}, but {doubt}")


def _machine_doubt(old: Timing, new: Timing) -> str:
    before, after = (
        geometric_mean([launch.median("teacher") for launch in side.launches]).value for side in (old, new)
    )
    return f"the latency of the unchanged teacher changed too (ratio {after / before:.4f}): it may be the machine"


def compare_launch_values(
    cell: str,
    metric: str,
    before: Sequence[float],
    after: Sequence[float],
    seconds: float,
    margins: Margins,
    *,
    inverted: bool = False,
    identical: bool = False,
) -> Comparison:
    """The comparison of a time, or of a ratio of times, that was measured in several launches.

    Args:
        cell: The finding's cell.
        metric: The finding's metric.
        before: One value for each launch of the baseline; lower is better.
        after: One value for each launch of the candidate.
        seconds: Of a call in the baseline; the absolute margin is relative to it.
        margins: How much slower the candidate may be.
        inverted: The values are 1 / speedup; the finding shows speedups.
        identical: Both sides are the same measurement, not two that agree.

    Returns:
        A comparison with the p-value that the correction needs.
    """
    ratio = unpaired_ratio(after, before)
    reported = Ratio(1 / ratio.value, 1 / ratio.high, 1 / ratio.low) if inverted else ratio
    means = [geometric_mean(side).value for side in (before, after)]
    means = [1 / mean for mean in means] if inverted else means
    finding = partial(
        Finding,
        cell,
        metric,
        baseline=means[0],
        candidate=means[1],
        unit="×" if inverted else "s",
        change=Change("ratio", reported.value, reported.low, reported.high),
    )
    texts = [f"{mean:.2f}×" if inverted else f"{mean * 1e6:.2f} us" for mean in means]
    text = f"{texts[0]} -> {texts[1]}, ratio {reported.value:.4f}"
    if identical:
        return Comparison(finding("pass", f"{text}: identical"))
    if (count := min(len(before), len(after))) < LEAST_LAUNCHES:
        lack = f"only {count} launch{'es' if count > 1 else ''} on one side (at least {LEAST_LAUNCHES} needed)"
        return Comparison(finding("inconclusive", f"{text}: {lack}"))
    outcome = ratio_verdict(ratio, seconds, margins.speed, margins.seconds)
    reason = f"{text} [{reported.low:.4f}, {reported.high:.4f}], {POSITION[outcome]} {margins.of_times()}"
    return Comparison(finding(outcome, reason), _p_beyond_margin(before, after, seconds, ratio, margins))


def _p_beyond_margin(
    before: Sequence[float], after: Sequence[float], seconds: float, ratio: Ratio, margins: Margins
) -> float:
    logs = unpaired_difference([math.log(x) for x in after], [math.log(x) for x in before])
    return p_beyond(logs, ratio_margin(seconds, seconds * ratio.value, margins.speed, margins.seconds))
