"""The leaderboard as it is published, ``leaderboard.json``: other formats show it, a later one is compared with it.

All its text has been made visible and short (``distillbench.common.text``); its numbers have ten digits.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import Field

from distillbench.bench.analysis.series import Estimate
from distillbench.bench.statistics import Interval
from distillbench.bench.store import documents
from distillbench.bench.store.configurations import section_of
from distillbench.bench.store.documents import Part
from distillbench.bench.store.terms import Compared, Kind, Section

SCHEMA_VERSION = 3


def tidy(value: float) -> float | None:
    """A number to ten digits: the last ones depend on how many threads a library sums with.

    Args:
        value: Any number.

    Returns:
        The rounded number; None where it is not finite.
    """
    return float(f"{value:.10g}") if math.isfinite(value) else None


class Amount(Part):
    """A mean over seeds with its interval.

    Attributes:
        value: The mean, in the metric's unit; the geometric mean of what is compared as a ratio.
        half_width: Of the 95% interval; None without one.
        low: Of what is compared as a ratio the interval's lower end; None without one.
        high: Its upper end.
    """

    value: float
    half_width: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: Interval) -> Amount:
        """The amount that an interval describes."""
        return cls(value=tidy(interval.mean) or 0.0, half_width=tidy(interval.half_width))

    @classmethod
    def estimated(cls, estimate: Estimate) -> Amount:
        """The amount that an estimate describes."""
        if estimate.compared == "difference":
            return cls.of(estimate.interval)
        shown = estimate.shown
        return cls(value=tidy(shown.value) or 0.0, low=tidy(shown.low), high=tidy(shown.high))


class Reading(Part):
    """How a metric is read.

    Attributes:
        direction: Which values are better.
        unit: For example '%'; '' without one.
        decimals: Digits to show after the point.
        compared: By differences or as a ratio.
    """

    direction: Literal["higher", "lower"]
    unit: str
    decimals: int = Field(ge=0, le=9)
    compared: Compared = "difference"


class Place(Part):
    """Where an entry stands on a board.

    Attributes:
        rank: 1 is the best; equal entries share the mean of their ranks.
        low: The rank's 95% interval; None with a single seed.
        high: The interval's other end.
        tier: 1 is the best; None with a single seed, and in an overall ranking.
    """

    rank: float
    low: float | None = None
    high: float | None = None
    tier: int | None = None


class Speed(Part):
    """How fast an entry's network is: one input, eager PyTorch, one thread.

    Attributes:
        machine: The letter of the machine that it was timed on.
        seconds: Of one call.
        low: Their 95% interval over launches.
        high: The interval's other end.
        speedup: Over the board's teacher, timed interleaved with it; None where another teacher was.
        rank: Among the entries' networks timed on the same machine; equal architectures share one. None for a control.
    """

    machine: str
    seconds: float
    low: float | None = None
    high: float | None = None
    speedup: float | None = None
    rank: int | None = None


class Row(Part):
    """An entry (a student of a method), or a control, teacher or baseline below the entries, which has no place.

    Attributes:
        id: Of the configuration, whoever ran it.
        kind: A student is an entry, or a control.
        control: Whether it is a control.
        contributor: Whose entry it is: the first of ``folders``.
        folders: Contributors who have equal records of it.
        label: The method's name.
        name: The label, with what distinguishes it from others of this label and contributor.
        official: Whether the method's code is that of this installation.
        hyperparameters: As text, by name.
        seeds: Finished ones.
        failed: Seeds that failed.
        metrics: Means over seeds, by name.
        place: None for what is not ranked.
        unranked: Why an entry has no place; '' where it has one.
        pairing: Entries with equal numbers ran the same seeds, teachers and test examples.
        parameters: Of the deployed network.
        macs: Multiply-accumulates for one input.
        speed: None where the network was not timed.
        training: Seconds of the model's own steps.
        steps: Of training.
        times_scratch: Seconds of training over those of the same contributor's scratch.
        pareto: Whether no ranked entry is as small and as good, and better in one of the two.
        submissions: Entries of this label on the board.
    """

    id: str
    kind: Kind
    control: bool = False
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

    @property
    def section(self) -> Section:
        """The section of the board in which it stands."""
        return section_of(self.kind, self.control)

    @property
    def attribution(self) -> str:
        """The name with its contributor, "lab-a's mimic"."""
        return f"{self.contributor}'s {self.name}"


class Board(Part):
    """Entries that may be compared: of one task, pair of networks, code, data and settings.

    Attributes:
        key: The hash of all of these.
        task: The task's name.
        pair: The teacher-student pair's name.
        version: What distinguishes it from other boards of the same task and pair; '' for the only one.
        settings: What all entries share, as text by name.
        primary_metric: The metric that ranks.
        metrics: How each metric is read, the primary one first.
        seeds: A complete entry has at least as many.
        examples: Test examples of the primary metric; 0 without per-example results.
        machines: Descriptions of the machines that times were measured on, by letter.
        rows: Ranked entries by rank, then other entries, controls, teachers and baselines.
        notes: What a reader must know.
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
        """Task, pair and version, 'vae, mlp_256_16 (steps 200)'."""
        return f"{self.task}, {self.pair}" + (f" ({self.version})" if self.version else "")

    @property
    def entries(self) -> list[Row]:
        """The methods' rows, ranked ones first."""
        return [row for row in self.rows if row.section == "method"]

    @property
    def controls(self) -> list[Row]:
        """The controls' rows."""
        return [row for row in self.rows if row.section == "control"]

    @property
    def fidelity(self) -> str | None:
        """The metric that measures a student's agreement with its teacher; None without one."""
        return next((name for name in self.metrics if name.startswith("teacher_")), None)


class Standing(Part):
    """One contributor's method in an overall ranking.

    Attributes:
        contributor: Whose it is.
        label: The method's name.
        official: Whether all its entries have this installation's code of the method.
        place: By the mean rank; None where a board's rank is missing.
        ranks: By the board's key.
        lacks: Why ranks are missing, a line for each such board.
    """

    contributor: str
    label: str
    official: bool
    place: Place | None = None
    ranks: dict[str, float] = {}
    lacks: tuple[str, ...] = ()


class Overall(Part):
    """The ranking over all boards of one suite.

    Attributes:
        boards: Their keys, one board for each task and pair.
        standings: By mean rank, those without one last.
    """

    boards: tuple[str, ...]
    standings: tuple[Standing, ...]


class Contributor(Part):
    """One results folder.

    Attributes:
        name: The contributor's name.
        records: Usable records.
        left_out: Files that cannot be used.
    """

    name: str
    records: int
    left_out: int


class Leaderboard(Part):
    """All boards of several contributors.

    Attributes:
        schema_version: Of this format.
        contributors: In the order in which the folders were given.
        boards: By task and pair.
        overall: Rankings over the boards of a suite.
        notes: Why a folder is not averaged over.
        problems: Why a file or an entry was left out.
        changes: Since the leaderboard that this was compared with; None without one.
    """

    schema_version: Literal[3] = 3
    contributors: tuple[Contributor, ...]
    boards: tuple[Board, ...]
    overall: tuple[Overall, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    changes: tuple[str, ...] | None = None


def read(path: Path) -> Leaderboard:
    """A leaderboard that was published before.

    Args:
        path: Its ``leaderboard.json``.

    Raises:
        UserError: The file is not a leaderboard of this schema.
    """
    return documents.read(path, Leaderboard, SCHEMA_VERSION, "leaderboard")
