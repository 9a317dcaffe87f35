"""``distillbench plan``: what a run would do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

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
    from distillbench.bench.run.progress import summary_line

    chosen = loaded(suite, tasks, methods, seeds, set_, device)
    todo = planning.plan(chosen, out if out is not None else Path("runs", chosen.name))
    output = console()
    output.print(f"{chosen.name}: {chosen.description}", markup=False)
    output.print(grid(_table(todo), table_width(output)))
    stale = ["stale: finished with another configuration"] if todo.stale else []
    output.print(notes([*stale, *(f"left out: {reason}" for reason in todo.reasons("unavailable"))]))
    output.print(summary_line(todo, workers), markup=False, soft_wrap=True)


def _table(plan: Plan) -> Table:
    """How many cells each pair and row has, by their state."""
    from distillbench.bench.report.table import Cell, Column, Row, Table, words

    states = {
        "finished": plan.finished,
        "missing": plan.missing,
        "failed": plan.failed,
        "stale": plan.stale,
    }
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for state, cells in states.items():
        for cell in cells:
            counts.setdefault((cell.pair.task, cell.pair.pair, cell.label), Counter())[state] += 1
    rows = [
        (*key, str(count.total()), *(str(count[state] or "") for state in states))
        for key, count in sorted(counts.items(), key=lambda row: row[0][:2])
    ]
    titles = [*map(words, ("task", "pair", "row")), Column("cells"), *map(Column, states)]
    table = Table("", tuple(titles), tuple(Row(tuple(map(Cell, row)), section=row[0]) for row in rows))
    return table.filled()
