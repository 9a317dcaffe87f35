"""How the commands grow with a matrix: ``python tests/simulations/growth.py 1000 10000 100000``.

The suite quick with as many seeds as make so many cells, and a record of each with the published results of its row.
Prints the seconds of each command in a process of its own: of ``plan`` on an empty folder; on the full one of ``run``,
which has nothing to do, ``table``, ``table`` of one task, and ``leaderboard``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tomli_w
from rich.console import Console
from rich.table import Table

from distillbench.bench.run.plan import plan
from distillbench.bench.store import figures
from distillbench.bench.store.records import Record, Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.resolve import load

ROOT = Path(__file__).parents[2]
SUITES = ROOT / "bench" / "suites"
PUBLISHED = ROOT / "results" / "quick"
CELLS_A_SEED = 48
"""Of the suite quick, with its teachers."""


def suite_of(cells: int, folder: Path) -> Path:
    """Write a suite of about so many cells into a folder; returns its file."""
    table = tomllib.loads((SUITES / "quick.toml").read_text())
    table["seeds"] = list(range(round(cells / CELLS_A_SEED)))
    for task in table["tasks"].values():
        task.pop("seeds", None)
    path = folder / f"cells-{cells}.toml"
    path.write_text(tomli_w.dumps(table))
    shutil.copy(SUITES / "quick.tuned.toml", folder)
    return path


def fill(suite: Path, out: Path) -> int:
    """Write a record of every cell of a suite; returns how many there are."""
    published = Store(PUBLISHED).scan().records
    patterns = {(r.task, r.kind, r.label): json.loads(r.model_dump_json()) for r in published}
    cells = plan(load(str(suite)), out).cells
    for cell in cells:
        pattern = patterns[cell.pair.task, cell.kind, cell.label]
        path = out / cell.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(pattern | identity(cell)))
    Record.model_validate_json(path.read_bytes())
    for drawn in figures.scan(PUBLISHED).documents:
        shown = {c.label: c.hash for c in cells if (c.pair.task, c.kind, c.seed) == (drawn.task, "student", drawn.seed)}
        figures.write(out, drawn.model_copy(update={"students": shown}))
        for figure in drawn.figures:
            shutil.copy(PUBLISHED / figures.FOLDER / figure.file, out / figures.FOLDER)
    return len(cells)


def identity(cell: Cell) -> dict[str, Any]:
    """The fields of a record that say of which cell it is."""
    return {
        "seed": cell.seed,
        "config": cell.config,
        "config_hash": cell.hash,
        "created": datetime.now(UTC).isoformat(),
    }


def seconds(*arguments: object) -> float:
    """Return how long a command takes."""
    command = [sys.executable, "-m", "distillbench", *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return time.perf_counter() - start


def main() -> None:
    """Print a row for each number of cells."""
    table = Table("cells", "plan", "run", "table", "table --task vae", "leaderboard", box=None)
    for asked in map(int, sys.argv[1:]):
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            suite, out = suite_of(asked, folder), folder / "results"
            planned = seconds("plan", suite, "--out", folder / "empty")
            cells = fill(suite, out)
            row = [
                planned,
                seconds("run", suite, "--out", out, "--cache", folder / "cache"),
                seconds("table", out),
                seconds("table", out, "--task", "vae"),
                seconds("leaderboard", out, "--out", folder / "board"),
            ]
            table.add_row(str(cells), *(f"{value:.1f} s" for value in row))
            print(cells, *(f"{value:.1f}" for value in row), flush=True)
    Console().print(table)


if __name__ == "__main__":
    main()
