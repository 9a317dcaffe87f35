"""The record of one cell, and the folder that keeps them: one JSON file a cell, written atomically."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import UserError
from tasks.data.atomic import write_atomically

SCHEMA_VERSION = 2


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MetricValue(Part):
    """A measured quality and how to read it."""

    value: float
    direction: Literal["higher", "lower"]
    unit: str
    decimals: int = 2
    note: str = ""


class Training(Part):
    """What training cost. seconds: this model's own steps, without work shared by its group."""

    steps: int
    seconds: float
    images_per_second: float
    final_loss: float = Field(description="mean over the last tenth of the steps")
    final_distillation: float = Field(description="the distillation loss alone, likewise")


class Size(Part):
    """parameters and bytes of what is deployed; macs: multiply-accumulates for one input of ``input_shape``."""

    parameters: int
    macs: int
    bytes: int
    input_shape: tuple[int, ...]


class Latency(Part):
    """Seconds of one forward pass at batch size 1, measured once an architecture while nothing trained."""

    median: float
    lower_quartile: float
    upper_quartile: float
    runs: int
    batch_size: int
    threads: int
    device: str


class Failure(Part):
    """reason: one line."""

    reason: str
    traceback: str = ""


class Record(Part):
    """Everything about one cell: what it was, what came of it, where and by what it was made."""

    schema_version: Literal[2] = 2
    kind: Literal["student", "teacher", "reference"]
    status: Literal["finished", "failed"]
    task: str
    pair: str
    label: str = Field(description="the method, 'teacher', or the name of the reference")
    seed: int
    teacher_seed: int
    teachers: Literal["shared", "per-seed"]
    headline: str
    config: dict[str, Any]
    config_hash: str
    metrics: dict[str, MetricValue] = {}
    held_out: dict[str, float] = Field({}, description="the same metrics on held-out data: what to choose by")
    item_names: tuple[str, ...] = ()
    items: dict[str, tuple[float, ...]] = Field({}, description="per metric, one value an item, seven digits each")
    training: Training | None = None
    size: Size | None = None
    latency: Latency | None = None
    weights_sha256: str | None = None
    own_teacher: dict[str, float] | None = Field(None, description="test metrics of a teacher that the method trained")
    warnings: tuple[str, ...] = ()
    failure: Failure | None = None
    environment: dict[str, Any] = {}
    revision: str = ""
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def reproducible(self) -> dict[str, Any]:
        """What an equal configuration must give again on the same machine: all but timings and circumstances."""
        record = self.model_dump(mode="json", exclude={"latency", "environment", "revision", "created"})
        if record["training"]:
            del record["training"]["seconds"], record["training"]["images_per_second"]
        return record


class Store:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: Path) -> Record:
        """One record; ``path`` as it is. Raises UserError for what is no record, or one of another schema."""
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read as a record ({error})") from error
        if not isinstance(content, dict) or "schema_version" not in content:
            raise UserError(f"{path}: not a distillbench record (no field schema_version)")
        version = content["schema_version"]
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{path}: schema_version: {version} is not one that this program reads (allowed: {SCHEMA_VERSION})"
            )
        try:
            return Record.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(f"{path}: {where}: {first['msg']}") from error

    def find(self, path: Path) -> Record | None:
        """The record at a path inside the folder, or None."""
        whole = self.root / path
        return self.read(whole) if whole.exists() else None

    def __iter__(self) -> Iterator[Record]:
        """Every record, by path."""
        if not self.root.is_dir():
            raise UserError(f"{self.root}: no such results folder")
        for path in sorted((self.root / "records").rglob("*.json")):
            yield self.read(path)

    def write(self, path: Path, record: Record) -> None:
        write_atomically(self.root / path, (_text(record.model_dump(mode="json")) + "\n").encode())


def _text(value: Any, indent: str = "") -> str:
    """JSON with a line a field and a line a list, so that a difference can be read."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + " "
    lines = (f"{inner}{json.dumps(key, ensure_ascii=False)}: {_text(entry, inner)}" for key, entry in value.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
