"""A results folder as its tables show it: the records that count, what is missing, and what is left out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from distillbench.bench.analysis.series import Split
from distillbench.bench.analysis.speeds import SpeedTable, tabulate_timings
from distillbench.bench.analysis.summary import Summary, summarise
from distillbench.bench.store.exports import scan as exports_of
from distillbench.bench.store.manifest import NAME, expected
from distillbench.bench.store.records import Scan, Store
from distillbench.bench.store.timings import scan as timings_of
from distillbench.common.errors import UserError


def summaries(results: Path, split: Split = "test", scan: Scan | None = None) -> list[Summary]:
    """A summary a task. scan: of that folder, if it is read already. UserError where there is nothing to show."""
    found = scan or Store(results).scan()
    if not found.records:
        first = next(iter(found.problems.values()), "")
        raise UserError(f"{results}: holds no records" + (f" that can be used ({first})" if first else ""))
    problems = dict(found.problems)
    try:
        wanted = expected(results)
    except UserError as error:  # a table is not wrong without it: it cannot say what is missing
        wanted, problems[Path(NAME)] = [], str(error)
    timings = timings_of(results)
    return summarise(found.records, wanted, split, problems | dict(timings.problems), timings.documents)


def speed_tables(results: Path, mine: Collection[tuple[str, str]] | None = None) -> list[SpeedTable]:
    """A table of times a task. mine: of these pairs, (task, pair), alone."""
    records = Store(results).scan().records if results.is_dir() else []
    timings, exports = timings_of(results), exports_of(results)
    wanted = [t for t in timings.documents if mine is None or (t.task, t.pair) in mine]
    left_out = tuple(f"left out: {problem}" for problem in (*timings.problems.values(), *exports.problems.values()))
    tables = tabulate_timings(wanted, records, exports.documents)
    return [replace(table, notes=(*table.notes, *left_out)) for table in tables]
