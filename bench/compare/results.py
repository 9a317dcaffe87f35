"""Two results folders compared: figures without noise, qualities, and times, each with its own rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from distillbench.bench.analysis.series import Series, series_of
from distillbench.bench.compare.correction import Margins, Single, corrected, p_beyond
from distillbench.bench.compare.findings import Change, Finding, Outcome, Report, exact
from distillbench.bench.compare.times import compare_times
from distillbench.bench.machine import processor
from distillbench.bench.statistics import Interval, difference_verdict, unpaired_difference
from distillbench.bench.store import exports, timings
from distillbench.bench.store.configurations import Group, differing, groups, named
from distillbench.bench.store.records import Record, Store
from distillbench.common.errors import UserError, at_most, did_you_mean

LEAST_SEEDS = 2
"""Of each side. What another seed would have been, one seed cannot tell, however many test examples it was measured on.
"""
Key = tuple[str, str, str, str, str]


def compare_results(
    baseline: Path,
    candidate: Path,
    margins: Margins,
    metrics: Sequence[str] = (),
    tasks: Sequence[str] = (),
    backends: Sequence[str] = (),
) -> Report:
    """metrics: none are the primary metrics, 'all' is all. backends: of the times; none are all.

    Raises UserError for no such folder, task or metric.
    """
    sides = [Store(side).scan() for side in (baseline, candidate)]
    before, after = (_cells(side.records, tasks) for side in sides)
    _known("--tasks", tasks, {record.task for side in sides for record in side.records})
    known = {name for side in sides for record in side.records for name in record.metrics}
    _known("--metrics", [name for name in metrics if name != "all"], known)
    _known("--quality-margin", list(margins.of), known)
    timed = [timings.scan(side) for side in (baseline, candidate)]
    made = [exports.scan(side) for side in (baseline, candidate)]
    problems = [
        {path: reason for path, reason in found.items() if not tasks or path.parts[1] in tasks}
        for found in ({**r.problems, **t.problems, **e.problems} for r, t, e in zip(sides, timed, made, strict=True))
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
    notes += _processors([*before.values(), *after.values()])
    findings += corrected(qualities)
    findings += _exports(made[0].documents, made[1].documents, problems[1], tasks)
    findings += compare_times(timed[0].documents, timed[1].documents, problems[1], margins, tasks, backends)
    findings += [Finding(str(path), "", "missing", reason) for side in problems for path, reason in side.items()]
    return Report(str(baseline), str(candidate), tuple(findings), tuple(notes))


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
        if record.kind != "baseline" and (not tasks or record.task in tasks):
            pairs.setdefault((record.task, record.pair), []).append(record)
    return {
        (task, pair, group.kind, group.label, group.difference): group
        for (task, pair), members in pairs.items()
        for group in groups(members)
    }


def _name(key: Key) -> str:
    task, pair, _, label, difference = key
    return f"{task}/{pair}/{label}" + (f" ({difference})" if difference else "")


def _processors(cells: Sequence[Group]) -> list[str]:
    """What a reader must know of qualities where not all were measured on one processor."""
    environments = [record.environment for group in cells for record in group.finished.values()]
    if all(processor.same_processor(environments[0], environment) for environment in environments):
        return []
    names = "; ".join(at_most(3, list(dict.fromkeys(map(processor.description, environments)))))
    return [f"qualities are of several processors, so they may differ in the last digits: {names}"]


def _why_missing(group: Group | None) -> str:
    if group is None:
        return "not in the candidate"
    failure = next((record.failure for record in group.records if record.failure), None)
    return f"failed in the candidate: {failure.reason}" if failure else "not finished in the candidate"


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
    for metric in wanted if metrics else [first.primary_metric]:
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
        "primary_metric": (old.primary_metric, new.primary_metric),
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
    return Single(finding(outcome, reason), p_beyond(difference, margin))


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


def _exports(
    baseline: Iterable[exports.Export],
    candidate: Iterable[exports.Export],
    problems: Iterable[Path],
    tasks: Sequence[str],
) -> Iterable[Finding]:
    """Of the float32 form, of the first seed on each side: weights decide neither operators nor bytes."""
    sides: list[dict[str, exports.Artefact]] = []
    for side in (baseline, candidate):
        here: dict[str, exports.Artefact] = {}
        for export in side:
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
