"""The submitted weights, evaluated again on the test split: what they really do."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn

from distillbench.bench.machine.environment import environment
from distillbench.bench.run.estimate import seconds_of
from distillbench.bench.run.jobs import Job, execute, extractor_path, load_teacher, prepared_task, teacher_path
from distillbench.bench.run.preconditions import check_device_and_folders
from distillbench.bench.store.records import Record
from distillbench.bench.store.weights import digest, load_weights, usable
from distillbench.bench.suite.cells import Pair
from distillbench.bench.training.determinism import settled
from distillbench.bench.training.loop import describe, initial
from distillbench.bench.validate.claim import Claim, Shape, shape
from distillbench.bench.validate.findings import Check, Finding, counted
from distillbench.bench.validate.folder import Submission, weights_place
from distillbench.bench.validate.tolerance import Allowed, Tally, allowed, compare, compare_items
from distillbench.bench.validate.weight_files import unkept
from distillbench.tasks.base import Evaluation, Task, read_only

NAME, WHAT = "rerun", "submitted weights, evaluated again here"
Say = Callable[[str], None]


@dataclass
class _Again:
    """One pass over a submission. cache: of feature extractors and teachers. notes: what could not be compared, and
    why.
    """

    submission: Submission
    claim: Claim
    cache: Path
    say: Say
    tally: Tally = field(default_factory=Tally)
    notes: list[str] = field(default_factory=list)


def rerun(
    submission: Submission, claim: Claim, refused: Collection[str], cache: Path, say: Say
) -> tuple[Check, tuple[str, ...]]:
    """Evaluate again what can be: students by their weights, baselines, teachers where they are the same here.

    refused: places of records and weights of which the configuration or the file does not hold: they are left alone.
    cache: of feature extractors and teachers made here; those that are not there are trained into it. say: what takes
    time. Raises UserError where the suite's device is not there, or the cache cannot be written.
    """
    check_device_and_folders(claim.suite, cache, cache)
    start, again = time.monotonic(), _Again(submission, claim, cache, say)
    findings = [
        Finding(NAME, str(record.path), "", f"has no weights to evaluate again ({weights_place(record)})")
        for record in unkept(submission)
    ]
    left_alone = {*refused, *(str(record.path) for record in unkept(submission))}
    done = 0
    with settled():
        for pair in claim.pairs.values():
            mine = [r for r in submission.finished if claim.pair(r) == pair and not _places(r) & left_alone]
            if not mine:
                continue
            say(f"{pair.task}/{pair.pair}: {counted(len(mine), 'record')}")
            task = _task(again, pair)
            for record in mine:
                findings += [Finding(NAME, str(record.path), *problem) for problem in _evaluated(again, record, task)]
                done += 1
    took = f"{counted(done, 'record')} evaluated again in {time.monotonic() - start:.0f} s: {again.tally}"
    return Check(NAME, WHAT, tuple(findings)), (*dict.fromkeys(again.notes), took)


def _places(record: Record) -> set[str]:
    return {str(record.path), str(weights_place(record))}


def _task(again: _Again, pair: Pair) -> Task:
    """The task with its extractor, trained where it is not there."""
    if pair.extractor_hash is not None and not usable(path := extractor_path(again.cache, pair), path.stem):
        _train(again, f"feature extractor {pair.extractor_hash[:8]}", "extractor", pair)
    return prepared_task(pair, again.cache)


def _teacher(again: _Again, pair: Pair, seed: int, task: Task) -> nn.Module:
    """The teacher as it is here, trained where it is not there."""
    path = teacher_path(again.cache, pair, seed)
    if not usable(path, path.stem):
        _train(again, f"teacher {pair.task}/{pair.pair} seed {seed}", "teacher", pair, seed)
    return load_teacher(task, path)[0]


def _train(again: _Again, name: str, kind: Literal["extractor", "teacher"], pair: Pair, seed: int = 0) -> None:
    job = Job(name, kind, pair, (), again.claim.suite.teachers, again.cache, again.cache, teacher_seed=seed)
    again.say(f"training the {job.id}: it is not in the cache (about {seconds_of(job):.0f} s)")
    execute(job, lambda done, steps: None)


def _evaluated(again: _Again, record: Record, task: Task) -> Iterator[tuple[str, str, str]]:
    """What of a record is not found again, as (field, problem, allowed)."""
    pair = again.claim.pair(record)
    assert pair is not None
    its = shape(pair)
    limits = limits_of(record, its, pair)
    if record.kind == "baseline":
        yield from _compared(record, task.baseline(record.label), {}, limits, again.tally)
        return
    teacher = _teacher(again, pair, record.teacher_seed, task)
    claimed = _claimed(again.submission, record)
    same = digest(teacher) == claimed
    if record.kind == "teacher" and not same:
        again.notes.append(f"{record.name}: its weights are others than here, not compared (--retrain trains it again)")
        return
    agreement = its.students - its.teachers if record.kind == "student" and not same else frozenset()
    if agreement:
        why = "the teacher here has other weights than theirs" if claimed else "there is no record of their teacher"
        again.notes.append(f"{pair.task}/{pair.pair}: {', '.join(sorted(agreement))} not compared: {why}")
    try:
        model = teacher if record.kind == "teacher" else _student(again.submission, record, task)
        beside = teacher if same else model  # its own agreement with itself is none
        test, validation = task.evaluate(model, beside), task.evaluate(model, beside, "validation")
    except Exception as error:  # weights from anywhere may make an evaluation fail in any way
        yield "", f"cannot be evaluated ({describe(error)[0]})", ""
        return
    yield from _compared(record, test, validation.metrics, limits, again.tally, agreement)


def limits_of(record: Record, its: Shape, pair: Pair) -> dict[str, Allowed]:
    """How far each metric may be from what is recorded."""
    elsewhere = pair.extractor_hash is not None and record.environment != environment()
    return {
        name: allowed(metric.unit, len(its.examples), judged=elsewhere and name not in its.per_example)
        for name, metric in its.metrics.items()
    }


def _claimed(submission: Submission, record: Record) -> str | None:
    """The digest of the teacher that a submission's records were made with, as it says."""
    wanted = record.task, record.pair, record.teacher_seed
    teachers = (r for r in submission.records if r.kind == "teacher" and (r.task, r.pair, r.seed) == wanted)
    return next((teacher.weights_sha256 for teacher in teachers), None)


def _student(submission: Submission, record: Record, task: Task) -> nn.Module:
    model = initial(task, "student", 0)
    load_weights(submission.root / weights_place(record), task.deployed(model), record.config_hash)
    return read_only(model)


def _compared(
    record: Record,
    test: Evaluation,
    validation: dict[str, float],
    limits: dict[str, Allowed],
    tally: Tally,
    left_out: frozenset[str] = frozenset(),
) -> Iterator[tuple[str, str, str]]:
    recorded = {name: metric.value for name, metric in record.metrics.items() if name not in left_out}
    yield from compare("metrics", recorded, test.metrics, limits, tally)
    recorded = {name: value for name, value in record.validation.items() if name not in left_out}
    yield from compare("validation", recorded, validation, limits, tally)
    examples = {name: values for name, values in record.examples.items() if name not in left_out}
    again = {name: tuple(float(f"{v:.7g}") for v in values.values()) for name, values in test.examples.items()}
    yield from compare_items(examples, again, tally)
