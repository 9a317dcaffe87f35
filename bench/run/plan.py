"""The plan of a run: which cells of a suite a results folder has, and which are missing, failed or stale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from distillbench.bench.store.configurations import ABSENT, flat, plain
from distillbench.bench.store.documents import OtherSchemaError, collection_paused
from distillbench.bench.store.records import Record, Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.resolve import Suite
from distillbench.common.errors import UserError, one_line
from distillbench.common.text import listed

CellStatus = Literal["finished", "failed", "missing", "unreadable", "stale", "unavailable", "elsewhere"]


@dataclass(frozen=True)
class CellState:
    """A cell against a results folder.

    Attributes:
        cell: The cell.
        status: "finished" and "failed" as its record is; "stale" where that is of another configuration or schema
            version, "unreadable" where it cannot be used; "unavailable" where there is none and none can be made here;
            "elsewhere" where another shard makes it.
        reason: How a stale record differs, why one is unreadable, or what a cell needs, in one line.
    """

    cell: Cell
    status: CellStatus
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """The cells of a suite against a results folder.

    Attributes:
        suite: The suite.
        out: The results folder.
        cache: Folder of feature extractors, teachers and decoded images.
        states: Of the cells, in the order of the suite.
    """

    suite: Suite
    out: Path
    cache: Path
    states: tuple[CellState, ...]

    @property
    def cells(self) -> list[Cell]:
        """All cells but those that cannot be made here: whether a baseline's package is installed makes none stale."""
        return [state.cell for state in self.states if state.status != "unavailable"]

    @cached_property
    def finished(self) -> list[Cell]:
        """The cells whose record is complete and has the same configuration hash."""
        return self.with_status("finished")

    @cached_property
    def failed(self) -> list[Cell]:
        """The cells whose record says that they failed."""
        return self.with_status("failed")

    @cached_property
    def missing(self) -> list[Cell]:
        """The cells without a record, or with one that cannot be used."""
        return self.with_status("missing", "unreadable")

    @cached_property
    def stale(self) -> list[Cell]:
        """The cells whose record is of another configuration or schema version."""
        return self.with_status("stale")

    @cached_property
    def elsewhere(self) -> list[Cell]:
        """The cells that other shards are to make, and have not."""
        return self.with_status("elsewhere")

    @property
    def to_do(self) -> list[Cell]:
        """The cells to run: the missing and the failed ones."""
        return [*self.missing, *self.failed]

    @property
    def undefined(self) -> list[str]:
        """Which methods of the suite are not defined on which pairs, and why, one line each."""
        rows: dict[tuple[str, str], dict[str, list[str]]] = {}
        for entry in self.suite.entries:
            for name, reason in entry.undefined.items():
                rows.setdefault((entry.pair.task, reason), {}).setdefault(name, []).append(entry.pair.pair)
        return [line for (task, reason), names in rows.items() for line in self._undefined_lines(task, reason, names)]

    def _undefined_lines(self, task: str, reason: str, names: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """names: the pairs of each method that is not defined for this reason."""
        pairs = [pair.pair for pair in self.suite.pairs if pair.task == task]
        for where in dict.fromkeys(map(tuple, names.values())):
            alike = [name for name, of in names.items() if tuple(of) == where]
            place = task if len(where) == len(pairs) else ", ".join(f"{task}/{pair}" for pair in where)
            yield f"{place}: {listed(alike)} {'is' if len(alike) == 1 else 'are'} not defined: {reason}"

    def reasons(self, status: CellStatus) -> list[str]:
        """Return why cells have a status, one line each."""
        return [state.reason for state in self.states if state.status == status]

    def with_stale_missing(self) -> Plan:
        """Return the plan that runs stale cells again."""
        states = (replace(s, status="missing") if s.status == "stale" else s for s in self.states)
        return replace(self, states=tuple(states))

    def with_all_missing(self) -> Plan:
        """Return the plan that runs every cell that can be made here, whatever the folder has."""
        return replace(self, states=tuple(CellState(cell, "missing") for cell in self.cells))

    def refreshed(self) -> Plan:
        """Return the plan of the same cells against the folder as it is now."""
        return plan(self.suite, self.out, self.cache, self.cells)

    def with_status(self, *statuses: CellStatus) -> list[Cell]:
        """Return the cells that have one of these statuses."""
        return [state.cell for state in self.states if state.status in statuses]


def plan(suite: Suite, out: Path, cache: Path | None = None, cells: Sequence[Cell] | None = None) -> Plan:
    """Compare the cells of a suite with a results folder.

    Args:
        suite: The suite.
        out: The results folder; it need not exist.
        cache: Folder of feature extractors, teachers and decoded images; default: in the results folder.
        cells: The cells; default: those of the suite.
    """
    store = Store(out)
    with collection_paused():
        states = tuple(_state(store, out, cell) for cell in (suite.cells if cells is None else cells))
    return Plan(suite, out, out / "cache" if cache is None else cache, states)


def _state(store: Store, out: Path, cell: Cell) -> CellState:
    try:
        record = store.find(cell.path)
        if record is None:
            needs = cell.needs
            return (
                CellState(cell, "unavailable", f"{cell.pair.task}/{cell.pair.pair}/{cell.label}: {needs}")
                if needs
                else CellState(cell, "missing")
            )
        if record.config_hash != cell.hash or record.path != cell.path:
            return CellState(cell, "stale", f"{out / cell.path}: {_difference(cell, record)}")
        _check_metrics(out / cell.path, cell, record)
    except OtherSchemaError as error:
        return CellState(cell, "stale", str(error))
    except UserError as error:
        return CellState(cell, "unreadable", one_line(str(error)))
    return CellState(cell, record.status)


def _check_metrics(path: Path, cell: Cell, record: Record) -> None:
    """A record describes its metrics as its task does."""
    for name, metric in cell.pair.metrics.items():
        for field in ("direction", "unit") if name in record.metrics else ():
            recorded, defined = getattr(record.metrics[name], field), getattr(metric, field)
            if recorded != defined:
                raise UserError(f"{path}: metrics.{name}.{field}: {recorded!r} (allowed: {defined!r}, as in the task)")


def _difference(cell: Cell, record: Record) -> str:
    """The first field in which a record's configuration differs from the cell's."""
    expected, recorded = flat(cell.config), flat(record.config)
    for name in sorted(expected.keys() | recorded.keys()):
        past, now = recorded.get(name, ABSENT), expected.get(name, ABSENT)
        if past != now:
            return f"{name}: made with {plain(past)}, asked for {plain(now)}"
    return f"holds the record of {record.path}"
