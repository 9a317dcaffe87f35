"""What stands beneath a table: what its intervals cover, what ran with what, what failed, and on which machines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from distillbench.bench.analysis.series import Estimate, Split
from distillbench.bench.machine.processor import description
from distillbench.bench.statistics import minimum_detectable_effect
from distillbench.bench.store.configurations import PER_SEED, SCRATCH, Group, flat, plain
from distillbench.bench.store.records import MetricValue, Record


def interval_notes(examples: Mapping[str, set[int]]) -> list[str]:
    """What the intervals of a table cover. examples: of each metric, over how many test examples its rows' intervals
    are.
    """
    both, alone = (
        [name for name, found in examples.items() if found and (0 not in found) is on] for on in (True, False)
    )
    notes = []
    if both:
        notes.append(
            f"± covers other seeds and other test examples than these {max(examples[both[0]])}: {_words(both)}"
        )
    if alone:
        notes.append(f"± covers other seeds alone (there are no per-example results): {_words(alone)}")
    return notes


def detectable_effect_notes(pair: str, differences: Sequence[Estimate], metric: MetricValue | None) -> list[str]:
    """How large a difference to scratch had to be to be seen. differences: of the methods of one pair."""
    found = [minimum_detectable_effect(difference.interval) for difference in differences]
    found = sorted(size for size in found if math.isfinite(size) and size > 0)
    if not found or metric is None:
        return []
    seeds = max(difference.interval.n for difference in differences)
    least, most = (_value(size, metric) for size in (found[0], found[-1]))
    span = least if least == most else f"{least} to {most}, method by method,"
    return [f"{pair}: with {seeds} seeds a true Δ of {span} would be seen 4 times in 5; less, more rarely"]


def _words(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def pair_notes(pair: str, groups: Sequence[Group], split: Split) -> list[str]:
    """Warnings, hyperparameters, failures, and the teachers that methods train themselves."""
    records = [record for group in groups for record in group.records]
    students = [record for record in records if record.kind == "student"]
    notes = [f"{pair}: {warning}" for record in records for warning in record.warnings]
    if split == "validation":
        notes.append("measured on the validation split: for choosing, not for reporting")
    its = [group.config.get("teacher") for group in groups if group.kind == "student"]
    if students and (all(r.teachers == "shared" for r in students) or PER_SEED not in its):
        notes.append("one teacher for all seeds: all intervals are conditional on it")
    if ran := "; ".join(f"{g.name} {text}" for g in groups if g.label != SCRATCH and (text := _hyperparameters(g))):
        notes.append(f"{pair}: {ran}")
    notes += [
        f"{pair}: {record.label}, seed {record.seed} failed: {record.failure.reason}"
        for record in records
        if record.failure
    ]
    for group in groups:
        own = [
            r.own_teacher[r.primary_metric]
            for r in group.records
            if r.own_teacher and r.primary_metric in r.own_teacher
        ]
        metric = next((r.metrics[r.primary_metric] for r in students if r.primary_metric in r.metrics), None)
        if own and metric:
            reached = _value(math.fsum(own) / len(own), metric)
            notes.append(f"{pair}: the teacher that {group.name} trains itself reaches {reached}")
    return notes


def _hyperparameters(group: Group) -> str:
    """'temperature 2, weight 1': what a method ran with."""
    values = flat(group.config.get("hyperparameters", {}))
    return ", ".join(f"{name} {plain(value)}" for name, value in sorted(values.items()) if name and value is not None)


def _value(value: float, metric: MetricValue) -> str:
    return f"{value:.{metric.decimals}f}" + (f" {metric.unit}" if metric.unit else "")


def origin_notes(records: Iterable[Record]) -> list[str]:
    """Where the records of a table differ in the machine, the library versions or the revision that made them."""
    records = list(records)
    machines = {machine_name(record.environment): None for record in records}
    versions = {_versions(record.environment): None for record in records}
    revisions = {revision_name(record.revision): None for record in records}
    return [
        f"made {how}: {'; '.join(list(found)[:3])}" + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        for how, found in (
            ("on several machines", machines),
            ("with several library versions", versions),
            ("at several revisions", revisions),
        )
        if len(found) > 1
    ]


def machine_name(environment: Mapping[str, Any]) -> str:
    if "cpu" not in environment:
        return "unknown"
    gpu = f" with {environment['gpu']}" if "gpu" in environment else ""
    quota = f" (time of {environment['quota']} cores)" if "quota" in environment else ""
    return f"{environment.get('cores', '?')} cores{quota} of {description(environment)}{gpu}"


def _versions(environment: Mapping[str, Any]) -> str:
    known = {"Python": environment.get("python"), **flat(environment.get("libraries", {}))}
    return ", ".join(f"{name} {version}" for name, version in known.items() if name and version) or "unknown"


def revision_name(revision: str) -> str:
    commit, dash, changed = revision.partition("-dirty")
    return f"{commit[:12] if len(commit) == 40 else commit}{dash}{changed}" or "unknown"
