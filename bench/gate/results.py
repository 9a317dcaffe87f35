"""Two results folders compared: figures without noise, qualities, and times, each with its own rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import exports, timings
from bench.errors import UserError, did_you_mean
from bench.gate.findings import Change, Finding, Outcome, Report
from bench.records import Record, Store
from bench.report.configurations import Group, differing, flat, groups, named
from bench.report.series import Series, series_of
from bench.statistics import (
    Interval,
    Ratio,
    difference_verdict,
    geometric_mean,
    holm,
    ratio_margin,
    ratio_verdict,
    unpaired_difference,
    unpaired_ratio,
)
from bench.timings import Timing

LEVEL = 0.05
"""The family-wise error of the regressions and improvements that are claimed: of qualities, and of stored times."""
LEAST_LAUNCHES = 3
LEAST_SEEDS = 2
"""Of each side. What another seed would have been, one seed cannot tell, however many test items it was measured on."""
Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Margins:
    """quality: relative to the baseline's mean. of: {metric: in its unit}. speed: relative. seconds: absolute."""

    quality: float = 0.01
    of: Mapping[str, float] = field(default_factory=dict)
    speed: float = 0.01
    seconds: float = 2e-6

    def of_quality(self, metric: str, baseline: float) -> float:
        return self.of.get(metric, self.quality * abs(baseline))


@dataclass(frozen=True)
class Single:
    """A comparison before it is known among how many: the verdict of its own interval, and p of "within the margin"."""

    finding: Finding
    p: float = math.nan


def compare_results(
    baseline: Path,
    candidate: Path,
    margins: Margins,
    metrics: Sequence[str] = (),
    tasks: Sequence[str] = (),
    backends: Sequence[str] = (),
) -> Report:
    """metrics: none are the headlines, 'all' is all. backends: of the times; none are all.

    Raises UserError for no such folder, task or metric.
    """
    sides = [Store(side).scan() for side in (baseline, candidate)]
    before, after = (_cells(side.records, tasks) for side in sides)
    _known("--tasks", tasks, {record.task for side in sides for record in side.records})
    known = {name for side in sides for record in side.records for name in record.metrics}
    _known("--metrics", [name for name in metrics if name != "all"], known)
    _known("--quality-margin", list(margins.of), known)
    problems = [
        _problems(side, found.problems, tasks) for side, found in zip((baseline, candidate), sides, strict=True)
    ]
    findings: list[Finding] = []
    qualities: list[Single] = []
    notes: list[str] = []
    for key, old in before.items():
        cell = _name(key)
        new = after.get(key)
        if not old.finished:
            notes.append(f"{cell}: not finished in the baseline")
            continue
        if new is None and _broken(problems[1], "records", *key[:2], key[3]):
            continue  # the file's own finding says so
        if new is None or not new.finished:
            findings.append(Finding(cell, "", "missing", _why_missing(new)))
            continue
        findings += _sizes(cell, old, new)
        qualities += _qualities(cell, old, new, margins, metrics)
        if lost := sorted(old.finished.keys() - new.finished.keys()):
            notes.append(f"{cell}: not in the candidate: seed {', '.join(map(str, lost))}")
        if fields := differing([old.config, new.config]):
            notes.append(f"{cell}: compared although these differ: {named(fields)}")
    notes += [f"{_name(key)}: in the candidate only" for key in after if key not in before]
    findings += corrected(qualities)
    findings += _exports(baseline, candidate, problems[1], tasks)
    findings += _times(baseline, candidate, problems[1], margins, tasks, backends)
    findings += [Finding(str(path), "", "missing", reason) for side in problems for path, reason in side.items()]
    return Report(str(baseline), str(candidate), tuple(findings), tuple(notes))


def _problems(folder: Path, records: Mapping[Path, str], tasks: Sequence[str]) -> dict[Path, str]:
    """Files that cannot be used, by place in the folder: records/TASK/PAIR/..."""
    found = {**records, **timings.scan(folder).problems, **exports.scan(folder).problems}
    return {path: reason for path, reason in found.items() if not tasks or path.parts[1] in tasks}


def _broken(problems: Iterable[Path], *place: str) -> bool:
    """Whether there is a file at this place or beneath it that cannot be used."""
    return any(path.parts[: len(place)] == place for path in problems)


def _known(option: str, names: Iterable[str], there: Iterable[str]) -> None:
    for name in names:
        if name not in there:
            raise UserError(f"{option}: {name!r} is in neither folder{did_you_mean(name, there)}")


def _cells(records: Sequence[Record], tasks: Sequence[str]) -> dict[Key, Group]:
    pairs: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.kind != "reference" and (not tasks or record.task in tasks):
            pairs.setdefault((record.task, record.pair), []).append(record)
    return {
        (task, pair, group.kind, group.label, group.difference): group
        for (task, pair), members in pairs.items()
        for group in groups(members)
    }


def _name(key: Key) -> str:
    task, pair, _, label, difference = key
    return f"{task}/{pair}/{label}" + (f" ({difference})" if difference else "")


def _why_missing(group: Group | None) -> str:
    if group is None:
        return "not in the candidate"
    failure = next((record.failure for record in group.records if record.failure), None)
    return f"failed in the candidate: {failure.reason}" if failure else "not finished in the candidate"


def exact(cell: str, metric: str, old: int, new: int, more: str = "") -> Finding:
    """A figure without noise, of which fewer are better. more: what came or went."""
    outcome: Outcome = "pass" if new == old else "regressed" if new > old else "improved"
    reason = f"{old:,}, equal" if new == old else f"{old:,} -> {new:,}, {new - old:+,}"
    return Finding(cell, metric, outcome, reason + (f" ({more})" if more else ""), old, new)


def _sizes(cell: str, old: Group, new: Group) -> Iterable[Finding]:
    """Of the first seed that both have been sized for: the weights decide none of it."""
    before, after = (next((r.size for r in side.finished.values() if r.size), None) for side in (old, new))
    if before is None:
        return
    for metric, field_ in (("parameters", "parameters"), ("MACs", "macs"), ("bytes", "bytes")):
        if after is None:
            yield Finding(cell, metric, "missing", "not sized in the candidate", getattr(before, field_))
        else:
            yield exact(cell, metric, getattr(before, field_), getattr(after, field_))


def _qualities(cell: str, old: Group, new: Group, margins: Margins, metrics: Sequence[str]) -> Iterable[Single]:
    first, second = next(iter(old.finished.values())), next(iter(new.finished.values()))
    wanted = list(first.metrics) if "all" in metrics else [m for m in metrics if m in first.metrics]
    for metric in wanted if metrics else [first.headline]:
        if metric in first.metrics:
            field_ = _incomparable(first, second, metric)
            if field_:
                yield Single(Finding(cell, metric, "incomparable", field_))
            else:
                yield _quality(cell, old, new, metric, margins)


def _incomparable(old: Record, new: Record, metric: str) -> str:
    """The first field that makes two values of a metric two things; '' where there is none."""
    fields = {
        "config.data": (old.config.get("data"), new.config.get("data")),
        "split": (old.split, new.split),
        "headline": (old.headline, new.headline),
    }
    if metric in new.metrics:
        mine, its = old.metrics[metric], new.metrics[metric]
        fields |= {"direction": (mine.direction, its.direction), "unit": (mine.unit, its.unit)}
    return next((f"{name}: {a!r}, and {b!r} in the candidate" for name, (a, b) in fields.items() if a != b), "")


def _quality(cell: str, old: Group, new: Group, metric: str, margins: Margins) -> Single:
    how = next(r.metrics[metric] for r in old.finished.values() if metric in r.metrics)
    split = next(iter(old.finished.values())).split
    before, after = (series_of(side.finished, metric, split) for side in (old, new))
    if before is None or after is None:
        return Single(Finding(cell, metric, "missing", "not measured in the candidate", unit=how.unit))
    difference, paired = _difference(before, after)
    means = [math.fsum(side.values) / len(side.values) for side in (before, after)]
    if paired:  # of the seeds that the difference is of
        means = [
            math.fsum(v for s, v in zip(side.seeds, side.values, strict=True) if s in paired) / len(paired)
            for side in (before, after)
        ]
    margin = margins.of_quality(metric, means[0])
    places = how.decimals
    unit = how.unit and f" {how.unit}"
    text = f"{means[0]:.{places}f} -> {means[1]:.{places}f}{unit}, {difference.mean:+.{places}f}"
    low, high = difference.mean - difference.half_width, difference.mean + difference.half_width
    change = Change("difference", difference.mean, low, high)

    def finding(outcome: Outcome, reason: str) -> Finding:
        return Finding(cell, metric, outcome, reason, means[0], means[1], how.unit, change)

    if paired and _equal(before, after):
        return Single(finding("pass", f"{text}: equal to the bit"))
    if (least := len(paired) or min(len(before.seeds), len(after.seeds))) < LEAST_SEEDS:
        common = " in common" if paired else " on a side"
        return Single(finding("inconclusive", f"{text}: {least} seed{common}, {LEAST_SEEDS} are needed"))
    outcome = difference_verdict(difference, margin, how.direction)
    text = f"{text} [{low:+.{places}f}, {high:+.{places}f}]"
    word = {"pass": "within", "inconclusive": "not clear of"}.get(outcome, "beyond")
    reason = f"{text}, {word} the margin of {margin:.{places + 1}f}"
    reason += "" if paired else f", fewer than {LEAST_SEEDS} seeds in common"
    return Single(finding(outcome, reason), _p_beyond(difference, margin))


def _equal(before: Series, after: Series) -> bool:
    """Whether the seeds that both have, have the same values, of each item as well where these are known."""
    difference = after.minus(before)
    return difference is not None and not any(difference.values) and not difference.matrix.any()


def _difference(before: Series, after: Series) -> tuple[Interval, tuple[int, ...]]:
    """Candidate − baseline, and the seeds that it is paired by: none where they share too few, but each has enough."""
    paired = after.minus(before)
    if paired and (len(paired.seeds) >= LEAST_SEEDS or min(len(before.seeds), len(after.seeds)) < LEAST_SEEDS):
        return paired.estimate().interval, paired.seeds
    return unpaired_difference(after.values, before.values), ()


def _p_beyond(difference: Interval, margin: float) -> float:
    """Two-sided, of "the difference is no larger than the margin": below 5 % where the interval is beyond it."""
    from scipy.special import stdtr, stdtrit

    excess = abs(difference.mean) - margin
    if excess <= 0:
        return 1.0
    if difference.half_width == 0:
        return 0.0
    error = difference.half_width / float(stdtrit(difference.degrees, 0.975))
    return 2 * float(stdtr(difference.degrees, -excess / error))


def corrected(family: Sequence[Single]) -> list[Finding]:
    """What is claimed of the whole family (Holm 1979): what is not beyond chance among so many is inconclusive."""
    found, size = [], sum(not math.isnan(single.p) for single in family)
    for single, p in zip(family, holm([single.p for single in family]), strict=True):
        one = single.finding
        if one.outcome in ("regressed", "improved") and not p < LEVEL:
            reason = f"{one.reason}, but not beyond chance among {size} comparisons (p = {p:.2g})"
            one = replace(one, outcome="inconclusive", reason=reason)
        found.append(one)
    return found


def _exports(baseline: Path, candidate: Path, problems: Iterable[Path], tasks: Sequence[str]) -> Iterable[Finding]:
    """Of the float32 form, of the first seed on each side: weights decide neither operators nor bytes."""
    sides: list[dict[str, exports.Artefact]] = []
    for folder in (baseline, candidate):
        here: dict[str, exports.Artefact] = {}
        for export in exports.scan(folder).found:
            artefact = export.artefacts.get("float32")
            if artefact and artefact.failure is None and (not tasks or export.task in tasks):
                here.setdefault(f"{export.task}/{export.pair}/{export.label}", artefact)
        sides.append(here)
    for cell, old in sides[0].items():
        new = sides[1].get(cell)
        if new is None and _broken(problems, exports.FOLDER, *cell.split("/")):
            continue
        if new is None:
            yield Finding(cell, "ONNX operators", "missing", "no export that can be used in the candidate")
            continue
        names = sorted(old.operators.keys() | new.operators.keys())
        moves = [f"{new.operators.get(n, 0) - old.operators.get(n, 0):+d} {n}" for n in names]
        changes = ", ".join(move for move in moves if not move.startswith("+0 "))
        before, after = sum(old.operators.values()), sum(new.operators.values())
        if changes and before == after:
            reason = f"{before} as before, but others: {changes}"
            yield Finding(cell, "ONNX operators", "inconclusive", reason, before, after)
        else:
            yield exact(cell, "ONNX operators", before, after, changes)
        yield exact(cell, "ONNX bytes", old.bytes, new.bytes)


def _times(
    baseline: Path,
    candidate: Path,
    problems: Iterable[Path],
    margins: Margins,
    tasks: Sequence[str],
    backends: Sequence[str],
) -> Iterable[Finding]:
    """The speedups are one family; a latency goes with its speedup."""
    there = {timing.path: timing for timing in timings.scan(candidate).found}
    timed: list[tuple[Timing, Timing]] = []
    for old in timings.scan(baseline).found:
        wanted = (not tasks or old.task in tasks) and (not backends or old.condition.backend in backends)
        if not old.launches or not wanted or _broken(problems, *old.path.parts):
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
    condition = timing.condition
    threads = f", {condition.threads} threads" if condition.threads > 1 else ""
    device = f", {condition.device}" if condition.device != "cpu" else ""
    return f"{condition.way}, batch {condition.batch_size}{threads}{device}"


def _cell(timing: Timing) -> str:
    return f"{timing.task}/{timing.pair}"


def _untimed(old: Timing, new: Timing | None) -> Finding | None:
    """Why there is nothing to compare a timing with; None where there is."""
    metric = f"speedup, {_way(old)}"
    if new is None or new.unavailable:
        reason = f"not available in the candidate: {new.unavailable}" if new else "not timed in the candidate"
        return Finding(_cell(old), metric, "missing", reason)
    if old.fingerprint != new.fingerprint:
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
    single = speed(_cell(old), f"speedup, {_way(old)}", before, after, _typical(old), margins, inverted=True)
    if old.teacher == new.teacher:
        return single
    reason = f"{single.finding.reason}, over another teacher"
    return replace(single, finding=replace(single.finding, reason=reason))


def _latency(old: Timing, new: Timing, speedup: Finding, margins: Margins) -> Finding:
    before, after = ([launch.median("student") for launch in side.launches] for side in (old, new))
    single = speed(_cell(old), f"latency, {_way(old)}", before, after, _typical(old), margins)
    return _controlled(single.finding, speedup, old, new)


def _controlled(latency: Finding, speedup: Finding, old: Timing, new: Timing) -> Finding:
    """Of one machine on two days: what the machine is slower by, the teacher, if it is the same, is slower by as well.

    The interval is over launches of one day and knows nothing of another. The speedup is free of what both share.
    """
    if latency.outcome not in ("regressed", "improved"):
        return latency
    if old.teacher != new.teacher:
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
    inverted: bool = False,
) -> Single:
    """before, after: a value a launch, lower is better. seconds: what the absolute margin is held against.

    inverted: the values are of 1 / speedup; what is shown is of the speedup, its change as well.
    """
    ratio = unpaired_ratio(after, before)
    visible = Ratio(1 / ratio.value, 1 / ratio.high, 1 / ratio.low) if inverted else ratio
    means = [math.exp(math.fsum(map(math.log, side)) / len(side)) for side in (before, after)]
    shown = [1 / mean for mean in means] if inverted else means
    texts = [f"{value:.2f}×" if inverted else f"{value * 1e6:.2f} us" for value in shown]
    text = f"{texts[0]} -> {texts[1]}, times {visible.value:.4f}"
    change, unit = Change("ratio", visible.value, visible.low, visible.high), "×" if inverted else "s"
    if (least := min(len(before), len(after))) < LEAST_LAUNCHES:
        few = f"{least} launch{'es' if least > 1 else ''} on a side, {LEAST_LAUNCHES} are needed"
        return Single(Finding(cell, metric, "inconclusive", f"{text}: {few}", shown[0], shown[1], unit, change))
    outcome = ratio_verdict(ratio, seconds, margins.speed, margins.seconds)
    word = {"pass": "within", "inconclusive": "not clear of"}.get(outcome, "beyond")
    reason = f"{text} [{visible.low:.4f}, {visible.high:.4f}], {word} the margins of {margins.speed:.3g} and "
    reason += f"{margins.seconds * 1e6:g} us"
    logs = unpaired_difference([math.log(x) for x in after], [math.log(x) for x in before])
    p = _p_beyond(logs, ratio_margin(seconds, seconds * ratio.value, margins.speed, margins.seconds))
    return Single(Finding(cell, metric, outcome, reason, shown[0], shown[1], unit, change), p)
