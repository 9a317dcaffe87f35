"""The submitted weights evaluated again: what they achieve on the test and validation splits here."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn

from distillbench.bench.machine.environment import environment
from distillbench.bench.run.estimate import seconds_of
from distillbench.bench.run.jobs import Job, execute, load_teacher, prepared_task
from distillbench.bench.run.preconditions import check_device_and_folders
from distillbench.bench.store.records import Record
from distillbench.bench.store.weights import digest, load_weights, usable
from distillbench.bench.suite.cells import Pair
from distillbench.bench.training.determinism import settled
from distillbench.bench.training.loop import describe, initial
from distillbench.bench.validate.claimed_suite import ClaimedSuite, RecordContents, record_contents
from distillbench.bench.validate.submission import Submission
from distillbench.bench.validate.tolerance import (
    Tally,
    Tolerance,
    compare_examples,
    compare_metrics,
    evaluation_tolerance,
)
from distillbench.bench.validate.untrusted_text import counted
from distillbench.bench.validate.violations import Check, Problem, Violation
from distillbench.bench.validate.weight_files import without_weights
from distillbench.tasks.base import Evaluation, Task, read_only

NAME, RULE = "rerun", "submitted weights, evaluated again here"
Progress = Callable[[str], None]


@dataclass
class _Rerun:
    """One pass over a submission. cache: of feature extractors and teachers. notes: what is not compared, and why."""

    submission: Submission
    suite: ClaimedSuite
    cache: Path
    progress: Progress
    tally: Tally = field(default_factory=Tally)
    notes: list[str] = field(default_factory=list)


def rerun(
    submission: Submission, suite: ClaimedSuite, refused: Collection[str], cache: Path, progress: Progress
) -> tuple[Check, tuple[str, ...]]:
    """Evaluate students by their weights, baselines, and teachers that are the same here.

    Args:
        submission: The submission.
        suite: The suite that it claims to be of.
        refused: Paths of records and weights to leave alone, since their configuration or file is invalid.
        cache: Of feature extractors and teachers made here; missing ones are trained into it.
        progress: Called with a line before what takes time.

    Returns:
        The check, and notes on what was compared.

    Raises:
        UserError: The suite's device is not available, or the cache cannot be written.
    """
    check_device_and_folders(suite.suite, cache, cache)
    start, state = time.monotonic(), _Rerun(submission, suite, cache, progress)
    violations = [
        Violation(NAME, str(record.path), "", f"has no weights to evaluate again ({record.weights_path})")
        for record in without_weights(submission)
    ]
    skipped = {*refused, *(str(record.path) for record in without_weights(submission))}
    count = 0
    with settled():
        for pair in suite.pairs.values():
            records = [r for r in submission.finished if suite.pair(r) == pair and not _paths(r) & skipped]
            violations += _evaluate_pair(state, pair, records)
            count += len(records)
    summary = f"{counted(count, 'record')} evaluated again in {time.monotonic() - start:.0f} s: {state.tally}"
    return Check(NAME, RULE, tuple(violations)), (*dict.fromkeys(state.notes), summary)


def _paths(record: Record) -> set[str]:
    return {str(record.path), str(record.weights_path)}


def _evaluate_pair(state: _Rerun, pair: Pair, records: Collection[Record]) -> Iterator[Violation]:
    if not records:
        return
    state.progress(f"{pair.task}/{pair.pair}: {counted(len(records), 'record')}")
    task = _task(state, pair)
    for record in records:
        for problem in _problems(state, record, pair, task):
            yield Violation(NAME, str(record.path), *problem)


def _task(state: _Rerun, pair: Pair) -> Task:
    """The task with its feature extractor, which is trained where the cache lacks it."""
    if pair.extractor_hash is not None and not usable(path := pair.extractor_path(state.cache), path.stem):
        _train(state, f"feature extractor {pair.extractor_hash[:8]}", "extractor", pair)
    return prepared_task(pair, state.cache)


def _teacher(state: _Rerun, pair: Pair, seed: int, task: Task) -> nn.Module:
    """The teacher of this machine, which is trained where the cache lacks it."""
    path = pair.teacher_path(state.cache, seed)
    if not usable(path, path.stem):
        _train(state, f"teacher {pair.task}/{pair.pair} seed {seed}", "teacher", pair, seed)
    return load_teacher(task, path)[0]


def _train(state: _Rerun, name: str, kind: Literal["extractor", "teacher"], pair: Pair, seed: int = 0) -> None:
    job = Job(name, kind, pair, (), state.suite.suite.teachers, state.cache, state.cache, teacher_seed=seed)
    state.progress(f"training the {job.id}: it is not in the cache (about {seconds_of(job):.0f} s)")
    execute(job, lambda done, steps: None)


def _problems(state: _Rerun, record: Record, pair: Pair, task: Task) -> Iterator[Problem]:
    """What differs from the record when it is measured again."""
    contents = record_contents(pair)
    tolerances = metric_tolerances(record, contents, pair)
    if record.kind == "baseline":
        if (cell := state.suite.cell(record)) is not None and cell.needs:
            state.notes.append(f"{pair.task}/{pair.pair}: {record.label} not compared: it {cell.needs}")
            return
        yield from _compare(record, task.baseline(record.label), {}, tolerances, state.tally)
        return
    teacher = _teacher(state, pair, record.teacher_seed, task)
    recorded = _recorded_teacher_digest(state.submission, record)
    same_teacher = digest(teacher) == recorded
    if record.kind == "teacher" and not same_teacher:
        reason = "not compared, since the weights trained here are different (--retrain trains it again)"
        state.notes.append(f"{record.name}: {reason}")
        return
    left_out = frozenset() if same_teacher else contents.students - contents.teachers
    if left_out:
        reason = "the teacher trained here has different weights" if recorded else "the teacher's record is missing"
        state.notes.append(f"{pair.task}/{pair.pair}: {', '.join(sorted(left_out))} not compared: {reason}")
    try:
        model = teacher if record.kind == "teacher" else _student(state.submission, record, task)
        # Without the same teacher the agreement is left out, so any second model will do.
        test, validation = _evaluate(task, model, teacher if same_teacher else model)
    except Exception as error:  # untrusted weights may make an evaluation fail in any way
        yield "", f"cannot be evaluated ({describe(error)[0]})", ""
        return
    yield from _compare(record, test, validation.metrics, tolerances, state.tally, left_out)


def _evaluate(task: Task, model: nn.Module, teacher: nn.Module) -> tuple[Evaluation, Evaluation]:
    """On the test and the validation split."""
    return task.evaluate(model, teacher), task.evaluate(model, teacher, "validation")


def metric_tolerances(record: Record, contents: RecordContents, pair: Pair) -> dict[str, Tolerance]:
    """How far each metric may be from the recorded one.

    Args:
        record: The record.
        contents: What the records of its pair hold.
        pair: The pair; its feature extractor is another one on another machine.
    """
    other_extractor = pair.extractor_hash is not None and record.environment != environment()
    return {
        name: evaluation_tolerance(
            metric.unit, len(contents.examples), other_extractor and name not in contents.per_example
        )
        for name, metric in contents.metrics.items()
    }


def _recorded_teacher_digest(submission: Submission, record: Record) -> str | None:
    """The digest of the teacher that a record was made with, by the submission's record of it."""
    place = record.task, record.pair, record.teacher_seed
    teachers = (r for r in submission.records if r.kind == "teacher" and (r.task, r.pair, r.seed) == place)
    return next((teacher.weights_sha256 for teacher in teachers), None)


def _student(submission: Submission, record: Record, task: Task) -> nn.Module:
    model = initial(task, "student", 0)
    load_weights(submission.root / record.weights_path, task.deployed(model), record.config_hash)
    return read_only(model)


def _compare(
    record: Record,
    test: Evaluation,
    validation: Mapping[str, float],
    tolerances: Mapping[str, Tolerance],
    tally: Tally,
    left_out: Collection[str] = (),
) -> Iterator[Problem]:
    recorded = {name: metric.value for name, metric in record.metrics.items() if name not in left_out}
    yield from compare_metrics("metrics", recorded, test.metrics, tolerances, tally)
    recorded = {name: value for name, value in record.validation.items() if name not in left_out}
    yield from compare_metrics("validation", recorded, validation, tolerances, tally)
    examples = {name: values for name, values in record.examples.items() if name not in left_out}
    measured = {name: tuple(float(f"{v:.7g}") for v in values.values()) for name, values in test.examples.items()}
    yield from compare_examples(examples, measured, tally)
