"""The record of one cell, and the folder that keeps them: one JSON file a cell, written atomically.

A record must agree with itself and lie where it belongs: what does not is named, and counts for nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from distillbench.bench.store import documents
from distillbench.bench.store.documents import (
    LARGEST,
    Count,
    Filed,
    Number,
    Part,
    Table,
    canonical_hash,
    contradiction,
)
from distillbench.bench.store.terms import Compared, Kind
from distillbench.common.errors import UserError

SCHEMA_VERSION = 6
FOLDER, WEIGHTS = "records", "weights"
"""Folders in a results folder: of records, and of the weights of the students that they are of."""
LEAST_SECONDS = 1e-9
"""Of training until a point: one has their logarithms."""
ROUNDING = 1e-6
"""How far the mean of per-example results, which keep seven digits, may be from the metric, relative to their size."""


def record_path(kind: Kind, task: str, pair: str, label: str, seed: int, trial: int | None = None) -> Path:
    """Where the record of a cell lies in a results folder."""
    folder = label
    if kind == "baseline":
        folder = "baseline-" + "".join(c if c.isalnum() else "-" for c in label).strip("-")
    return Path(FOLDER, task, pair, folder, *([] if trial is None else [f"trial-{trial}"]), f"seed-{seed}.json")


def weights_path(record: Path) -> Path:
    """Where the weights of a student lie in a results folder, from where its record lies."""
    return WEIGHTS / record.relative_to(FOLDER).with_suffix(".safetensors")


Fitted = Literal["", "half", "whole"]
"""The part of the validation data that a method fits to: of a half, the other one is left to choose by."""


class MetricValue(Part):
    """A measured quality and how to read it.

    Attributes:
        compared: a metric that is compared as a ratio is positive, and has no per-example results.
        repeats: the metric that it measures again, by another feature extractor; '' where it is none.
    """

    value: Number
    direction: Literal["higher", "lower"]
    unit: str
    decimals: int = Field(2, ge=0, le=9)
    note: str = ""
    compared: Compared = "difference"
    repeats: str = ""


def comparable(value: float, compared: Compared) -> bool:
    """Whether a value is finite and, where it is compared as a ratio, has a logarithm with which one can calculate."""
    return math.isfinite(value) and (compared == "difference" or value >= 1 / LARGEST)


READING = tuple(name for name in MetricValue.model_fields if name != "value")
"""The fields that say how a metric is read."""


class TrainingCurve(Part):
    """How training went, point by point; None stands for what was not finite, or not measured.

    Attributes:
        steps: done at each point.
        loss: its mean since the point before.
        validation: the primary metric at each point.
        seconds: of training until each point, as ``Training.seconds``.
        of: what the validation metric was measured on.
    """

    steps: tuple[Count, ...]
    loss: tuple[Number | None, ...]
    validation: tuple[Number | None, ...]
    seconds: tuple[Annotated[Number, Field(ge=LEAST_SECONDS)], ...]
    of: str = ""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if not len(self.steps) == len(self.loss) == len(self.validation) == len(self.seconds):
            raise ValueError("steps, loss, validation and seconds are not of one length")
        if any(after <= before for before, after in pairwise((0, *self.steps))):
            raise contradiction("steps", "do not rise from 0 on, point by point")
        if any(after < before for before, after in pairwise(self.seconds)):
            raise contradiction("seconds", "fall from one point to the next")
        return self


class Training(Part):
    """The cost of training.

    Attributes:
        seconds: as if it were trained alone: its steps, its batches, the responses of its teacher, and what its method
            fits or trains before.
    """

    steps: Count
    seconds: Number
    images_per_second: Number
    final_loss: Number = Field(description="mean over the last tenth of the steps")
    final_distillation: Number = Field(description="the distillation loss alone, over the same steps")
    curve: TrainingCurve


class Size(Part):
    """The size of a network as it is deployed.

    Attributes:
        macs: multiply-accumulates for one input of ``input_shape``.
        bytes: of its parameters and buffers.
    """

    parameters: Count
    macs: Count
    bytes: Count
    input_shape: tuple[Count, ...]


class Failure(Part):
    """Why a cell failed: one line, and the traceback."""

    reason: str
    traceback: str = ""


class Record(Filed):
    """Everything about one cell: its configuration, its results, and the environment in which they were made."""

    schema_version: Literal[6] = 6
    kind: Kind
    status: Literal["finished", "failed"]
    task: str
    pair: str
    label: str = Field(description="the method, 'teacher', or the name of the baseline")
    control: bool = Field(False, description="whether it is a student of a control, which is never ranked")
    seed: Count
    trial: Count | None = Field(None, description="of tuning: metrics and examples are of the validation split")
    teacher_seed: Count
    teachers: Literal["shared", "per-seed"]
    primary_metric: str
    config: Table
    config_hash: str
    metrics: dict[str, MetricValue] = {}
    validation: dict[str, Number] = Field({}, description="the same metrics on validation data: what to choose by")
    example_names: tuple[str, ...] = ()
    examples: dict[str, tuple[Number, ...]] = Field(
        {}, description="per metric, one value an example, seven digits each"
    )
    training: Training | None = None
    size: Size | None = None
    weights_sha256: str | None = None
    defaults: tuple[str, ...] = Field(
        (), description="hyperparameters that are the method's default, and that tuning does not set"
    )
    fitted: Fitted = Field("", description="the part of the validation data that its method fitted something to")
    own_teacher: dict[str, Number] | None = Field(None, description="test metrics of a teacher that the method trained")
    warnings: tuple[str, ...] = ()
    failure: Failure | None = None
    environment: Table = {}
    revision: str = ""
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if (first := next(self._contradictions(), None)) is not None:
            raise contradiction(*first)
        return self

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        """Fields that do not agree with others, and how."""
        of_kind: dict[str, dict[str, object]] = {
            "student": {"method": self.label, "seed": self.seed},
            "teacher": {"seed": self.seed},
            "baseline": {"baseline": self.label},
        }
        for name, claimed in {"task": self.task, "role": self.kind, **of_kind[self.kind]}.items():
            if self.config.get(name) != claimed:
                yield f"config.{name}", f"{self.config.get(name)!r}, in a record of {claimed!r}"
        if self.kind == "teacher" and self.label != self.kind:
            yield "label", f"{self.label!r}, in a record of a teacher"
        if self.kind == "baseline" and self.seed != 0:
            yield "seed", f"{self.seed}, in a record of a baseline, which has the seed 0"
        if self.kind != "student" and self.control:
            yield "control", f"true, in a record of a {self.kind}"
        if self.kind != "student" and self.trial is not None:
            yield "trial", f"{self.trial}, in a record of a {self.kind}"
        if canonical_hash(self.config) != self.config_hash:
            yield "config_hash", "is not the hash of config"
        yield from self._ratio_contradictions()
        for name, values in self.examples.items():
            if name not in self.metrics or not values or len(values) != len(self.example_names):
                yield f"examples.{name}", f"{len(values)} values of {len(self.example_names)} examples"
                continue
            value, mean = self.metrics[name].value, math.fsum(values) / len(values)
            size = math.fsum(map(abs, values)) / len(values)
            if abs(value - mean) > ROUNDING * size:
                yield f"metrics.{name}", f"{value:.7g}, and the mean of its examples is {mean:.7g}"

    def _ratio_contradictions(self) -> Iterator[tuple[str, str]]:
        """What has no logarithm, of the metrics that are compared by it."""
        values = {name: metric.value for name, metric in self.metrics.items()}
        tables = {"metrics": values, "validation": self.validation, "own_teacher": self.own_teacher or {}}
        for name, metric in self.metrics.items():
            if metric.compared == "difference":
                continue
            for table, found in tables.items():
                if not comparable(found.get(name, 1.0), metric.compared):
                    yield f"{table}.{name}", f"{found[name]:.7g}, of a metric that is compared as a ratio (positive)"
            if name in self.examples:
                yield f"examples.{name}", "per-example results of a metric that is compared as a ratio"

    @property
    def path(self) -> Path:
        """Where it lies in a results folder."""
        return record_path(self.kind, self.task, self.pair, self.label, self.seed, self.trial)

    @property
    def weights_path(self) -> Path:
        """Where the weights of a student's record lie in a results folder."""
        return weights_path(self.path)

    @property
    def split(self) -> Literal["test", "validation"]:
        """The split that its metrics and examples were measured on; a trial has not seen the test split."""
        return "test" if self.trial is None else "validation"

    @property
    def name(self) -> str:
        """The name of its cell: 'gan/dense_128_16/mimic/seed 0'."""
        trial = "" if self.trial is None else f"trial {self.trial}/"
        return f"{self.task}/{self.pair}/{self.label}/{trial}seed {self.seed}"

    def reproducible(self) -> dict[str, Any]:
        """All that an equal configuration must give again, bit by bit, in the same environment: no times, no dates.

        On another processor, or with other instructions or libraries, it is only near; ``compare`` tests how near.
        """
        record = self.model_dump(mode="json", exclude={"environment", "revision", "created"})
        if record["training"]:
            del record["training"]["seconds"], record["training"]["images_per_second"]
            del record["training"]["curve"]["seconds"]
        return record


@dataclass(frozen=True)
class Scan:
    """The records of a results folder that can be used, by path, and why each of its other files cannot be."""

    records: list[Record]
    errors: Mapping[Path, UserError]

    @property
    def problems(self) -> dict[Path, str]:
        """The errors, one line each."""
        return {path: str(error) for path, error in self.errors.items()}


class Store:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: Path) -> Record:
        """One record, from any path. Raises UserError for a file that is not a record, or contradicts itself."""
        return documents.read(path, Record, SCHEMA_VERSION, "record")

    def find(self, path: Path) -> Record | None:
        """The record at a path inside the folder; None where there is none."""
        return self.read(self.root / path) if (self.root / path).exists() else None

    def scan(self, tasks: Collection[str] | None = None) -> Scan:
        """Every record that can be used, by path, and an error for every other file.

        Args:
            tasks: those whose folders are read; None: all.
        """
        self._check()
        found = documents.scan(self.root, FOLDER, self.read, "record", tasks)
        records, errors = {record.path: record for record in found.documents}, dict(found.errors)
        for place, misreading in _misreadings(records).items():
            errors[place] = misreading.within(self.root / place)
            del records[place]
        return Scan(list(records.values()), dict(sorted(errors.items())))

    def _check(self) -> None:
        if not self.root.is_dir():
            raise UserError("no such results folder", self.root)

    @property
    def tasks(self) -> list[str]:
        """The tasks that have a folder of records. Raises UserError where there is no results folder."""
        self._check()
        folder = self.root / FOLDER
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def __iter__(self) -> Iterator[Record]:
        """Every record, by path. Raises UserError where a file is not a record."""
        scan = self.scan()
        for error in scan.errors.values():
            raise error
        return iter(scan.records)

    def write(self, path: Path, record: Record) -> None:
        """Write a record to a path inside the folder, whole or not at all."""
        documents.write(self.root / path, record)


def _misreadings(records: Mapping[Path, Record]) -> dict[Path, UserError]:
    """Records that read their task's metrics in another way than most."""
    members: dict[_Reading, list[Path]] = {}
    for path, record in records.items():
        members.setdefault(_reading(record), []).append(path)
    votes: dict[tuple[str, str], Counter[str]] = {}
    for (task, fields), paths in members.items():
        for field, value in fields:
            votes.setdefault((task, field), Counter())[value] += len(paths)
    usual = {key: counts.most_common(1)[0][0] for key, counts in votes.items()}
    return {
        path: UserError(f"{value!r}, and {usual[task, field]!r} in other records of {task}", field=field)
        for (task, fields), paths in members.items()
        for field, value in fields
        if value != usual[task, field]
        for path in paths
    }


_Reading = tuple[str, tuple[tuple[str, str], ...]]
"""A task, and how a record of it reads its metrics, as fields with their values."""


def _reading(record: Record) -> _Reading:
    fields = [("primary_metric", record.primary_metric)]
    for name, metric in record.metrics.items():
        fields += [
            (f"metrics.{name}.direction", metric.direction),
            (f"metrics.{name}.unit", metric.unit),
            (f"metrics.{name}.compared", metric.compared),
        ]
    return record.task, tuple(fields)
