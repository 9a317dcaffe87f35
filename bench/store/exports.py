"""Documents of exports to ONNX, in full precision and quantised: ``exports/TASK/PAIR/METHOD/seed-N.json``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from distillbench.bench.store import documents
from distillbench.bench.store.documents import Filed, Part, Scan, Table
from distillbench.bench.store.records import Record
from distillbench.bench.store.terms import Form

SCHEMA_VERSION = 2
FOLDER = "exports"
QUANTISATION = 2
"""The way of quantising. 2: no processor saturates. 1, in exports without a number: processors without VNNI do."""


class Difference(Part):
    """The largest difference between the outputs of ONNX Runtime and eager PyTorch.

    Attributes:
        examples: test inputs that were compared.
        absolute: in the unit of the output.
        relative: to the largest output of a batch.
    """

    examples: int
    absolute: float
    relative: float


class Artefact(Part):
    """One ONNX file.

    Attributes:
        metrics: of a quantised file, its quality on the test split, as in a record; only metrics of what is deployed.
        examples: of a quantised file, those metrics for each test example.
        unmeasured: why a quantised file has no metrics, in a line.
        failure: why the file cannot be used, in a line.
        quantisation: which way of quantising made it; None in full precision.
    """

    bytes: int = 0
    opset: int = 0
    operators: dict[str, int] = {}
    difference: Difference | None = None
    metrics: dict[str, float] = {}
    examples: dict[str, tuple[float, ...]] = {}
    unmeasured: str | None = None
    failure: str | None = None
    quantisation: int | None = None


class Export(Filed):
    """What came of exporting the network of one record; config_hash and weights_sha256 are those of the record."""

    schema_version: Literal[2] = 2
    task: str
    pair: str
    label: str
    seed: int
    config_hash: str
    weights_sha256: str
    artefacts: dict[Form, Artefact]
    environment: Table = {}
    revision: str = ""
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def path(self) -> Path:
        """Where it lies in a results folder."""
        return _path(self.task, self.pair, self.label, self.seed)

    def is_of(self, record: Record) -> bool:
        """Whether it was made from this record's network."""
        return (self.config_hash, self.weights_sha256) == (record.config_hash, record.weights_sha256)

    def has(self, forms: Iterable[Form]) -> bool:
        """Whether it has each of these forms, quantised as it would be today."""
        return all(form in self.artefacts and self.artefacts[form].quantisation == quantisation(form) for form in forms)


def quantisation(form: str) -> int | None:
    """Which way of quantising makes this form today; None in full precision."""
    return None if form == "float32" else QUANTISATION


def path_of(record: Record) -> Path:
    """Where the export of a student's record lies in a results folder."""
    return _path(record.task, record.pair, record.label, record.seed)


def _path(task: str, pair: str, label: str, seed: int) -> Path:
    return Path(FOLDER, task, pair, label, f"seed-{seed}.json")


def scan(results: Path) -> Scan[Export]:
    """Every export of a results folder."""
    return documents.scan(results, FOLDER, read, "export")


def read(path: Path) -> Export:
    """One export. Raises UserError for a file that is not an export, or contradicts itself."""
    return documents.read(path, Export, SCHEMA_VERSION, "export")


def write(results: Path, export: Export) -> None:
    """Write an export, whole or not at all."""
    documents.write(results / export.path, export)
