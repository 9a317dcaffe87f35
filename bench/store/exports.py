"""What came of a student's export to ONNX, in full precision and quantised, and the folder that keeps it.

It lies beside the record of a results folder, ``exports/TASK/PAIR/METHOD/seed-N.json``.
"""

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
"""How files are quantised. 2: no processor saturates. 1, in exports that do not say it: those without VNNI do."""


class Difference(Part):
    """How far ONNX Runtime is from eager on ``examples`` test inputs. relative: to the largest output of a batch."""

    examples: int
    absolute: float
    relative: float


class Artefact(Part):
    """One ONNX file. failure: why it cannot be used, in a line.

    metrics, examples: as a record's, on the test split, of what it puts out; of a quantised one, and those metrics
    alone that look at what is deployed. unmeasured: why there are none, in a line. quantisation: which, of a quantised
    one.
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
    """Of one record's network. config_hash, weights_sha256: of the record, whose network it was made from."""

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
        return _path(self.task, self.pair, self.label, self.seed)

    def is_of(self, record: Record) -> bool:
        """Whether it was made from this record's network."""
        return (self.config_hash, self.weights_sha256) == (record.config_hash, record.weights_sha256)

    def has(self, forms: Iterable[Form]) -> bool:
        """Whether each of these is there, quantised as it would be today."""
        return all(form in self.artefacts and self.artefacts[form].quantisation == quantisation(form) for form in forms)


def quantisation(form: str) -> int | None:
    return None if form == "float32" else QUANTISATION


def path_of(record: Record) -> Path:
    """Where the export of a student's record lies in a results folder."""
    return _path(record.task, record.pair, record.label, record.seed)


def _path(task: str, pair: str, label: str, seed: int) -> Path:
    return Path(FOLDER, task, pair, label, f"seed-{seed}.json")


def scan(results: Path) -> Scan[Export]:
    """Every export of a results folder."""
    return documents.scan(results, FOLDER, Export, SCHEMA_VERSION, "export")


def write(results: Path, export: Export) -> None:
    """Whole, or not at all."""
    documents.write(results / export.path, export)
