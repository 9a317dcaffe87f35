"""Stored times compared: the launch is the unit, and the teacher, timed in turns with its student, the control."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from distillbench.bench.compare.correction import Margins, Single, corrected, p_beyond
from distillbench.bench.compare.findings import Change, Finding
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
"""Of each side."""


def compare_times(
    baseline: Iterable[Timing],
    candidate: Iterable[Timing],
    unreadable: Container[Path],
    margins: Margins,
    tasks: Sequence[str],
    backends: Sequence[str],
) -> Iterable[Finding]:
    """The speedups are one family; a latency goes with its speedup."""
    there = {timing.path: timing for timing in candidate}
    timed: list[tuple[Timing, Timing]] = []
    for old in baseline:
        wanted = (not tasks or old.task in tasks) and (not backends or old.condition.backend in backends)
        if not old.launches or not wanted or old.path in unreadable:
            continue
        new = there.get(old.path)
        if (obstacle := _untimed(old, new)) is not None:
            yield obstacle
        elif new is not None:
            timed.append((old, new))
    speedups = corrected([_speedup(old, new, margins) for old, new in timed])
    for (old, new), speedup in zip(timed, speedups, strict=True):
        yield speedup
        yield _latency(old, new, speedup, margins)


def _way(timing: Timing) -> str:
    return f"{timing.condition.way}, batch {timing.condition.batch_size}{timing.condition.resources}"


def _cell(timing: Timing) -> str:
    return f"{timing.task}/{timing.pair}"


def _untimed(old: Timing, new: Timing | None) -> Finding | None:
    """Why there is nothing to compare a timing with; None where there is."""
    metric = f"speedup, {_way(old)}"
    if new is None or new.unavailable:
        reason = f"not available in the candidate: {new.unavailable}" if new else "not timed in the candidate"
        return Finding(_cell(old), metric, "missing", reason)
    if old.environment_hash != new.environment_hash:
        mine, its = flat(old.environment), flat(new.environment)
        name = next((n for n in sorted(mine.keys() | its.keys()) if n and mine.get(n) != its.get(n)), "")
        reason = f"environment.{name}: {mine.get(name)!r}, and {its.get(name)!r} in the candidate"
        return Finding(_cell(old), metric, "incomparable", reason)
    return None


def _typical(timing: Timing) -> float:
    """Seconds of a call of the student."""
    return geometric_mean([launch.median("student") for launch in timing.launches]).value


def _speedup(old: Timing, new: Timing, margins: Margins) -> Single:
    before, after = ([launch.ratio("student", "teacher") for launch in side.launches] for side in (old, new))
    metric, same = f"speedup, {_way(old)}", old.launches == new.launches
    single = speed(_cell(old), metric, before, after, _typical(old), margins, inverted=True, identical=same)
    if old.teacher == new.teacher:
        return single
    reason = f"{single.finding.reason}, over another teacher"
    return replace(single, finding=replace(single.finding, reason=reason))


def _latency(old: Timing, new: Timing, speedup: Finding, margins: Margins) -> Finding:
    before, after = ([launch.median("student") for launch in side.launches] for side in (old, new))
    metric, same = f"latency, {_way(old)}", old.launches == new.launches
    single = speed(_cell(old), metric, before, after, _typical(old), margins, identical=same)
    return _controlled(single.finding, speedup, old, new)


def _controlled(latency: Finding, speedup: Finding, old: Timing, new: Timing) -> Finding:
    """Of one machine on two days: what the machine is slower by, the teacher, if it is the same, is slower by as well.

    The interval is over launches of one day and knows nothing of another. The speedup is free of what both share: where
    it passes, so does a latency that is not said to have changed.
    """
    same = old.teacher == new.teacher
    if latency.outcome == "inconclusive" and speedup.outcome == "pass" and same:
        return replace(latency, outcome="pass", reason=f"{latency.reason}, but the speedup is within them")
    if latency.outcome not in ("regressed", "improved"):
        return latency
    if not same:
        why = "the teacher is another, so nothing tells the student from the machine (compare --revisions does)"
    elif latency.outcome != speedup.outcome:
        times = geometric_mean([launch.median("teacher") for launch in new.launches]).value
        times /= geometric_mean([launch.median("teacher") for launch in old.launches]).value
        why = f"the teacher, which is the same, takes times {times:.4f}: it may be the machine"
    else:
        return latency
    return replace(latency, outcome="inconclusive", reason=f"{latency.reason}, but {why}")


def speed(
    cell: str,
    metric: str,
    before: Sequence[float],
    after: Sequence[float],
    seconds: float,
    margins: Margins,
    *,
    inverted: bool = False,
    identical: bool = False,
) -> Single:
    """before, after: a value a launch, lower is better. seconds: what the absolute margin is held against.

    inverted: the values are of 1 / speedup; what is shown is of the speedup, its change as well. identical: they are
    the same measurement, not two that agree.
    """
    ratio = unpaired_ratio(after, before)
    visible = Ratio(1 / ratio.value, 1 / ratio.high, 1 / ratio.low) if inverted else ratio
    means = [geometric_mean(side).value for side in (before, after)]
    shown = [1 / mean for mean in means] if inverted else means
    texts = [f"{value:.2f}×" if inverted else f"{value * 1e6:.2f} us" for value in shown]
    text = f"{texts[0]} -> {texts[1]}, times {visible.value:.4f}"
    change, unit = Change("ratio", visible.value, visible.low, visible.high), "×" if inverted else "s"
    if identical:
        return Single(Finding(cell, metric, "pass", f"{text}: identical", shown[0], shown[1], unit, change))
    if (least := min(len(before), len(after))) < LEAST_LAUNCHES:
        few = f"{least} launch{'es' if least > 1 else ''} on a side, {LEAST_LAUNCHES} are needed"
        return Single(Finding(cell, metric, "inconclusive", f"{text}: {few}", shown[0], shown[1], unit, change))
    outcome = ratio_verdict(ratio, seconds, margins.speed, margins.seconds)
    word = {"pass": "within", "inconclusive": "not clear of"}.get(outcome, "beyond")
    reason = f"{text} [{visible.low:.4f}, {visible.high:.4f}], {word} the margins of {margins.speed:.3g} and "
    reason += f"{margins.seconds * 1e6:g} us"
    logs = unpaired_difference([math.log(x) for x in after], [math.log(x) for x in before])
    p = p_beyond(logs, ratio_margin(seconds, seconds * ratio.value, margins.speed, margins.seconds))
    return Single(Finding(cell, metric, outcome, reason, shown[0], shown[1], unit, change), p)
