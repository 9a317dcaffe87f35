"""``distillbench plan``: what a run would do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillbench.bench.commands.options import (
    Data,
    Device,
    Methods,
    Out,
    Seeds,
    Settings,
    SuiteName,
    Tasks,
    Workers,
    console,
    loaded,
    table_width,
)

if TYPE_CHECKING:
    from distillbench.bench.report.table import Table
    from distillbench.bench.run.plan import Plan


def plan(
    suite: SuiteName,
    tasks: Tasks = None,
    methods: Methods = None,
    seeds: Seeds = None,
    out: Out = None,
    set_: Settings = None,
    device: Device = None,
    data: Data = None,
    workers: Workers = None,
) -> None:
    """Show which cells a suite has and which are finished, without running anything."""
    from distillbench.bench.report.terminal import grid, notes
    from distillbench.bench.run import plan as planning
    from distillbench.bench.run.execution import Execution
    from distillbench.bench.run.progress import summary_line
    from distillbench.bench.suite.tuned import warn_of_outdated

    chosen = loaded(suite, tasks, methods, seeds, set_, device)
    warn_of_outdated(chosen)
    todo = planning.plan(chosen, out if out is not None else Path("runs", chosen.name))
    output = console()
    output.print(f"{chosen.name}: {chosen.description}", markup=False)
    output.print(grid(_table(todo), table_width(output)))
    stale = ["stale: finished with another configuration"] if todo.stale else []
    left_out = [f"left out: {reason}" for reason in todo.reasons("unavailable")]
    output.print(notes([*stale, *todo.undefined, *left_out]))
    output.print(summary_line(todo, Execution(workers=workers)), markup=False, soft_wrap=True)


def _table(plan: Plan) -> Table:
    """How many cells each pair and row has, by their state; what is not defined has a dash."""
    from distillbench.bench.report.formatting import DASH
    from distillbench.bench.report.table import Cell, Column, Row, Table, words
    from distillbench.bench.store.configurations import order
    from distillbench.bench.suite.registry import METHODS

    states = {
        "finished": plan.finished,
        "missing": plan.missing,
        "failed": plan.failed,
        "stale": plan.stale,
    }
    counts: dict[Any, Counter[str]] = {
        (entry.pair.task, entry.pair.pair, order("student", METHODS.get(name).control, name)): Counter()
        for entry in plan.suite.entries
        for name in entry.undefined
    }
    for state, cells in states.items():
        for cell in cells:
            key = cell.pair.task, cell.pair.pair, order(cell.kind, cell.control, cell.label)
            counts.setdefault(key, Counter())[state] += 1
    rows = [
        (task, pair, label, str(count.total() or DASH), *(str(count[state] or "") for state in states))
        for (task, pair, (*_, label)), count in sorted(counts.items())
    ]
    titles = [*map(words, ("task", "pair", "row")), Column("cells"), *map(Column, states)]
    table = Table("", tuple(titles), tuple(Row(tuple(map(Cell, row)), section=row[0]) for row in rows))
    return table.filled()
