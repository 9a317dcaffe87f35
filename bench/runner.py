"""From a suite to records: what is missing, what it needs, who runs it, what came of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch

from bench.errors import UserError
from bench.executors import local
from bench.jobs import Job, execute, failed, judge_path, settle_process, teacher_path, untrained
from bench.measure.environment import environment
from bench.measure.latency import latency
from bench.records import Latency, Record, Store
from bench.suite import Cell, Pair, Suite, cells
from bench.training import describe
from tasks.base import Role


class Listener(Protocol):
    """Who watches a run."""

    def planned(self, jobs: Sequence[Job]) -> None: ...
    def progressed(self, job: Job, step: int, steps: int) -> None: ...
    def done(self, job: Job, records: Sequence[Record]) -> None: ...


class Silent:
    """Nobody."""

    def planned(self, jobs: Sequence[Job]) -> None: ...
    def progressed(self, job: Job, step: int, steps: int) -> None: ...
    def done(self, job: Job, records: Sequence[Record]) -> None: ...


@dataclass
class Plan:
    """The cells of a suite against a results folder. other: cells whose record is of another configuration."""

    suite: Suite
    out: Path
    finished: list[Cell] = field(default_factory=list)
    missing: list[Cell] = field(default_factory=list)
    failed: list[Cell] = field(default_factory=list)
    other: list[tuple[Cell, Record]] = field(default_factory=list)

    @property
    def cells(self) -> list[Cell]:
        return [*self.finished, *self.missing, *self.failed, *(cell for cell, _ in self.other)]

    @property
    def to_do(self) -> list[Cell]:
        return [*self.missing, *self.failed]


def plan(suite: Suite, out: Path) -> Plan:
    """What is there and what is not. A cell is finished when its record is complete and its hash is the same."""
    result, store = Plan(suite, out), Store(out)
    for cell in cells(suite):
        record = store.find(cell.path)
        if record is None:
            result.missing.append(cell)
        elif record.config_hash != cell.hash:
            result.other.append((cell, record))
        elif record.status == "failed":
            result.failed.append(cell)
        else:
            result.finished.append(cell)
    return result


def run(
    suite: Suite,
    out: Path,
    cache: Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Plan:
    """Run what is missing. Returns the plan as it stands afterwards; failed cells are in it, with their records."""
    listener, workers = listener or Silent(), workers or (1 if suite.device != "cpu" else local.cores())
    if workers < 1:
        raise UserError(f"--workers: {workers} is out of range (allowed: 1 and more)")
    if suite.device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"device: {suite.device!r} cannot be used, torch sees no CUDA device (allowed here: 'cpu')")
    index = suite.device.partition(":")[2]
    if index and int(index) >= torch.cuda.device_count():
        raise UserError(f"device: {suite.device!r} is not there (allowed: cuda:0 to cuda:{torch.cuda.device_count() - 1})")
    todo = plan(suite, out)
    if todo.other and not overwrite:
        raise UserError(_difference(todo))
    if overwrite:
        todo.missing += [cell for cell, _ in todo.other]
    if not todo.to_do:
        return todo
    try:
        _run_jobs(todo, out, cache or out / "cache", workers, listener)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise UserError(f"{out}: cannot be written: {error.strerror or error}{where}; what was finished is kept") from error
    return plan(suite, out)


def _run_jobs(todo: Plan, out: Path, cache: Path, workers: int, listener: Listener) -> None:
    _probe(out)
    _probe(cache)
    store = Store(out)
    jobs = {job.id: job for job in _jobs(todo, out.resolve(), cache.resolve())}
    listener.planned(list(jobs.values()))
    events = local.run(list(jobs.values()), execute, workers)
    try:
        for event in events:
            job = jobs[event.id]
            if isinstance(event, local.Progress):
                listener.progressed(job, event.step, event.steps)
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


def _probe(folder: Path) -> None:
    """Fail now, not after an hour, where nothing can be written."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe-{os.getpid()}"
    probe.write_bytes(b"")
    probe.unlink()


def _jobs(todo: Plan, out: Path, cache: Path) -> list[Job]:
    """Judges, then teachers and references, then groups: one group a (task, pair, seed)."""
    suite, jobs = todo.suite, dict[str, Job]()
    latencies = _latencies(todo, out)
    wanted: dict[tuple[Pair, str, int], list[Cell]] = {}
    for cell in todo.to_do:
        wanted.setdefault((cell.pair, cell.kind, cell.seed), []).append(cell)
    for (pair, kind, seed), members in wanted.items():
        common = {"pair": pair, "teachers": suite.teachers, "out": out, "cache": cache}
        name, judge = f"{pair.task}/{pair.pair}", None
        if pair.judge_hash is not None:
            judge = f"judge {pair.judge_hash[:8]}"
            jobs.setdefault(judge, Job(judge, "judge", cells=(), **common))  # type: ignore[arg-type]
        needs = (judge,) if judge else ()
        if kind == "reference":
            key = f"references {name}"
            jobs[key] = Job(key, "reference", cells=tuple(members), needs=needs, **common)  # type: ignore[arg-type]
            continue
        teacher_seed = members[0].teacher_seed
        # Two pairs with an equal teacher share one training; each pair has its own record.
        trains = f"teacher {pair.teacher_hash(teacher_seed)[:8]}"
        teacher = f"teacher {name} seed {teacher_seed}"
        cell = tuple(members) if kind == "teacher" else ()
        if teacher not in jobs or cell:
            first = next((j.id for j in jobs.values() if j.kind == "teacher" and j.id != teacher and trains == _key(j)), None)
            jobs[teacher] = Job(
                teacher, "teacher", cells=cell, needs=(*needs, *((first,) if first else ())),
                latency=latencies.get((pair, "teacher")), teacher_seed=teacher_seed, **common,  # type: ignore[arg-type]
            )
        if kind == "student":
            key = f"students {name} seed {seed}"
            jobs[key] = Job(
                key, "group", cells=tuple(members), needs=(teacher,),
                latency=latencies.get((pair, "student")), teacher_seed=teacher_seed, **common,  # type: ignore[arg-type]
            )
    for job in list(jobs.values()):
        done = (job.kind == "judge" and judge_path(cache, job.pair).exists()) or (
            job.kind == "teacher" and not job.cells and teacher_path(cache, job.pair, job.teacher_seed).exists()
        )
        if done:
            del jobs[job.id]
    return [replace(job, needs=tuple(need for need in job.needs if need in jobs)) for job in jobs.values()]


def _key(job: Job) -> str:
    return f"teacher {job.pair.teacher_hash(job.teacher_seed)[:8]}"


def _latencies(todo: Plan, out: Path) -> dict[tuple[Pair, Role], Latency]:
    """One latency an architecture, measured now, while nothing trains; or as this machine measured it before."""
    before: dict[tuple[str, str, str], Latency] = {}
    if (out / "records").is_dir():
        for record in Store(out):
            if record.latency is not None and record.environment == environment():
                role = "teacher" if record.kind == "teacher" else "student"
                before[record.task, record.pair, role] = record.latency
    settle_process()
    found: dict[tuple[Pair, Role], Latency] = {}
    for cell in todo.to_do:
        if cell.kind == "reference":
            continue
        role: Role = cell.kind
        if (key := (cell.pair, role)) not in found:
            known = before.get((cell.pair.task, cell.pair.pair, role))
            found[key] = known or latency(*untrained(cell.pair, role), device=cell.pair.device)
    return found


def _difference(todo: Plan) -> str:
    """One line: how many records are of another configuration, and where the first differs."""
    cell, record = todo.other[0]
    mine, theirs = _flat(cell.config), _flat(record.config)
    field_ = next((key for key in sorted(mine.keys() | theirs.keys()) if mine.get(key) != theirs.get(key)), "?")
    return (
        f"{todo.out / cell.path}: {field_}: made with {_short(theirs.get(field_))}, asked for {_short(mine.get(field_))} "
        f"({len(todo.other)} of {len(todo.cells)} records are of another configuration; choose another folder with --out, "
        "or --overwrite)"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


def _flat(config: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(config, dict):
        return {prefix: config}
    return {k: v for key, value in config.items() for k, v in _flat(value, f"{prefix}.{key}" if prefix else key).items()}
