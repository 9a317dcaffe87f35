"""``distillbench plan``: what a run would do."""

from __future__ import annotations

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
)

if TYPE_CHECKING:
    from rich.table import Table

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
    """Which cells a suite has and which are already there; runs nothing."""
    from distillbench.bench.run import plan as planning
    from distillbench.bench.run.progress import summary_line

    chosen = loaded(suite, tasks, methods, seeds, set_, device)
    todo = planning.plan(chosen, out if out is not None else Path("runs", chosen.name))
    output = console()
    output.print(f"{chosen.name}: {chosen.description}", markup=False)
    output.print(_table(todo))
    output.print(summary_line(todo, workers), markup=False, soft_wrap=True)


def _table(todo: Plan) -> Table:
    """Cells by pair and row. A column that would be empty is left out."""
    from rich.table import Table

    states = {
        "finished": todo.finished,
        "missing": todo.missing,
        "failed": todo.failed,
        "other": todo.stale,
    }
    shown = {state: cells for state, cells in states.items() if cells}
    table = Table(caption="other: of another configuration" if "other" in shown else None, caption_justify="left")
    for column in ("task", "pair", "row"):
        table.add_column(column, overflow="fold")
    for column in ("cells", *shown):
        table.add_column(column, justify="right", no_wrap=True)
    rows: dict[tuple[str, str, str], dict[str, int]] = {}
    for state, cells in shown.items():
        for cell in cells:
            counts = rows.setdefault((cell.pair.task, cell.pair.pair, cell.label), dict.fromkeys(shown, 0))
            counts[state] += 1
    for key, counts in sorted(rows.items(), key=lambda row: row[0][:2]):
        table.add_row(*key, str(sum(counts.values())), *(str(count or "") for count in counts.values()))
    return table
