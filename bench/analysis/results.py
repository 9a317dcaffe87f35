"""A results folder as its tables show it: the records that count, what is missing, and what is left out."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from distillbench.bench.analysis.rows import Summary
from distillbench.bench.analysis.series import Split
from distillbench.bench.analysis.speeds import SpeedTable, tabulate_timings
from distillbench.bench.analysis.summary import summarise
from distillbench.bench.store import exports, timings
from distillbench.bench.store.documents import collection_paused
from distillbench.bench.store.manifest import NAME, expected
from distillbench.bench.store.records import Scan, Store
from distillbench.common.errors import UserError


def summaries(
    results: Path, split: Split = "test", scan: Scan | None = None, tasks: Collection[str] | None = None
) -> list[Summary]:
    """Summarise each task of a results folder.

    Args:
        results: The folder.
        split: Where the metrics were measured.
        scan: The folder's records, if they are read already.
        tasks: Those that are read; None: all.

    Raises:
        UserError: The folder holds no records.
    """
    with collection_paused():
        scan = scan or Store(results).scan(tasks)
        problems = dict(scan.problems)
        try:
            cells = expected(results)
        except UserError as error:  # a table is not wrong without it: it cannot say what is missing
            cells, problems[Path(NAME)] = [], str(error)
        cells = [cell for cell in cells if tasks is None or cell.task in tasks]
        if not scan.records and (tasks is None or not cells):
            first = next(iter(scan.problems.values()), "")
            raise UserError(f"{results}: holds no records" + (f" that can be used ({first})" if first else ""))
        timed = timings.scan(results, tasks)
        return summarise(scan.records, cells, split, problems | dict(timed.problems), timed.documents)


def tasks_of(results: Path) -> set[str]:
    """Return the tasks that a results folder has records of, or is to have.

    Raises:
        UserError: There is no such folder.
    """
    present = set(Store(results).tasks)
    with suppress(UserError):  # a list that cannot be read is named beneath the tables
        present |= {cell.task for cell in expected(results)}
    return present


def speed_tables(results: Path, pairs: Collection[tuple[str, str]] | None = None) -> list[SpeedTable]:
    """Tabulate the times of each task of a results folder.

    Args:
        results: The folder.
        pairs: (task, pair) of those to tabulate; None for all.
    """
    records = Store(results).scan().records if results.is_dir() else []
    timed, exported = timings.scan(results), exports.scan(results)
    chosen = [timing for timing in timed.documents if pairs is None or (timing.task, timing.pair) in pairs]
    left_out = tuple(f"left out: {problem}" for problem in (*timed.problems.values(), *exported.problems.values()))
    tables = tabulate_timings(chosen, records, exported.documents)
    return [replace(table, notes=(*table.notes, *left_out)) for table in tables]
