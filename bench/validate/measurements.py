"""Checks of what was measured: the task's own metrics, of all its examples, within range, and consistent."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from distillbench.bench.store.records import READING, MetricValue, Record, Training
from distillbench.bench.training.curves import points
from distillbench.bench.validate.claimed_suite import ClaimedSuite, RecordContents
from distillbench.bench.validate.configuration import DIGEST
from distillbench.bench.validate.ranges import in_words, is_inside, possible_range
from distillbench.bench.validate.submission import Submission
from distillbench.bench.validate.untrusted_text import listed
from distillbench.bench.validate.violations import Problem, Violation
from distillbench.tasks.base import Metric

ROUNDING = 1e-6
"""Relative: images per second follow from steps, batch size and seconds."""
CURVE_ROUNDING = 1e-3
"""Relative: the seconds of a curve have four digits."""


def complete(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where a finished record lacks a field of its kind, or a failed one has more than its reason."""
    for record in submission.records:
        required, optional = _fields_of_kind(record, suite)
        name = f"{record.status} {record.kind}"
        for field, present in _presence(record).items():
            if field in required and not present:
                yield Violation("complete", str(record.path), field, f"is missing in a {name}")
            elif present and field not in required | optional:
                yield Violation("complete", str(record.path), field, f"is not allowed in a {name}")
        if record.weights_sha256 is not None and not DIGEST.fullmatch(record.weights_sha256):
            problem = ("is not a digest", "64 hexadecimal digits")
            yield Violation("complete", str(record.path), "weights_sha256", *problem)


def _presence(record: Record) -> dict[str, bool]:
    return {
        "metrics": bool(record.metrics),
        "validation": bool(record.validation),
        "training": record.training is not None,
        "size": record.size is not None,
        "weights_sha256": record.weights_sha256 is not None,
        "failure": record.failure is not None,
        "examples": bool(record.examples),
        "own_teacher": record.own_teacher is not None,
    }


def _fields_of_kind(record: Record, suite: ClaimedSuite) -> tuple[set[str], set[str]]:
    """The fields that a record must have, and those that it may have."""
    if record.status == "failed":
        return {"failure"}, set()
    if record.kind == "baseline":
        return {"metrics"}, {"examples"}
    required = {"metrics", "validation", "training", "size", "weights_sha256"}
    if record.kind == "student":
        return required, {"examples", "own_teacher"}
    pair = suite.pair(record)
    if pair is not None and pair.settings.pretrained:
        required -= {"training"}
        if pair.settings.recipe("teacher").weights is None:
            required -= {"size", "weights_sha256"}
    return required, {"examples"}


def metrics(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where metrics are not the task's, are read in another way, or are out of range."""
    for record in submission.finished:
        if (contents := suite.contents(record)) is not None:
            for problem in _metric_problems(record, contents):
                yield Violation("metrics", str(record.path), *problem)


def _metric_problems(record: Record, contents: RecordContents) -> Iterator[Problem]:
    expected = {"student": contents.students, "teacher": contents.teachers}.get(record.kind)
    if expected is None:
        yield from _unknown_names("metrics", record.metrics, contents.metrics)
    else:
        yield from _unknown_names("metrics", record.metrics, expected)
        yield from _missing_names("metrics", record.metrics, expected)
        yield from _unknown_names("validation", record.validation, expected)
        yield from _unknown_names("own_teacher", record.own_teacher or (), contents.teachers)
    if record.primary_metric != contents.primary_metric:
        yield "primary_metric", f"{record.primary_metric!r}, but the task has {contents.primary_metric!r}", ""
    for name, metric in record.metrics.items():
        if (known := contents.metrics.get(name)) is not None:
            yield from _reading_problems(name, metric, known)
    yield from _range_problems(record, contents)


def _unknown_names(table: str, names: Collection[str], expected: Collection[str]) -> Iterator[Problem]:
    for name in names:
        if name not in expected:
            yield f"{table}.{name}", "is not a metric of the task", listed(sorted(expected))


def _missing_names(table: str, names: Collection[str], expected: Collection[str]) -> Iterator[Problem]:
    if missing := sorted(set(expected) - set(names)):
        yield f"{table}.{missing[0]}", "is missing", f"all of {listed(sorted(expected))}"


def _reading_problems(name: str, metric: MetricValue, known: Metric) -> Iterator[Problem]:
    for field in READING:
        if (value := getattr(metric, field)) != (expected := getattr(known, field)):
            yield f"metrics.{name}.{field}", f"{value!r}, but the task has {expected!r}", ""


def _range_problems(record: Record, contents: RecordContents) -> Iterator[Problem]:
    """Problems with values that are out of range: of metrics, and of the primary metric's curve."""
    tables: dict[str, Mapping[str, float]] = {
        "metrics": {name: metric.value for name, metric in record.metrics.items()},
        "validation": record.validation,
        "own_teacher": record.own_teacher or {},
    }
    for table, values in tables.items():
        for name, value in values.items():
            if (metric := contents.metrics.get(name)) is not None:
                yield from _out_of_range(f"{table}.{name}", name, metric, [value])
    if record.training is not None and (metric := contents.metrics.get(contents.primary_metric)) is not None:
        curve = [value for value in record.training.curve.validation if value is not None]
        yield from _out_of_range("training.curve.validation", contents.primary_metric, metric, curve)


def _out_of_range(field: str, name: str, metric: Metric, values: Collection[float]) -> Iterator[Problem]:
    """A problem for the first value that is out of range."""
    limits = possible_range(name, metric.unit, metric.direction)
    outside = next((value for value in values if not is_inside(value, limits)), None)
    if outside is not None:
        yield field, f"{outside:g} is out of range", in_words(limits)


def examples(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where per-example results are not those of all test examples in order, or are out of range."""
    for record in submission.finished:
        if (contents := suite.contents(record)) is not None:
            for problem in _example_problems(record, contents):
                yield Violation("examples", str(record.path), *problem)


def _example_problems(record: Record, contents: RecordContents) -> Iterator[Problem]:
    # A baseline may have a metric as a whole only; a model has the examples of each.
    missing = sorted((contents.per_example & record.metrics.keys()) - record.examples.keys())
    if missing and record.kind != "baseline":
        yield f"examples.{missing[0]}", "is missing, although the metric is the mean of its examples", ""
    if extra := sorted(record.examples.keys() - contents.per_example):
        yield f"examples.{extra[0]}", "is present, but the task has no per-example results of it", ""
    names = contents.examples if record.examples else ()
    if record.example_names != names:
        yield "example_names", *_differing_names(record.example_names, names)
    for name, values in record.examples.items():
        if (metric := contents.metrics.get(name)) is not None:
            yield from _out_of_range(f"examples.{name}", name, metric, values)


def _differing_names(names: tuple[str, ...], expected: tuple[str, ...]) -> tuple[str, str]:
    if len(names) != len(expected):
        allowed = f"the {len(expected)} of the test split, in order" if expected else "none"
        return f"{len(names)} examples", allowed
    first = next(i for i, (name, other) in enumerate(zip(names, expected, strict=True)) if name != other)
    return f"example {first} is {names[first]!r}", f"the test split's, in order: {expected[first]!r}"


def size(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where parameters, MACs or bytes are not those of the suite's network, as counted here."""
    for record in submission.finished:
        if record.size is None or record.kind == "baseline" or (contents := suite.contents(record)) is None:
            continue
        if (counted := contents.sizes[record.kind]) is None:
            continue
        expected = counted.model_dump()
        for field, value in record.size.model_dump().items():
            if value != expected[field]:
                problem = f"{value}, but {expected[field]} as counted here"
                yield Violation("size", str(record.path), f"size.{field}", problem)


def training(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations where steps or curves are not those of the configuration, or times contradict each other."""
    for record in submission.finished:
        pair, cell = suite.pair(record), suite.cell(record)
        if record.training is None or record.kind == "baseline" or pair is None:
            continue
        task, settings = pair.build(), pair.settings
        steps = task.steps(cell.method.steps_of if cell is not None and cell.method is not None else record.kind)
        # Whether a contributed method looks at the transfer set is not known.
        most = settings.batch_size + (settings.transfer_rows if record.kind == "student" else 0)
        problems = (
            *_training_problems(record.training, steps, {settings.batch_size, most}),
            *_curve_problems(record.training, steps, task.validation_part),
        )
        for field, problem, allowed in problems:
            yield Violation("training", str(record.path), f"training.{field}", problem, allowed)


def _training_problems(training: Training, steps: int, batch_sizes: Collection[int]) -> Iterator[Problem]:
    if training.steps != steps:
        yield "steps", f"{training.steps}, but the suite has {steps}", ""
    if training.seconds <= 0:
        yield "seconds", f"{training.seconds:g} is not a duration", "above 0"
        return
    speeds = [steps * size / training.seconds for size in batch_sizes]
    if not any(math.isclose(training.images_per_second, speed, rel_tol=ROUNDING) for speed in speeds):
        yield "images_per_second", f"{training.images_per_second:g} is not steps × batch size / seconds", ""


def _curve_problems(training: Training, steps: int, of: str) -> Iterator[Problem]:
    curve, expected = training.curve, points(steps)
    if curve.steps != expected:
        allowed = f"{len(expected)}, from {expected[0]} to {expected[-1]}"
        yield "curve.steps", f"are not the points of a training of {steps} steps", allowed
    elif not math.isclose(curve.seconds[-1], training.seconds, rel_tol=CURVE_ROUNDING):
        yield "curve.seconds", f"end at {curve.seconds[-1]:g}, and the training at {training.seconds:g}", ""
    if curve.of != of:
        yield "curve.of", f"{curve.of!r}, but the task has {of!r}", ""
