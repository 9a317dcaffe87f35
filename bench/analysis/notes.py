"""The notes beneath a table: what its intervals cover, what ran with what, what failed, and on which machines."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from distillbench.bench.analysis.rows import Row, Summary
from distillbench.bench.analysis.series import Estimate, Split
from distillbench.bench.machine.processor import description
from distillbench.bench.statistics.intervals import Interval
from distillbench.bench.store.configurations import PER_SEED, SCRATCH, Group, flat, plain
from distillbench.bench.store.records import MetricValue, Record, Training
from distillbench.common.text import listed

TIME_TO_QUALITY = (
    "time to quality: seconds of training until a student is, for good, as good as scratch with the same seed ends, by "
    "its validation curve; × scratch: of scratch's whole training; geometric means with 95% intervals over seeds"
)
DETECTABLE = "minimum detectable effect"
"""What the notes of ``detectable_effect_notes`` contain."""


def interval_notes(examples: Mapping[str, Collection[int]]) -> list[str]:
    """Say what the intervals of a table cover.

    Args:
        examples: Of each metric, over how many test examples the intervals of its rows are; 0 for seeds alone.
    """
    both = [name for name, counts in examples.items() if counts and 0 not in counts]
    alone = [name for name, counts in examples.items() if 0 in counts]
    notes = []
    if both:
        notes.append(
            f"intervals cover other seeds and other test examples than these {max(examples[both[0]])}: {_words(both)}"
        )
    if alone:
        notes.append(f"intervals cover other seeds alone (there are no per-example results): {_words(alone)}")
    return notes


def ratio_notes(metrics: Mapping[str, MetricValue]) -> list[str]:
    """Say which metrics are compared as ratios, and how these are shown."""
    ratios = [name for name, metric in metrics.items() if metric.compared == "ratio"]
    how = "compared as ratios, by logarithms (geometric mean with the ends of its interval; Δ is a factor)"
    return [f"{how}: {_words(ratios)}"] if ratios else []


def detectable_effect_notes(summary: Summary) -> list[str]:
    """Say of each pair of a task how large a true difference to scratch has to be to get a star."""
    metric = summary.metrics.get(summary.primary_metric)
    notes = []
    for pair in summary.pairs:
        rows = [row for row in summary.rows if row.pair == pair and row.difference is not None]
        effects = sorted(row.detectable for row in rows if row.detectable is not None and math.isfinite(row.detectable))
        if effects and metric is not None:
            seeds = max(row.difference.interval.n for row in rows if row.difference and row.detectable)
            least, most = (_effect(effect, metric) for effect in (effects[0], effects[-1]))
            span = least if least == most else f"{least} to {most}, method by method"
            notes.append(f"{pair}: {DETECTABLE} of Δ with {seeds} seeds (80% power, after Holm's correction): {span}")
    return notes


def _effect(effect: float, metric: MetricValue) -> str:
    return f"×{effect:.3g}" if metric.compared == "ratio" else _value(effect, metric)


def order_notes(summary: Summary) -> list[str]:
    """Say where a metric that repeats the primary one, by another feature extractor, has another order of methods.

    Two rows that changed places are apart where their intervals by either metric do not overlap; the places of others
    are chance.
    """
    primary, notes = summary.primary_metric, []
    for other in (name for name, metric in summary.metrics.items() if metric.repeats == primary):
        for pair in summary.pairs:
            rows = [row for row in summary.rows if row.pair == pair and {primary, other} <= row.metrics.keys()]
            ranked = {name: _order(rows, name, summary.metrics[name]) for name in (primary, other)}
            order, other_order = ([row.name for row in ranked[name]] for name in (primary, other))
            if order == other_order:
                continue
            if _changed_apart(ranked[primary], ranked[other], (primary, other)):
                changes = f"the order is {', '.join(other_order)}; by {_words([primary])} it is {', '.join(order)}"
            else:
                changes = "only rows within each other's intervals change places"
            notes.append(f"{pair}: by another feature extractor ({_words([other])}) {changes}")
    return notes


def _changed_apart(order: Sequence[Row], other_order: Sequence[Row], metrics: Sequence[str]) -> bool:
    """Whether two rows changed places whose intervals, by one of the metrics, do not overlap."""
    places = {row.name: place for place, row in enumerate(other_order)}
    changed = [(a, b) for a, b in combinations(order, 2) if places[a.name] > places[b.name]]
    return any(_apart(a.metrics[name].interval, b.metrics[name].interval) for a, b in changed for name in metrics)


def _apart(a: Interval, b: Interval) -> bool:
    return not abs(a.mean - b.mean) <= a.half_width + b.half_width  # also where there is no interval


def _order(rows: Sequence[Row], name: str, metric: MetricValue) -> list[Row]:
    """Scratch and the methods, the best first; other controls are not ranked."""
    sign = 1 if metric.direction == "lower" else -1
    ranked = [row for row in rows if row.section == "method" or row.name.partition(" ")[0] == SCRATCH]
    return sorted(ranked, key=lambda row: sign * row.metrics[name].interval.mean)


def pair_notes(pair: str, groups: Sequence[Group], split: Split) -> list[str]:
    """Say of a teacher-student pair what warned, what ran with which hyperparameters, what was fitted, and what failed.

    Args:
        pair: Its name.
        groups: Its configurations.
        split: Where the metrics were measured.
    """
    records = [record for group in groups for record in group.records]
    notes = [f"{pair}: {warning}" for record in records for warning in record.warnings]
    if split == "validation":
        notes.append("measured on the validation split: for choosing, not for reporting")
    if _one_teacher(groups, records):
        notes.append("one teacher for all seeds: all intervals are conditional on it")
    methods = [f"{group.name} {text}" for group in groups if (text := _hyperparameters(group))]
    notes += [f"{pair}: {'; '.join(methods)}"] if methods else []
    notes += _fitted_notes(groups)
    notes += [f"{pair}: {r.label}, seed {r.seed} failed: {r.failure.reason}" for r in records if r.failure]
    return [*notes, *_own_teacher_notes(pair, groups, records), *_time_to_quality_notes(pair, groups, records)]


def _one_teacher(groups: Sequence[Group], records: Sequence[Record]) -> bool:
    """Whether all students share a teacher."""
    students = [record for record in records if record.kind == "student"]
    teachers = [group.config.get("teacher") for group in groups if group.kind == "student"]
    return bool(students) and (all(r.teachers == "shared" for r in students) or PER_SEED not in teachers)


def _own_teacher_notes(pair: str, groups: Sequence[Group], records: Sequence[Record]) -> Iterator[str]:
    """How good the teachers are that methods train themselves."""
    students = [record for record in records if record.kind == "student"]
    metric = next((r.metrics[r.primary_metric] for r in students if r.primary_metric in r.metrics), None)
    for group in groups:
        trained = [(r.own_teacher, r.primary_metric) for r in group.records if r.own_teacher]
        values = [metrics[name] for metrics, name in trained if name in metrics]
        if values and metric:
            mean = _value(Estimate.of(values, metric.compared).shown.value, metric)
            yield f"{pair}: the teacher that {group.name} trains itself reaches {mean}"


def _time_to_quality_notes(pair: str, groups: Sequence[Group], records: Sequence[Record]) -> Iterator[str]:
    """How to read the time to quality, and what a reader who has no teacher yet must add to it."""
    students, teachers = (
        [record.training for record in records if record.kind == kind and record.training]
        for kind in ("student", "teacher")
    )
    if not any(training.curve.steps for training in students):
        return
    yield TIME_TO_QUALITY
    if teachers:
        yield f"{pair}: training the teacher took {_mean_seconds(teachers):.3g} s, which no time to quality includes"
    scratch = [r.training for r in records if r.label == SCRATCH and r.training]
    names = [group.name for group in groups if "self_teacher" in group.config]
    if scratch and names:  # a teacher of the student's own size is trained as scratch is
        seconds = f"as long as scratch, about {_mean_seconds(scratch):.3g} s"
        yield f"{pair}: training the teacher of {listed(names)} takes {seconds}, which no time to quality includes"


def _mean_seconds(trainings: Sequence[Training]) -> float:
    return math.fsum(training.seconds for training in trainings) / len(trainings)


def _fitted_notes(groups: Sequence[Group]) -> Iterator[str]:
    """Which methods have seen validation data."""
    parts = {
        "half": "fitted to one half of the validation data and tuned on the other",
        "whole": "fitted to the validation data, on which methods are tuned as well",
    }
    for part, text in parts.items():
        names = [group.name for group in groups if any(record.fitted == part for record in group.records)]
        if names:
            yield f"{listed(names)} {'is' if len(names) == 1 else 'are'} {text}"


def undefined_notes(reasons: Mapping[tuple[str, str], Collection[str]], pairs: Collection[str]) -> Iterator[str]:
    """Say why methods are not defined.

    Args:
        reasons: The pairs by the name of the method and the reason.
        pairs: All pairs of the task.
    """
    for (name, reason), where in reasons.items():
        place = "" if len(where) == len(pairs) else f"{', '.join(where)}: "
        yield f"{place}{name} is not defined: {reason}"


def _hyperparameters(group: Group) -> str:
    """'temperature 2, weight 1': what a method ran with, as far as it is not usual."""
    values, usual = flat(group.config.get("hyperparameters", {})), group.records[0].defaults
    shown = {name: value for name, value in sorted(values.items()) if name and value is not None and name not in usual}
    return ", ".join(f"{name} {plain(value)}" for name, value in shown.items())


def _value(value: float, metric: MetricValue) -> str:
    return f"{value:.{metric.decimals}f}" + (f" {metric.unit}" if metric.unit else "")


def _words(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def origin_notes(records: Iterable[Record]) -> list[str]:
    """Say where the records of a table differ in the machine, the library versions or the revision that made them."""
    records = list(records)
    origins = (
        ("on several machines", [machine_name(record.environment) for record in records]),
        ("with several library versions", [_versions(record.environment) for record in records]),
        ("at several revisions", [revision_name(record.revision) for record in records]),
    )
    return [f"made {how}: {_first_three(names)}" for how, names in origins if len(set(names)) > 1]


def _first_three(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    return "; ".join(unique[:3]) + (f" and {len(unique) - 3} more" if len(unique) > 3 else "")


def machine_name(environment: Mapping[str, Any]) -> str:
    """Describe a machine: its cores, their processor and its GPU.

    Args:
        environment: Of a record or a timing.

    Returns:
        Such as '2 cores of AMD EPYC with NVIDIA H200'; 'unknown' where the environment does not say.
    """
    if "cpu" not in environment:
        return "unknown"
    gpu = f" with {environment['gpu']}" if "gpu" in environment else ""
    quota = f" (time of {environment['quota']} cores)" if "quota" in environment else ""
    return f"{environment.get('cores', '?')} cores{quota} of {description(environment)}{gpu}"


def _versions(environment: Mapping[str, Any]) -> str:
    versions = {"Python": environment.get("python"), **flat(environment.get("libraries", {}))}
    return ", ".join(f"{name} {version}" for name, version in versions.items() if name and version) or "unknown"


def revision_name(revision: str) -> str:
    """Shorten a revision to twelve digits of its commit, with what says that files had changed."""
    commit, dash, changed = revision.partition("-dirty")
    return f"{commit[:12] if len(commit) == 40 else commit}{dash}{changed}" or "unknown"
