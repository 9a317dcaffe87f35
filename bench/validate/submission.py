"""A submission is read: first whether its files may be opened at all, then what they contain."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillbench.bench.store.exports import FOLDER as EXPORTS
from distillbench.bench.store.exports import scan as scan_exports
from distillbench.bench.store.manifest import NAME as EXPECTED
from distillbench.bench.store.manifest import ExpectedCell, expected
from distillbench.bench.store.records import FOLDER as RECORDS
from distillbench.bench.store.records import WEIGHTS, Record, Store
from distillbench.bench.store.timings import FOLDER as TIMINGS
from distillbench.bench.store.timings import scan as scan_timings
from distillbench.bench.validate.untrusted_text import listed
from distillbench.bench.validate.violations import Violation
from distillbench.common.errors import UserError, one_line

SUFFIXES = {RECORDS: ".json", WEIGHTS: ".safetensors", TIMINGS: ".json", EXPORTS: ".json"}
"""The folders that are read, and the suffix of their files."""
UNREAD = (
    *("figures", "README.md", "run.txt", "latency.md", "trials.md", "trials.csv"),
    *("tables.md", "tables.csv", "tables.tex"),
)
"""What a run writes beside them, and is not read."""
MOST_FILES = 50_000
MOST_JSON, MOST_WEIGHTS, MOST_IN_ALL = 20 * 2**20, 256 * 2**20, 2**31
"""Bytes: of a JSON file, of a file of weights, of everything that is read."""
MOST_DEPTH = 16
"""Levels of nested tables; a record has five."""


@dataclass(frozen=True)
class Submission:
    """What a submission contains.

    Attributes:
        root: Its folder.
        records: The consistent ones.
        weights: Files by their place, 'weights/…'.
        expected: The cells that its run was to produce; None where it does not say.
        files: Files that may not be opened; if there are any, nothing is read.
        problems: Files that cannot be used.
        notes: On files that are not read.
    """

    root: Path
    records: tuple[Record, ...] = ()
    weights: tuple[Path, ...] = ()
    expected: tuple[ExpectedCell, ...] | None = None
    files: tuple[Violation, ...] = ()
    problems: tuple[Violation, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def students(self) -> tuple[Record, ...]:
        """Records of students."""
        return tuple(record for record in self.records if record.kind == "student")

    @property
    def finished(self) -> tuple[Record, ...]:
        """Finished records."""
        return tuple(record for record in self.records if record.status == "finished")


def read(root: Path) -> Submission:
    """Read a submission.

    Args:
        root: A results folder.

    Returns:
        Its contents, or only violations where a file may not be opened.

    Raises:
        UserError: There is no such folder.
    """
    if not root.is_dir():
        raise UserError("no such results folder", root)
    places, violations = _places(root)
    if not violations:
        json_places = (place for place in places if place.suffix == ".json")
        violations = [violation for place in json_places for violation in _unsafe_json(root, place)]
    if violations:
        return Submission(root, files=tuple(violations))
    return _read_contents(root, places)


def _read_contents(root: Path, places: list[Path]) -> Submission:
    scan = Store(root).scan()
    errors = {**scan.errors, **scan_timings(root).errors, **scan_exports(root).errors}
    problems = [_problem(place, error) for place, error in errors.items()]
    if not scan.records and not problems:
        problems.append(Violation("records", RECORDS, "", "contains no records"))
    cells: tuple[ExpectedCell, ...] | None = None
    try:
        cells = tuple(expected(root)) if (root / EXPECTED).exists() else None
    except UserError as error:
        problems.append(_problem(Path(EXPECTED), error))
    weights = tuple(place for place in places if place.parts[0] == WEIGHTS)
    return Submission(root, tuple(scan.records), weights, cells, (), tuple(problems), _unread(root))


def _problem(place: Path, error: UserError) -> Violation:
    return Violation("records", str(place), error.field, one_line(error.problem), ", ".join(error.allowed))


def _unread(root: Path) -> tuple[str, ...]:
    names = sorted({entry.name for entry in root.iterdir()} - SUFFIXES.keys() - {EXPECTED, *UNREAD})
    return (f"not read: {listed(names)}",) if names else ()


def _places(root: Path) -> tuple[list[Path], list[Violation]]:
    """The files that are read, by name, and what keeps them from being opened."""
    places: list[Path] = []
    violations = [_unsafe(root, root, "is a link", "a folder")] if root.is_symlink() else []
    files = total = 0
    for folder, folders, names in os.walk(root, followlinks=False):
        folders.sort()
        files += len(folders) + len(names)
        if files > MOST_FILES:
            return [], [*violations, _unsafe(root, root, "contains too many files", f"{MOST_FILES:,}")]
        for name in sorted((*folders, *names)):
            path = Path(folder, name)
            status = path.lstat()
            if (problem := _problem_of_file(path, path.relative_to(root), status)) is not None:
                violations.append(_unsafe(root, path, *problem))
            elif stat.S_ISREG(status.st_mode) and _is_read(place := path.relative_to(root)):
                places.append(place)
                total += status.st_size
    if total > MOST_IN_ALL:
        violations.append(_unsafe(root, root, f"has {total:,} bytes to read", f"at most {MOST_IN_ALL:,}"))
    return places, violations


def _unsafe(root: Path, path: Path, problem: str, allowed: str) -> Violation:
    file = str(path.relative_to(root)) if path != root else str(root)
    return Violation("files", file, "", problem, allowed)


def _is_read(place: Path) -> bool:
    return place == Path(EXPECTED) or (place.parts[0] in SUFFIXES and len(place.parts) > 1)


def _problem_of_file(path: Path, place: Path, status: os.stat_result) -> tuple[str, str] | None:
    """Why a file may not be opened, and what is allowed; None where it may, for a folder, and for what is not read."""
    if stat.S_ISLNK(status.st_mode):
        return "is a link", "files and folders"
    if stat.S_ISDIR(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file", "files and folders"
    folder = place.parts[0]
    if not _is_read(place):
        return ("is a file", "a folder") if folder in SUFFIXES else None
    suffix = SUFFIXES.get(folder, ".json")
    most = MOST_WEIGHTS if suffix == ".safetensors" else MOST_JSON
    if path.suffix != suffix:
        return f"has the wrong type for {folder}/", f"*{suffix}"
    return (f"has {status.st_size:,} bytes", f"at most {most:,}") if status.st_size > most else None


class _RepeatedError(ValueError):
    """A name that occurs twice in one table."""


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table without repeated names, of which two readers may see two values."""
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise _RepeatedError(name)
        table[name] = value
    return table


def _unsafe_json(root: Path, place: Path) -> Iterator[Violation]:
    """Violations where JSON is read differently by different readers, or is nested too deeply for some."""
    too_deep = Violation("files", str(place), "", "is nested too deeply", f"{MOST_DEPTH} levels")
    try:
        content = json.loads((root / place).read_bytes().decode("utf-8-sig"), object_pairs_hook=_table)
    except RecursionError:
        yield too_deep
    except _RepeatedError as error:
        yield Violation("files", str(place), str(error), "occurs twice in one table", "once")
    except (OSError, ValueError) as error:
        yield Violation("files", str(place), "", f"cannot be read as JSON in UTF-8 ({error})")
    else:
        if _depth(content) > MOST_DEPTH:
            yield too_deep


def _depth(content: Any) -> int:
    """How many tables and lists are nested, without recursion."""
    level, depth = [content], 0
    while level := [entry for entry in level if isinstance(entry, dict | list) and entry]:
        depth += 1
        if depth > MOST_DEPTH:
            break
        level = [inner for entry in level for inner in (entry.values() if isinstance(entry, dict) else entry)]
    return depth
