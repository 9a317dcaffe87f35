"""What a results folder was to hold: written when a run starts, so that a table can name what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from distillbench.bench.store.terms import Kind
from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError

NAME = "expected.json"


@dataclass(frozen=True)
class ExpectedCell:
    """A cell that a run was to make; how a table knows what is missing."""

    task: str
    pair: str
    kind: Kind
    label: str
    seed: int


def expected(results: Path) -> list[ExpectedCell]:
    """Every cell that any run on this folder was to make; none where the folder has no such list."""
    path = results / NAME
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[ExpectedCell]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(f"cannot be read as a list of cells ({reason})", path) from error


def expect(results: Path, cells: Iterable[ExpectedCell]) -> None:
    """Add cells to the list."""
    known = dict.fromkeys(expected(results))
    merged = known | dict.fromkeys(cells)
    if merged.keys() != known.keys():
        _write(results, merged)


def heal(results: Path, cells: Iterable[ExpectedCell]) -> str | None:
    """Begin a list anew that cannot be read; returns why it cannot."""
    try:
        expected(results)
    except UserError as error:
        _write(results, cells)
        return str(error)
    return None


def _write(results: Path, cells: Iterable[ExpectedCell]) -> None:
    write_atomically(results / NAME, (json.dumps([asdict(cell) for cell in cells], indent=0) + "\n").encode())
