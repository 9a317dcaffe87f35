"""From a suite to records: what is missing, what it needs, who runs it, what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from distillbench.bench.machine.limits import cores
from distillbench.bench.machine.lock import busy_on_the_machine
from distillbench.bench.run.estimate import longest_first, probe_task, seconds_of, wall_seconds
from distillbench.bench.run.jobs import Job, execute, failed
from distillbench.bench.store.configurations import ABSENT, flat, plain
from distillbench.bench.store.documents import OtherSchemaError
from distillbench.bench.store.manifest import ExpectedCell, expect, heal
from distillbench.bench.store.records import Record, Store
from distillbench.bench.store.terms import ROLES
from distillbench.bench.store.weights import damage, usable
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.bench.suite.registry import TASKS
from distillbench.bench.suite.resolve import Suite
from distillbench.bench.training import contract
from distillbench.bench.training.determinism import one_thread
from distillbench.bench.training.loop import describe
from distillbench.bench.training.pretrained import load_pretrained
from distillbench.bench.workers import local
from distillbench.bench.workers.messages import Lost, Progress
from distillbench.common.errors import UserError, one_line
from distillbench.tasks.base import Role


class Listener:
    """Who watches a run; this one does nothing."""

    def planned(self, jobs: Sequence[Job]) -> None: ...
    def progressed(self, job: Job, step: int, steps: int) -> None: ...
    def lost(self, job: Job, reason: str) -> None: ...
    def done(self, job: Job, records: Sequence[Record]) -> None: ...
    def unreadable(self, problems: Sequence[str]) -> None: ...


@dataclass
class Plan:
    """The cells of a suite against a results folder.

    other: cells whose record is of another configuration or schema version, and how it differs. unreadable: why the
    files in the place of some of the missing cannot be used.
    """

    suite: Suite
    out: Path
    finished: list[Cell] = field(default_factory=list)
    missing: list[Cell] = field(default_factory=list)
    failed: list[Cell] = field(default_factory=list)
    other: list[tuple[Cell, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    @property
    def cells(self) -> list[Cell]:
        return [*self.finished, *self.missing, *self.failed, *(cell for cell, _ in self.other)]

    @property
    def to_do(self) -> list[Cell]:
        return [*self.missing, *self.failed]


def plan(suite: Suite, out: Path, wanted: Sequence[Cell] | None = None) -> Plan:
    """What is there and what is not. A cell is finished when its record is complete and its hash is the same.

    wanted: these cells in place of the suite's own.
    """
    result, store = Plan(suite, out), Store(out)
    for cell in suite.cells if wanted is None else wanted:
        try:
            record = store.find(cell.path)
            if record is not None and record.config_hash == cell.hash:
                _check_metrics(out / cell.path, cell, record)
        except OtherSchemaError as error:
            result.other.append((cell, str(error)))
            continue
        except UserError as error:
            result.unreadable.append(one_line(str(error)))
            record = None
        if record is None:
            result.missing.append(cell)
        elif record.config_hash != cell.hash or record.path != cell.path:
            result.other.append((cell, f"{out / cell.path}: {_difference(cell, record)}"))
        elif record.status == "failed":
            result.failed.append(cell)
        else:
            result.finished.append(cell)
    return result


def _check_metrics(path: Path, cell: Cell, record: Record) -> None:
    """A record reads its metrics as its task does."""
    for name, its in TASKS.get(cell.pair.task).metrics.items():
        metric = record.metrics.get(name, its)
        for field_ in ("direction", "unit"):
            if (found := getattr(metric, field_)) != (wanted := getattr(its, field_)):
                raise UserError(f"{path}: metrics.{name}.{field_}: {found!r}, and the task's is {wanted!r}")


@one_thread()
def run(
    suite: Suite,
    out: Path,
    cache: Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    wanted: Sequence[Cell] | None = None,
) -> Plan:
    """Run what is missing. Returns the plan as it stands afterwards; failed cells are in it, with their records."""
    listener, workers, cache = listener or Listener(), workers or default_workers(suite), cache or out / "cache"
    if workers < 1:
        raise UserError(f"--workers: {workers} is out of range (allowed: 1 and more)")
    todo = plan(suite, out, wanted)
    if todo.other and not overwrite:
        others = f"{len(todo.other)} of {len(todo.cells)} records are of another configuration"
        raise UserError(f"{todo.other[0][1]} ({others}; choose another folder with --out, or --overwrite)")
    todo = _overwriting(todo) if overwrite else todo
    with _one_line(out):
        if (problem := heal(out, _expected(todo))) is not None:
            listener.unreadable([one_line(problem)])
    if not todo.to_do:
        return todo
    prepare(suite, out, cache)
    _check_data(todo, cache)
    with busy_on_the_machine(), _one_line(out):
        _run_jobs(todo, out, cache, workers, listener)
    return plan(suite, out, wanted)


def prepare(suite: Suite, out: Path, cache: Path | None = None) -> None:
    """Fail now, not after an hour: where the device is not there, or nothing can be written."""
    if suite.device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"device: {suite.device!r} cannot be used, torch sees no CUDA device (allowed here: 'cpu')")
    index = suite.device.partition(":")[2]
    if index and int(index) >= torch.cuda.device_count():
        raise UserError(
            f"device: {suite.device!r} is not there (allowed: cuda:0 to cuda:{torch.cuda.device_count() - 1})"
        )
    with _one_line(out):
        for folder in (out, cache or out / "cache"):
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()


@contextmanager
def _one_line(out: Path) -> Iterator[None]:
    """What goes wrong with files is the user's to mend: one line."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise UserError(
            f"{out}: cannot be written: {error.strerror or error}{where}; what was finished is kept"
        ) from error


@one_thread()
def estimate(
    todo: Plan, workers: int | None = None, cache: Path | None = None, overwrite: bool = False
) -> tuple[float, int]:
    """About how many seconds the rest of a plan takes, and on how many workers."""
    todo = _overwriting(todo) if overwrite else todo
    workers = workers or default_workers(todo.suite)
    _check_data(todo, cache or todo.out / "cache")
    with _one_line(todo.out):
        costs = [seconds_of(job) for job in _jobs(todo, todo.out, cache or todo.out / "cache")]
    return wall_seconds(costs, workers), workers


def _check_data(todo: Plan, cache: Path) -> None:
    """Decode the data, and fail now where they do not fit the settings."""
    partnered = {cell.pair for cell in todo.to_do if cell.method is not None and cell.method.teacher == "own"}
    for pair in dict.fromkeys(cell.pair for cell in todo.to_do):
        with _one_line(todo.out):
            check_data(pair, cache, pair in partnered)


@lru_cache(maxsize=64)
def check_data(pair: Pair, cache: Path, partnered: bool = False) -> None:
    """Raise UserError where the data of a pair cannot be read or do not fit its settings, or its networks do not.

    partnered: whether a method trains a teacher beside the student: one that is trained already need not be trainable.
    """
    task = probe_task(pair, cache)
    try:
        task.check()
        trained: dict[Role, bool] = {"teacher": partnered or not pair.settings.pretrained, "student": True}
        models = {role: contract.build(task, role, trained[role]) for role in ROLES}
        recipe = pair.settings.recipe("teacher")
        if recipe.weights is not None:
            load_pretrained(models["teacher"], recipe.weights, recipe.weights_key)
    except UserError as error:
        raise error.within(field=f"tasks.{pair.task}") from error


def _overwriting(todo: Plan) -> Plan:
    """The plan with what is of another configuration among what is missing."""
    return replace(todo, missing=[*todo.missing, *(cell for cell, _ in todo.other)], other=[])


def default_workers(suite: Suite) -> int:
    """A core each; a single one for a GPU."""
    return cores() if suite.device == "cpu" else 1


def _run_jobs(todo: Plan, out: Path, cache: Path, workers: int, listener: Listener) -> None:
    store = Store(out)
    expect(out, _expected(todo))
    jobs = {job.id: job for job in _jobs(todo, out.resolve(), cache.resolve())}
    if unusable := [*todo.unreadable, *damaged(todo, cache)]:
        listener.unreadable(unusable)
    listener.planned(list(jobs.values()))
    events = local.run(longest_first(list(jobs.values())), execute, workers)
    try:
        for event in events:
            job = jobs[event.id]
            if isinstance(event, Progress):
                listener.progressed(job, event.step, event.steps)
                continue
            if isinstance(event, Lost):
                listener.lost(job, event.reason)
                continue
            if isinstance(event.error, OSError):
                raise event.error
            records = event.result or []
            if event.error is not None:
                records = [failed(job, cell, *describe(event.error)) for cell in job.cells]
            for cell, record in zip(job.cells, records, strict=True):
                store.write(cell.path, record)
            listener.done(job, records)
    finally:
        events.close()  # type: ignore[attr-defined]


def _jobs(todo: Plan, out: Path, cache: Path) -> list[Job]:
    """Feature extractors, then teachers and baselines, then groups of students: one a (task, pair, seed)."""
    jobs: dict[str, Job] = {}
    trained: dict[str, str] = {}  # teacher's hash -> the job that trains it: equal teachers are trained once
    by_pair: dict[Pair, list[Cell]] = {}
    for cell in todo.to_do:
        _ = cell.hash  # kept in the cell, and sent with it: the code is looked at once, here
        by_pair.setdefault(cell.pair, []).append(cell)

    def add(id_: str, kind: Literal["extractor", "teacher", "baseline", "group"], pair: Pair, **more: Any) -> str:
        jobs[id_] = Job(id_, kind, pair, teachers=todo.suite.teachers, out=out, cache=cache, **more)
        return id_

    for pair, members in by_pair.items():
        name = f"{pair.task}/{pair.pair}"
        needs: tuple[str, ...] = ()
        if pair.extractor_hash is not None and not usable(pair.extractor_path(cache), pair.extractor_hash):
            needs = (add(f"feature extractor {pair.extractor_hash[:8]}", "extractor", pair, cells=()),)
        if baselines := tuple(cell for cell in members if cell.kind == "baseline"):
            add(f"baselines {name}", "baseline", pair, cells=baselines, needs=needs)
        for seed in sorted({cell.teacher_seed for cell in members if cell.kind != "baseline"}):
            mine = tuple(cell for cell in members if cell.kind == "teacher" and cell.seed == seed)
            key = pair.teacher_hash(seed)
            before = needs
            if mine or not usable(pair.teacher_path(cache, seed), key):
                before = (*needs, *((trained[key],) if key in trained else ()))
                id_ = f"teacher {name} seed {seed}"
                before = (add(id_, "teacher", pair, cells=mine, needs=before, teacher_seed=seed),)
                trained.setdefault(key, id_)
            students: dict[int, list[Cell]] = {}
            for cell in members:
                if cell.kind == "student" and cell.teacher_seed == seed:
                    students.setdefault(cell.seed, []).append(cell)
            for student_seed, group in students.items():
                id_ = f"students {name} seed {student_seed}"
                add(id_, "group", pair, cells=tuple(group), needs=before, teacher_seed=seed)
    return list(jobs.values())


def _expected(todo: Plan) -> list[ExpectedCell]:
    return [ExpectedCell(cell.pair.task, cell.pair.pair, cell.kind, cell.label, cell.seed) for cell in todo.cells]


def damaged(todo: Plan, cache: Path) -> list[str]:
    """Why cached feature extractors and teachers that the rest of a plan needs cannot be used, one line each."""
    files = {cell.pair.extractor_path(cache) for cell in todo.to_do if cell.pair.extractor_hash is not None}
    files |= {cell.pair.teacher_path(cache, cell.teacher_seed) for cell in todo.to_do if cell.kind != "baseline"}
    return [one_line(problem) for path in sorted(files) if (problem := damage(path, path.stem)) is not None]


def _difference(cell: Cell, record: Record) -> str:
    """Where a record differs from what is asked for: the first field."""
    mine, theirs = flat(cell.config), flat(record.config)
    for name in sorted(mine.keys() | theirs.keys()):
        if (found := theirs.get(name, ABSENT)) != (asked := mine.get(name, ABSENT)):
            return f"{name}: made with {plain(found)}, asked for {plain(asked)}"
    return f"holds the record of {record.path}"
