"""The pictures of a results folder: what is drawn, of which records, and what is yet to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench import documents
from bench.cells import Cell, Pair
from bench.documents import Filed, Part, Scan
from bench.errors import UserError
from bench.jobs import judge_path, teacher_path, weights_path
from bench.runner import Plan
from bench.weights import damage

SCHEMA_VERSION = 1
FOLDER = "pictures"


class Picture(Part):
    """A PNG beside its document. name: of the panel. alt: what it shows, for who cannot see it."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    file: str = Field(pattern=r"^[A-Za-z0-9._-]{1,200}\.png$")
    sha256: str
    alt: str


class Drawing(Filed):
    """What is drawn of one task and pair. students: {label: hash of the configuration of its record}, in order."""

    schema_version: Literal[1] = 1
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


def write(results: Path, drawing: Drawing) -> None:
    documents.write(results / drawing.path, drawing)


@dataclass(frozen=True)
class Undrawn:
    """What to draw, and of whom. cells: the finished students."""

    pair: Pair
    cells: tuple[Cell, ...]

    @property
    def seed(self) -> int:
        return self.cells[0].seed

    @property
    def path(self) -> Path:
        return Path(FOLDER, f"{self.pair.task}--{self.pair.pair}.json")

    @property
    def students(self) -> dict[str, str]:
        return {cell.label: cell.hash for cell in self.cells}


def undrawn(plan: Plan) -> list[Undrawn]:
    """Of each task and pair the first seed, where it is not drawn, or drawn of other records."""
    groups: dict[Pair, list[Cell]] = {}
    for cell in plan.finished:
        if cell.kind == "student" and cell.seed == plan.suite.seeds[0]:
            groups.setdefault(cell.pair, []).append(cell)
    wanted = [Undrawn(pair, tuple(cells)) for pair, cells in groups.items()]
    return [drawing for drawing in wanted if not _current(drawing, plan.out)]


def _current(wanted: Undrawn, out: Path) -> bool:
    try:
        drawing = documents.read(out / wanted.path, Drawing, SCHEMA_VERSION, "drawing")
    except UserError:
        return False
    return dict(drawing.students) == wanted.students and drawing.current(out) is None


def obstacle(wanted: Undrawn, out: Path, cache: Path) -> str | None:
    """Why it cannot be drawn: the first file of weights that is not there, or damaged. None where it can be."""
    pair, first = wanted.pair, wanted.cells[0]
    teacher = teacher_path(cache, pair, first.teacher_seed)
    needed = {teacher: teacher.stem} | {weights_path(out, cell): cell.hash for cell in wanted.cells}
    if pair.judge_hash is not None:
        needed[judge_path(cache, pair)] = pair.judge_hash
    for file, of in needed.items():
        if not file.exists():
            return f"{file}: is not there"
        if (problem := damage(file, of)) is not None:
            return problem
    return None
