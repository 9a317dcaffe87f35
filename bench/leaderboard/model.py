"""The leaderboard as it is published, ``leaderboard.json``: the other formats show it, a later one is compared with it.

All text in it has been made visible and short (``distillbench.bench.leaderboard.text``); numbers have ten digits.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import Field

from distillbench.bench.statistics import Interval
from distillbench.bench.store import documents
from distillbench.bench.store.documents import Part
from distillbench.bench.store.terms import Kind

SCHEMA_VERSION = 2


def tidy(value: float) -> float | None:
    """Ten digits: the last ones depend on the threads that a library sums with. None where it is not finite."""
    return float(f"{value:.10g}") if math.isfinite(value) else None


class Amount(Part):
    """A mean over seeds, and the half-width of its 95% interval where it has one."""

    value: float
    half_width: float | None = None

    @classmethod
    def of(cls, interval: Interval) -> Amount:
        return cls(value=tidy(interval.mean) or 0.0, half_width=tidy(interval.half_width))


class Reading(Part):
    """How a metric is read."""

    direction: Literal["higher", "lower"]
    unit: str
    decimals: int = Field(ge=0, le=9)


class Place(Part):
    """rank: 1 is the best, equal ones share the mean. low, high: its 95% interval. in_class: 1 is the best."""

    rank: float
    low: float | None = None
    high: float | None = None
    in_class: int | None = None


class Speed(Part):
    """seconds: of one input, eagerly, on one thread, with their 95% interval over launches.

    speedup: over the teacher, in turns with it. rank: among what was timed on the same machine, one an architecture.
    """

    machine: str
    seconds: float
    low: float | None = None
    high: float | None = None
    speedup: float | None = None
    rank: int


class Row(Part):
    """An entry (kind student), or a teacher or reference beside them, which have no place.

    id: of the configuration, whoever ran it. folders: where equal records of it lie. official: the method's code is
    that of this installation. pairing: entries with one number ran the same seeds, teachers and test examples.
    unranked: why it has no place. training: seconds of the model's own steps. times_scratch: those over scratch's, of
    one contributor. pareto: none is as small and as good, and one of the two better. submissions: entries of this label
    on this board.
    """

    id: str
    kind: Kind
    contributor: str
    folders: tuple[str, ...]
    label: str
    name: str
    official: bool = False
    hyperparameters: dict[str, str] = {}
    seeds: int
    failed: int = 0
    metrics: dict[str, Amount] = {}
    place: Place | None = None
    unranked: str = ""
    pairing: int | None = None
    parameters: int | None = None
    macs: int | None = None
    speed: Speed | None = None
    training: Amount | None = None
    steps: int | None = None
    times_scratch: float | None = None
    pareto: bool = False
    submissions: int = 0


class Board(Part):
    """What may be compared: one task, pair of networks, code, data and settings.

    key: the hash of all of these. version: what tells it from other boards of the same task and pair. seeds: that a
    complete entry has at least. examples: test examples of the primary metric, 0 where there are no per-example
    results. machines: those that times are of, by their letter.
    """

    key: str
    task: str
    pair: str
    version: str = ""
    settings: dict[str, str]
    primary_metric: str
    metrics: dict[str, Reading]
    seeds: int
    examples: int
    machines: dict[str, str] = {}
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.task}, {self.pair}" + (f" ({self.version})" if self.version else "")

    @property
    def entries(self) -> list[Row]:
        return [row for row in self.rows if row.kind == "student"]

    @property
    def fidelity(self) -> str | None:
        """The metric that says how near a student is to its teacher."""
        return next((name for name in self.metrics if name.startswith("teacher_")), None)


class Standing(Part):
    """A method of a contributor over all boards of an overall ranking. ranks: by board. lacks: those without one."""

    contributor: str
    label: str
    official: bool
    place: Place | None = None
    ranks: dict[str, float] = {}
    lacks: tuple[str, ...] = ()


class Overall(Part):
    """boards: their keys; one for each task and pair."""

    boards: tuple[str, ...]
    standings: tuple[Standing, ...]


class Contributor(Part):
    """A results folder. left_out: files of it that count for nothing."""

    name: str
    records: int
    left_out: int


class Leaderboard(Part):
    """changes: since the board that it was compared with; None where there was none."""

    schema_version: Literal[2] = 2
    contributors: tuple[Contributor, ...]
    boards: tuple[Board, ...]
    overall: tuple[Overall, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    changes: tuple[str, ...] | None = None


def read(path: Path) -> Leaderboard:
    """A published one. Raises UserError for what is none."""
    return documents.read(path, Leaderboard, SCHEMA_VERSION, "leaderboard")
