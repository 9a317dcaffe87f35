"""The figures of a results folder: PNG files, and a document for each task and pair that says of which records."""

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


class FigureFile(Part):
    """One figure, a PNG beside its document.

    Attributes:
        name: what the task calls it.
        file: the name of the file.
        sha256: of its content.
        alt: what it shows, for readers who cannot see it.
    """

    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    file: str = Field(pattern=r"^[A-Za-z0-9._-]{1,200}\.png$")
    sha256: str
    alt: str


def path_of(task: str, pair: str) -> Path:
    """Where the figures of a task and pair lie in a results folder: the document, and beside it its files."""
    return Path(FOLDER, f"{task}--{pair}.json")


class FigureSet(Filed):
    """The figures of one task and pair.

    Attributes:
        seed: of the students that they show.
        students: the hash of each student's configuration by its label, in the order in which they are shown.
    """

    schema_version: Literal[2] = 2
    task: str
    pair: str
    seed: int
    students: Mapping[str, str]
    figures: tuple[FigureFile, ...]

    @property
    def path(self) -> Path:
        """Where the document lies in a results folder."""
        return path_of(self.task, self.pair)

    def damage(self, results: Path) -> str | None:
        """Why a figure cannot be shown: its file is missing, or was changed since. None where all can."""
        for figure in self.figures:
            path = results / FOLDER / figure.file
            if not path.is_file() or path.is_symlink():
                return f"{path}: is missing"
            if sha256(path.read_bytes()).hexdigest() != figure.sha256:
                return f"{path}: was changed since it was made"
        return None


def scan(results: Path) -> Scan[FigureSet]:
    """Every set of figures of a results folder."""
    return documents.scan(results, FOLDER, read, "set of figures")


def usable(results: Path, records: Set[str]) -> list[FigureSet]:
    """The sets of figures that show records of this folder and whose files are as they were made.

    Args:
        results: the results folder.
        records: hashes of the configurations of its records.
    """
    sets = scan(results).documents
    return [each for each in sets if records >= set(each.students.values()) and each.damage(results) is None]


def read(path: Path) -> FigureSet:
    """One set of figures. Raises UserError for a file that is not one."""
    return documents.read(path, FigureSet, SCHEMA_VERSION, "set of figures")


def write(results: Path, figures: FigureSet) -> None:
    """Write the document of a set of figures, whole or not at all."""
    documents.write(results / figures.path, figures)
