"""The list of cells that runs on a results folder were to make: from it a table knows what is missing."""

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
    """A cell that a run was to make, or one that is not defined.

    Attributes:
        control: whether it is of a control.
        undefined: why there is no such cell, as 'needs labels; gan has none'; '' where there is.
    """

    task: str
    pair: str
    kind: Kind
    label: str
    seed: int
    undefined: str = ""
    control: bool = False

    @property
    def row(self) -> tuple[str, str, Kind, str]:
        """All but the seed that tells it from others."""
        return self.task, self.pair, self.kind, self.label


def expected(results: Path) -> list[ExpectedCell]:
    """Every cell that any run on this folder was to make; none where the folder has no list.

    Raises:
        UserError: the list cannot be read.
    """
    path = results / NAME
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[ExpectedCell]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(f"cannot be read as a list of cells ({reason})", path) from error


def expect(results: Path, cells: Iterable[ExpectedCell]) -> None:
    """Add cells to the list; where a row was not defined and is now, or was and is not, what is now holds."""
    listed, cells = expected(results), list(cells)
    merged = _merged(listed, cells)
    if merged != listed:
        _write(results, merged)


def _merged(listed: Iterable[ExpectedCell], cells: Iterable[ExpectedCell]) -> list[ExpectedCell]:
    undefined = {cell.row: cell.undefined for cell in cells}
    kept = (cell for cell in listed if not (cell.row in undefined and (cell.undefined or undefined[cell.row])))
    return list({(cell.row, cell.seed): cell for cell in (*kept, *cells)}.values())


def heal(results: Path, cells: Iterable[ExpectedCell]) -> str | None:
    """Replace a list that cannot be read by these cells; returns why it cannot, or None where it can."""
    try:
        expected(results)
    except UserError as error:
        _write(results, cells)
        return str(error)
    return None


def _write(results: Path, cells: Iterable[ExpectedCell]) -> None:
    write_atomically(results / NAME, (json.dumps([asdict(cell) for cell in cells], indent=0) + "\n").encode())
