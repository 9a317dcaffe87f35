"""The pictures of a results folder: what is drawn, and of which records."""

from __future__ import annotations

from collections.abc import Mapping, Set
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import Field

from distillbench.bench.store import documents
from distillbench.bench.store.documents import Filed, Part, Scan

SCHEMA_VERSION = 2
FOLDER = "figures"


class Picture(Part):
    """A PNG beside its document. name: of the panel. alt: what it shows, for who cannot see it."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    file: str = Field(pattern=r"^[A-Za-z0-9._-]{1,200}\.png$")
    sha256: str
    alt: str


class Drawing(Filed):
    """What is drawn of one task and pair. students: {label: hash of the configuration of its record}, in order."""

    schema_version: Literal[2] = 2
    task: str
    pair: str
    seed: int
    students: Mapping[str, str]
    pictures: tuple[Picture, ...]

    @property
    def path(self) -> Path:
        return Path(FOLDER, f"{self.task}--{self.pair}.json")

    def current(self, results: Path) -> str | None:
        """Why a picture cannot be shown: it is not there, or is not the one that was drawn. None where all are."""
        for picture in self.pictures:
            path = results / FOLDER / picture.file
            if not path.is_file() or path.is_symlink():
                return f"{path}: is not there"
            if sha256(path.read_bytes()).hexdigest() != picture.sha256:
                return f"{path}: is not the picture that was drawn"
        return None


def scan(results: Path) -> Scan[Drawing]:
    return documents.scan(results, FOLDER, Drawing, SCHEMA_VERSION, "drawing")


def usable(results: Path, records: Set[str]) -> list[Drawing]:
    """Those of records that are here, by their hashes, and whose pictures are what was drawn."""
    return [d for d in scan(results).found if records >= set(d.students.values()) and d.current(results) is None]


def read(path: Path) -> Drawing:
    """Raises UserError for what is none."""
    return documents.read(path, Drawing, SCHEMA_VERSION, "drawing")


def write(results: Path, drawing: Drawing) -> None:
    documents.write(results / drawing.path, drawing)
