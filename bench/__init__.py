"""distillbench: a benchmark of knowledge distillation.

>>> from bench import run, load_records
>>> frame = run("quick", out="runs/quick")  # one row a cell
>>> frame = load_records("runs/quick")

Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_records", "run"]


def run(
    suite: str,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Run what is missing of a suite (a shipped name or a file) and return its records, one row a cell.

    overrides: as for ``--set``, e.g. ``["steps=100"]``. Raises bench.errors.UserError for what cannot be used.
    Workers are spawned: in a script, call this under ``if __name__ == "__main__":``.
    """
    from bench import runner
    from bench.suite import load

    loaded = load(suite, overrides)
    folder = Path(out) if out is not None else Path("runs", loaded.name)
    runner.run(loaded, folder, workers=workers, overwrite=overwrite)
    return load_records(folder)


def load_records(results: str | Path) -> pd.DataFrame:
    """Every record of a results folder, one row a cell; columns as in ``bench.report.frames.frame``.

    Files that cannot be used as records are left out, with a warning each.
    """
    import warnings

    from bench.records import Store
    from bench.report.frames import frame

    found = Store(Path(results)).scan()
    for problem in found.problems.values():
        warnings.warn(f"left out: {problem}", stacklevel=2)
    return frame(found.records)
