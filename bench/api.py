"""The Python API: ``from distillbench import run, load_records, load_trials``; nothing heavy is imported at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distillbench.common.errors import FailedCellsError

if TYPE_CHECKING:
    import pandas as pd


def run(
    suite: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    device: str | None = None,
    workers: int | None = None,
    cache: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    failures: Literal["raise", "return"] = "raise",
) -> pd.DataFrame:
    """Run what is missing of a suite.

    Args:
        suite: a shipped name, a file, or a table as a file has it, e.g. ``{"seeds": [0, 1], "tasks": {"gan": {}}}``.
        out: the results folder; default: runs/NAME.
        overrides: settings as for ``--set``, e.g. ``["steps=100"]``.
        tasks: the only tasks of the suite to run.
        methods: in place of the suite's.
        seeds: in place of the suite's.
        device: in place of the suite's.
        workers: processes; default: as many as the machine's cores allow.
        cache: where trained teachers are kept; default: in the results folder.
        overwrite: whether records of other configurations are replaced.
        progress: called with the number of cells that are done and of all that were to do.
        failures: "return" gives failed cells as rows, with their reason, in place of raising.

    Returns:
        The records of the suite, one row a cell, as from ``load_records``.

    Raises:
        FailedCellsError: cells failed; the others are kept.
        UserError: something in the suite, the folder or the machine cannot be used.
    """
    from distillbench.bench.analysis.frames import frame
    from distillbench.bench.run import runner
    from distillbench.bench.run.execution import Execution
    from distillbench.bench.run.plan import plan
    from distillbench.bench.run.progress import CellCounter
    from distillbench.bench.store.records import Store
    from distillbench.bench.suite.resolve import load
    from distillbench.bench.suite.tuned import warn_of_outdated
    from distillbench.common.paths import expanded

    if failures not in ("raise", "return"):
        raise ValueError(f"failures: {failures!r} (allowed: 'raise', 'return')")
    loaded = load(suite, overrides, tasks, methods, seeds, device)
    warn_of_outdated(loaded)
    folder = expanded(out) if out is not None else Path("runs", loaded.name)
    listener = None if progress is None else CellCounter(progress)
    before = plan(loaded, folder, expanded(cache) if cache is not None else None)
    done = runner.run(before, Execution(workers=workers), overwrite, listener)
    records = [record for cell in done.cells if (record := Store(folder).find(cell.path)) is not None]
    failed = {r.name: r.failure.reason for r in records if r.failure is not None}
    if failed and failures == "raise":
        raise FailedCellsError(failed, len(records))
    return frame(records)


def load_records(results: str | Path) -> pd.DataFrame:
    """Read every record of a results folder; files that cannot be used are left out, with a warning each.

    Args:
        results: the folder.

    Returns:
        One row a cell; columns as in ``distillbench.bench.analysis.frames.frame``.

    Raises:
        UserError: there is no such folder.
    """
    import warnings

    from distillbench.bench.analysis.frames import frame
    from distillbench.bench.store.records import Store
    from distillbench.common.paths import expanded

    scan = Store(expanded(results)).scan()
    for error in scan.errors.values():
        warnings.warn(f"left out: {error}", stacklevel=2)
    return frame(scan.records)


def load_trials(results: str | Path) -> pd.DataFrame:
    """Read every trial of a tuning, ``trials.csv`` in a results folder or in the folder of the trials.

    Args:
        results: the folder.

    Returns:
        One row a trial and seed; columns as in ``distillbench.bench.report.trials.read_trials``.

    Raises:
        UserError: there is no such file, or it holds something else.
    """
    from distillbench.bench.report.trials import FILE, read_trials
    from distillbench.common.paths import expanded

    return read_trials(expanded(results) / FILE)
