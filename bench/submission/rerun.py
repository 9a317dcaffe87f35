"""The submitted weights, evaluated again on the test split: what they really do."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from torch import nn

from bench.cells import Pair
from bench.estimate import seconds_of
from bench.jobs import Job, execute, judge_path, load_teacher, prepared_task, settled, teacher_path
from bench.measure.environment import environment
from bench.records import Record
from bench.submission.claim import Claim, Shape, shape
from bench.submission.findings import Check, Finding, counted
from bench.submission.folder import Submission, weights_place
from bench.submission.tolerance import Allowed, Tally, allowed, compare, compare_items
from bench.submission.weight_files import unkept
from bench.training import describe, initial
from bench.weights import digest, load_weights, usable
from tasks.base import Evaluation, Split, Task, read_only

NAME, WHAT = "rerun", "submitted weights, evaluated again here"
Say = Callable[[str], None]


def rerun(
    submission: Submission, claim: Claim, refused: Collection[str], cache: Path, say: Say
) -> tuple[Check, tuple[str, ...]]:
    """Evaluate again what can be: students by their weights, references, teachers where they are the same here.

    refused: places of records and weights of which the configuration or the file does not hold: they are left alone.
    cache: of judges and teachers made here; those that are not there are trained into it. say: what takes time.
    """
    start, tally = time.monotonic(), Tally()
    findings = [
        Finding(NAME, str(record.path), "", f"has no weights to evaluate again ({weights_place(record)})")
        for record in unkept(submission)
    ]
    notes: list[str] = []
    done = 0
    with settled():
        for pair in claim.pairs.values():
            mine = [r for r in submission.finished if claim.pair(r) == pair and not _places(r) & set(refused)]
            without = {record.path for record in unkept(submission)}
            mine = [record for record in mine if record.path not in without]
            if not mine:
                continue
            say(f"{pair.task}/{pair.pair}: {counted(len(mine), 'record')}")
            task = _task(claim, pair, cache, say)
            for record in mine:
                problems = list(_again(submission, claim, record, task, cache, say, tally, notes))
                findings += [Finding(NAME, str(record.path), *problem) for problem in problems]
                done += 1
    took = f"{counted(done, 'record')} evaluated again in {time.monotonic() - start:.0f} s: {tally}"
    return Check(NAME, WHAT, tuple(findings)), (*dict.fromkeys(notes), took)


def _places(record: Record) -> set[str]:
    return {str(record.path), str(weights_place(record))}


def _task(claim: Claim, pair: Pair, cache: Path, say: Say) -> Task:
    """The task with its judge, trained where it is not there."""
    if pair.judge_hash is not None and not usable(path := judge_path(cache, pair), path.stem):
        _run(Job(f"judge {pair.judge_hash[:8]}", "judge", pair, (), claim.suite.teachers, cache, cache), say)
    return prepared_task(pair, cache)


def teacher_of(claim: Claim, pair: Pair, seed: int, task: Task, cache: Path, say: Say) -> nn.Module:
    """The official teacher, trained where it is not there."""
    path = teacher_path(cache, pair, seed)
    if not usable(path, path.stem):
        name = f"teacher {pair.task}/{pair.pair} seed {seed}"
        _run(Job(name, "teacher", pair, (), claim.suite.teachers, cache, cache, teacher_seed=seed), say)
    return load_teacher(task, path)[0]


def _run(job: Job, say: Say) -> None:
    say(f"training the {job.id}: it is not in the cache (about {seconds_of(job):.0f} s)")
    execute(job, lambda done, steps: None)


def _again(
    submission: Submission,
    claim: Claim,
    record: Record,
    task: Task,
    cache: Path,
    say: Say,
    tally: Tally,
    notes: list[str],
) -> Iterator[tuple[str, str, str]]:
    """What of a record is not found again, as (field, problem, allowed)."""
    pair = claim.pair(record)
    assert pair is not None
    its = shape(pair)
    limits = limits_of(record, its, pair)
    if record.kind == "reference":
        yield from _compared(record, task.reference(record.label), {}, limits, tally)
        return
    teacher = teacher_of(claim, pair, record.teacher_seed, task, cache, say)
    claimed = _claimed(submission, record)
    same = digest(teacher) == claimed
    if record.kind == "teacher" and not same:
        notes.append(f"{record.name}: its weights are others than here (--retrain trains it again); not compared")
        return
    if record.kind == "student" and not same and its.students - its.teachers:
        names = ", ".join(sorted(its.students - its.teachers))
        why = "the teacher here has other weights than theirs" if claimed else "there is no record of their teacher"
        notes.append(f"{pair.task}/{pair.pair}: {names} not compared: {why}")
    try:
        model = teacher if record.kind == "teacher" else _student(submission, record, task)

        def evaluated(split: Split) -> Evaluation:
            return task.evaluate(model, teacher if same else model, split)

        test, held_out = evaluated("test"), evaluated("held_out")
    except Exception as error:  # weights from anywhere may make an evaluation fail in any way
        yield "", f"cannot be evaluated ({describe(error)[0]})", ""
        return
    left_out = frozenset() if same else its.students - its.teachers
    yield from _compared(record, test, held_out.metrics, limits, tally, left_out)


def limits_of(record: Record, its: Shape, pair: Pair) -> dict[str, Allowed]:
    """How far each metric may be from what is recorded."""
    elsewhere = pair.judge_hash is not None and record.environment != environment()
    return {
        name: allowed(metric.unit, len(its.items), judged=elsewhere and name not in its.itemised)
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
    held_out: dict[str, float],
    limits: dict[str, Allowed],
    tally: Tally,
    left_out: frozenset[str] = frozenset(),
) -> Iterator[tuple[str, str, str]]:
    recorded = {name: metric.value for name, metric in record.metrics.items() if name not in left_out}
    yield from compare("metrics", recorded, test.metrics, limits, tally)
    recorded = {name: value for name, value in record.held_out.items() if name not in left_out}
    yield from compare("held_out", recorded, held_out, limits, tally)
    items = {name: values for name, values in record.items.items() if name not in left_out}
    again = {name: tuple(float(f"{v:.7g}") for v in values.values()) for name, values in test.items.items()}
    yield from compare_items(items, again, tally)
