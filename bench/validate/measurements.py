"""Checks of the figures: the task's own metrics, of all its examples, possible at all, and what belongs to them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from distillbench.bench.store.records import MetricValue, Record, Training
from distillbench.bench.validate import ranges
from distillbench.bench.validate.claim import Claim, Shape
from distillbench.bench.validate.configuration import DIGEST
from distillbench.bench.validate.findings import Finding, listed
from distillbench.bench.validate.folder import Submission
from distillbench.tasks.base import Metric

READING = ("direction", "unit", "decimals", "note")
ROUNDING = 1e-6
"""Relative: images a second are steps, batch size and seconds."""


def complete(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """A finished record has all that its kind has, and a failed one its reason alone."""
    for record in submission.records:
        learned = record.kind != "baseline"
        has = {
            "metrics": bool(record.metrics),
            "validation": bool(record.validation),
            "training": record.training is not None,
            "size": record.size is not None,
            "weights_sha256": record.weights_sha256 is not None,
            "failure": record.failure is not None,
            "examples": bool(record.examples),
            "own_teacher": record.own_teacher is not None,
        }
        needed = {"metrics", *(("validation", "training", "size", "weights_sha256") if learned else ())}
        pair = claim.pair(record)
        if record.kind == "teacher" and pair is not None and pair.settings.pretrained:
            has_weights = pair.settings.recipe("teacher").weights is not None
            needed -= {"training"} if has_weights else {"training", "size", "weights_sha256"}
        optional = {"examples", *(("own_teacher",) if record.kind == "student" else ())}
        if record.status == "failed":
            needed, optional = {"failure"}, set()
        for field, there in has.items():
            if field in needed and not there:
                yield Finding("complete", str(record.path), field, f"is missing, in a {record.status} {record.kind}")
            elif there and field not in needed | optional:
                yield Finding("complete", str(record.path), field, f"is there, in a {record.status} {record.kind}")
        if record.weights_sha256 is not None and not DIGEST.fullmatch(record.weights_sha256):
            yield Finding("complete", str(record.path), "weights_sha256", "is no digest", "64 hexadecimal digits")


def metrics(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """The task's metrics, read as the task reads them, each inside its range."""
    for record in submission.finished:
        if (shape := claim.shape(record)) is None:
            continue
        for field, problem, allowed in _metrics(record, shape):
            yield Finding("metrics", str(record.path), field, problem, allowed)


def _metrics(record: Record, shape: Shape) -> Iterator[tuple[str, str, str]]:
    wanted = {"student": shape.students, "teacher": shape.teachers}.get(record.kind)
    yield from _names("metrics", record.metrics, shape.metrics if wanted is None else wanted, wanted is not None)
    if wanted is not None:
        yield from _names("validation", record.validation, wanted, False)
        yield from _names("own_teacher", record.own_teacher or (), shape.teachers, False)
    if record.primary_metric != shape.primary_metric:
        yield "primary_metric", f"{record.primary_metric!r}, and the task's is {shape.primary_metric!r}", ""
    for name, metric in record.metrics.items():
        if (its := shape.metrics.get(name)) is not None:
            yield from _reading(name, metric, its)
    figures: dict[str, Mapping[str, float]] = {
        "metrics": {name: metric.value for name, metric in record.metrics.items()},
        "validation": record.validation,
        "own_teacher": record.own_teacher or {},
    }
    for table, values in figures.items():
        for name, value in values.items():
            if (its := shape.metrics.get(name)) is not None:
                limits = ranges.allowed(name, its.unit, its.direction)
                if not ranges.inside(value, limits):
                    yield f"{table}.{name}", f"{value:g} cannot be", ranges.said(limits)


def _names(table: str, found: Collection[str], wanted: Collection[str], all_: bool) -> Iterator[tuple[str, str, str]]:
    for name in found:
        if name not in wanted:
            yield f"{table}.{name}", "is no such metric of the task", listed(sorted(wanted))
    if all_ and (missing := sorted(set(wanted) - set(found))):
        yield f"{table}.{missing[0]}", "is missing", f"all of {listed(sorted(wanted))}"


def _reading(name: str, metric: MetricValue, its: Metric) -> Iterator[tuple[str, str, str]]:
    for field in READING:
        if (found := getattr(metric, field)) != (wanted := getattr(its, field)):
            yield f"metrics.{name}.{field}", f"{found!r}, and the task's is {wanted!r}", ""


def examples(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """Per-item results of all test examples, in order, for each metric that is their mean."""
    for record in submission.finished:
        if (shape := claim.shape(record)) is None:
            continue
        wanted = shape.per_example & record.metrics.keys()
        place = str(record.path)
        # A reference may have a metric as a whole only; a model has the examples of each.
        if record.kind != "baseline" and (missing := sorted(wanted - record.examples.keys())):
            yield Finding(
                "examples", place, f"examples.{missing[0]}", "is missing: the metric is the mean of its examples"
            )
        if extra := sorted(record.examples.keys() - shape.per_example):
            yield Finding("examples", place, f"examples.{extra[0]}", "is there, and the task has none of it")
        names = shape.examples if record.examples else ()
        if record.example_names != names:
            yield Finding("examples", place, "example_names", *_other(record.example_names, names))
        for name, values in record.examples.items():
            if (its := shape.metrics.get(name)) is not None:
                limits = ranges.allowed(name, its.unit, its.direction)
                if (bad := next((v for v in values if not ranges.inside(v, limits)), None)) is not None:
                    yield Finding("examples", place, f"examples.{name}", f"{bad:g} cannot be", ranges.said(limits))


def _other(found: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, str]:
    if len(found) != len(wanted):
        return f"{len(found)} examples", f"the {len(wanted)} of the test split, in order" if wanted else "none"
    first = next(i for i, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other)
    return f"item {first} is {found[first]!r}", f"the test split's, in order: {wanted[first]!r}"


def size(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """Parameters, MACs and bytes are those of the suite's network, counted here."""
    for record in submission.finished:
        if record.size is None or record.kind == "baseline" or (shape := claim.shape(record)) is None:
            continue
        if (counted := shape.sizes[record.kind]) is None:
            continue
        its = counted.model_dump()
        for field, found in record.size.model_dump().items():
            if found != its[field]:
                yield Finding("size", str(record.path), f"size.{field}", f"{found}, and counted here {its[field]}")


def training(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """As many steps as the configuration says, in a time that agrees with itself."""
    for record in submission.finished:
        pair = claim.pair(record)
        if record.training is None or record.kind == "baseline" or pair is None:
            continue
        steps, batch_size = pair.build().steps(record.kind), pair.settings.batch_size
        for field, problem, allowed in _training(record.training, steps, batch_size):
            yield Finding("training", str(record.path), f"training.{field}", problem, allowed)


def _training(found: Training, steps: int, batch_size: int) -> Iterator[tuple[str, str, str]]:
    if found.steps != steps:
        yield "steps", f"{found.steps}, and {steps} in the suite", ""
    if found.seconds <= 0:
        yield "seconds", f"{found.seconds:g} is no time", "above 0"
    elif not math.isclose(found.images_per_second, steps * batch_size / found.seconds, rel_tol=ROUNDING):
        yield "images_per_second", f"{found.images_per_second:g} is not steps × batch size / seconds", ""
