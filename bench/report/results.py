"""A results folder as its tables show it: the records that count, what is missing, and what is left out."""

from __future__ import annotations

from pathlib import Path

from bench.errors import UserError
from bench.records import Store
from bench.report.manifest import NAME, expected
from bench.report.series import Split
from bench.report.summary import Summary, summarise
from bench.timings import scan as timings_of


def summaries(results: Path, split: Split = "test") -> list[Summary]:
    """A summary a task. Raises UserError where there is nothing to show."""
    found = Store(results).scan()
    if not found.records:
        first = next(iter(found.problems.values()), "")
        raise UserError(f"{results}: holds no records" + (f" that can be used ({first})" if first else ""))
    problems = dict(found.problems)
    try:
        wanted = expected(results)
    except UserError as error:  # a table is not wrong without it: it cannot say what is missing
        wanted, problems[Path(NAME)] = [], str(error)
    timings = timings_of(results)
    return summarise(found.records, wanted, split, problems | dict(timings.problems), timings.found)
