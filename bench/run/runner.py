"""From a plan to records: the runner gives the jobs of a plan to an executor and stores the records they return."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace

from distillbench.bench.machine.lock import busy_on_the_machine
from distillbench.bench.run.estimate import longest_first, seconds_of, wall_seconds
from distillbench.bench.run.execution import LOCAL, Execution
from distillbench.bench.run.job_graph import job_graph
from distillbench.bench.run.jobs import Job, execute, failed
from distillbench.bench.run.plan import Plan
from distillbench.bench.run.plan import plan as planned
from distillbench.bench.run.preconditions import (
    check_data_of,
    check_device_and_folders,
    check_memory,
    file_errors,
)
from distillbench.bench.store import checkpoints, claims
from distillbench.bench.store.claims import ClaimedError
from distillbench.bench.store.manifest import ExpectedCell, expect, heal
from distillbench.bench.store.records import Record, Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.registry import METHODS
from distillbench.bench.training.determinism import one_thread
from distillbench.bench.training.loop import describe
from distillbench.bench.workers.executor import JobEnd, JobProgress, Limits, WorkerLoss
from distillbench.common.errors import UserError, one_line

HANGS_AFTER = 20.0
"""A job that takes so many times its estimated seconds hangs, and is stopped; but none is before ``LEAST_LIMIT``."""
LEAST_LIMIT = 3600.0
LOOK_EVERY = 1.0
"""Seconds between two looks at whether another run has ended a job."""


class Listener:
    """Is called with what happens in a run; this one ignores it."""

    def planned(self, jobs: Sequence[Job]) -> None:
        """These jobs are going to run."""

    def progressed(self, job: Job, step: int, steps: int) -> None:
        """A job has started (step 0), or has reached a step."""

    def lost(self, job: Job, reason: str, parts: Sequence[Job]) -> None:
        """The worker of a job has died, or was killed at a limit, and the parts of the job start once more."""

    def done(self, job: Job, records: Sequence[Record]) -> None:
        """A job has ended, and its records are stored."""

    def postponed(self, job: Job, reason: str) -> None:
        """Another run does a job at the moment, or what it needs; what is lacking after that is planned anew."""

    def unreadable(self, problems: Sequence[str]) -> None:
        """These files cannot be used and are made again, one line each."""


def run(plan: Plan, execution: Execution = LOCAL, overwrite: bool = False, listener: Listener | None = None) -> Plan:
    """Run what a plan lacks.

    Args:
        plan: The plan.
        execution: By which executor, and what a job may use; seconds by default ``HANGS_AFTER`` times its estimate, and
            at least ``LEAST_LIMIT``.
        overwrite: Whether records of another configuration are replaced.
        listener: Is called with what happens.

    Returns:
        The plan against the folder afterwards; failed cells have records too.

    Raises:
        UserError: The folder holds records of another configuration, or cannot be written, or a precondition fails.
    """
    listener = listener or Listener()
    if plan.stale and not overwrite:
        count = f"{len(plan.stale)} of {len(plan.cells)} records are of another configuration"
        raise UserError(f"{plan.reasons('stale')[0]} ({count}; choose another folder with --out, or --overwrite)")
    plan = plan.with_stale_missing()
    with file_errors(plan.out):
        if (problem := heal(plan.out, _expected(plan))) is not None:
            listener.unreadable([one_line(problem)])
        if not plan.to_do:
            expect(plan.out, _expected(plan))
            with suppress(OSError):  # a folder that cannot be written is left as it is
                _tidy(plan)
            return plan
    return _run(plan, execution, overwrite, listener)


@one_thread()
def _run(plan: Plan, execution: Execution, overwrite: bool, listener: Listener) -> Plan:
    checkpoints.interval()
    check_device_and_folders(plan.suite, plan.out, plan.cache, execution.elsewhere)
    check_memory(plan, execution.limits.bytes)
    check_data_of(plan)
    with busy_on_the_machine(), file_errors(plan.out), claims.running(plan.out, execution.share):
        expect(plan.out, _expected(plan))
        rest = plan
        while rest.to_do:
            ended, claimed = _run_jobs(rest, execution, listener)
            _wait_for(claimed)
            lacking = [cell for cell in rest.to_do if cell not in ended] if claimed else []
            rest = planned(plan.suite, plan.out, plan.cache, lacking)
            if rest.stale and not overwrite:
                raise UserError(f"{rest.reasons('stale')[0]} (another run has made it meanwhile)")
            rest = rest.with_stale_missing()
        after = plan.refreshed()
        _tidy(after)
    return after


@one_thread()
def estimate(plan: Plan, execution: Execution = LOCAL, overwrite: bool = False) -> tuple[float, int]:
    """Return about how many seconds the rest of a plan takes, and on how many workers: one where that is not known.

    Args:
        plan: The plan.
        execution: By which executor.
        overwrite: Whether records of another configuration are replaced.

    Raises:
        UserError: Data or networks do not fit the settings of a pair.
    """
    plan = plan.with_stale_missing() if overwrite else plan
    workers = execution.workers_for(plan.suite) or 1
    check_data_of(plan)
    with file_errors(plan.out):
        return wall_seconds([seconds_of(job) for job in job_graph(plan).jobs], workers), workers


def _run_jobs(plan: Plan, execution: Execution, listener: Listener) -> tuple[set[Cell], list[ClaimedError]]:
    """Do the jobs of a plan, but those that another run does: the cells that have ended, and whom to wait for."""
    graph, store = job_graph(plan), Store(plan.out)
    if problems := [*plan.reasons("unreadable"), *graph.damaged]:
        listener.unreadable(problems)
    unusable = frozenset(plan.with_status("unreadable"))
    jobs = {
        job.id: replace(job, limits=_limits(job, execution.limits), unusable=unusable.intersection(job.cells))
        for job in longest_first(graph.jobs)
    }
    listener.planned(list(jobs.values()))
    ended, claimed = set[Cell](), list[ClaimedError]()
    with closing(execution.executor_for(plan.suite).run(list(jobs.values()), execute)) as events:
        for event in events:
            job = jobs[event.id]
            match event:
                case JobProgress():
                    listener.progressed(job, event.step, event.steps)
                case WorkerLoss():
                    jobs |= {part.id: part for part in event.parts}
                    listener.lost(job, event.reason, event.parts)
                case JobEnd() if (error := _claimed(event.error)) is not None:
                    claimed.append(error)
                    listener.postponed(job, str(error))
                case JobEnd():
                    records = _records(job, event)
                    ended |= set(job.cells)
                    for cell, record in zip(job.cells, records, strict=True):
                        store.write(cell.path, record)
                    listener.done(job, records)
    return ended, claimed


def _claimed(error: BaseException | None) -> ClaimedError | None:
    """The claim of another run because of which a job, or one that it needs, was not done."""
    while error is not None and not isinstance(error, ClaimedError):
        error = error.__cause__
    return error


def _tidy(plan: Plan) -> None:
    """Remove what killed processes have left behind of what is finished now; others may go on from the rest."""
    for folder in (plan.out, plan.cache):
        claims.all_live(folder)
    if not checkpoints.all_in(plan.out):
        checkpoints.remove_empty(plan.out / checkpoints.FOLDER)
        return
    finished = set(plan.finished)
    for job in job_graph(plan.with_all_missing(), cached=False).jobs:
        if job.cells and finished.issuperset(job.cells):
            for each in (job, *job.parts()):
                checkpoints.remove(each.states()[0])


def _wait_for(claimed: Sequence[ClaimedError]) -> None:
    """Wait until another run has ended one of its jobs."""
    while claimed and all(claims.live(error.path) == error.claim for error in claimed):
        time.sleep(LOOK_EVERY)


def _limits(job: Job, asked: Limits) -> Limits:
    seconds = max(LEAST_LIMIT, HANGS_AFTER * seconds_of(job)) if asked.seconds is None else asked.seconds
    return replace(asked, seconds=seconds)


def _records(job: Job, end: JobEnd[list[Record]]) -> list[Record]:
    """The records of a job; OSError is raised, since every other job would fail with it."""
    if isinstance(end.error, OSError):
        raise end.error
    if end.error is not None:
        return [failed(job, cell, *describe(end.error)) for cell in job.cells]
    return end.result or []


def _expected(plan: Plan) -> list[ExpectedCell]:
    """The cells of a plan, and of each row that is not defined the one of the first seed."""
    cells = [
        ExpectedCell(cell.pair.task, cell.pair.pair, cell.kind, cell.label, cell.seed, control=cell.control)
        for cell in plan.cells
    ]
    for entry in plan.suite.entries:
        place = entry.pair.task, entry.pair.pair
        for name, reason in entry.undefined.items():
            control = METHODS.get(name).control
            cells.append(ExpectedCell(*place, "student", name, entry.seeds[0], reason, control))
    return cells
