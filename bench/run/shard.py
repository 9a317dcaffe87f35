"""The part of a suite's cells that one of several runs makes: equal parts by estimated cost, the same each time."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from distillbench.bench.run.estimate import seconds_of
from distillbench.bench.run.job_graph import job_graph
from distillbench.bench.run.jobs import Job
from distillbench.bench.run.plan import CellState, Plan
from distillbench.bench.suite.cells import Cell
from distillbench.common.errors import UserError

MOST = 10_000
"""Shards of a suite."""


@dataclass(frozen=True)
class Shard:
    """One of several parts.

    Attributes:
        number: Of the part, from 1.
        count: Of parts.
    """

    number: int
    count: int


def parsed(text: str, option: str = "--shard") -> Shard:
    """Read a shard as it is written, such as '2/8'.

    Raises:
        UserError: It is no shard.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None:
        raise UserError(f"{text!r} is no shard", option, allowed="NUMBER/COUNT such as 2/8")
    number, count = int(match[1]), int(match[2])
    if not 1 <= count <= MOST:
        raise UserError(f"{count} shards", option, allowed=f"1 to {MOST}")
    if not 1 <= number <= count:
        raise UserError(f"shard {number} of {count}", option, allowed=f"1 to {count}")
    return Shard(number, count)


def part_of(plan: Plan, shard: Shard) -> Plan:
    """Return the plan in which cells of other shards are left to others.

    Args:
        plan: Of a whole suite.
        shard: The part to make.
    """
    own = set(divided(plan, shard.count)[shard.number - 1])
    states = (
        state
        if state.cell in own or state.status in ("finished", "unavailable")
        else replace(state, status="elsewhere")
        for state in plan.states
    )
    return replace(plan, states=tuple(states))


def divided(plan: Plan, count: int) -> list[list[Cell]]:
    """Divide all cells of a plan, whatever its folder has, among shards that share no teachers.

    The longest job first, each to the shard that is then done soonest; a teacher is trained in each shard that has
    students of it, so that students of a teacher stay together as long as that is sooner.

    Args:
        plan: Of a whole suite.
        count: Of shards.

    Returns:
        The cells of each shard.
    """
    # Also those that this machine lacks a package for: all machines divide alike.
    everything = replace(plan, states=tuple(CellState(state.cell, "missing") for state in plan.states))
    jobs = {job.id: job for job in job_graph(everything, cached=False).jobs}
    cost = {id_: seconds_of(job) for id_, job in jobs.items()}
    loads, made = [0.0] * count, [set[str]() for _ in range(count)]
    cells: list[list[Cell]] = [[] for _ in range(count)]
    for job in sorted((job for job in jobs.values() if job.cells), key=lambda job: (-cost[job.id], job.id)):
        needed = _needed(job, jobs)
        totals = [loads[i] + sum(cost[id_] for id_ in needed - made[i]) for i in range(count)]
        best = min(range(count), key=lambda i: totals[i])
        loads[best] = totals[best]
        made[best] |= needed
        cells[best] += job.cells
    return cells


def _needed(job: Job, jobs: dict[str, Job]) -> set[str]:
    """A job and all that it needs, directly or not."""
    needed, open_ = set[str](), [job.id]
    while open_:
        id_ = open_.pop()
        if id_ not in needed:
            needed.add(id_)
            open_ += jobs[id_].needs
    return needed
