"""A submission is read: first whether its files may be opened at all, then what they say."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillbench.bench.store.exports import FOLDER as EXPORTS
from distillbench.bench.store.exports import scan as exports_of
from distillbench.bench.store.manifest import NAME as EXPECTED
from distillbench.bench.store.manifest import ExpectedCell, expected
from distillbench.bench.store.records import FOLDER as RECORDS
from distillbench.bench.store.records import WEIGHTS, Record, Store
from distillbench.bench.store.timings import FOLDER as TIMINGS
from distillbench.bench.store.timings import scan as timings_of
from distillbench.bench.validate.findings import Finding, listed
from distillbench.common.errors import UserError, one_line

SUFFIXES = {RECORDS: ".json", WEIGHTS: ".safetensors", TIMINGS: ".json", EXPORTS: ".json"}
"""The folders that are read, and what lies in them."""
BESIDE = (
    *("figures", "README.md", "run.txt", "latency.md", "trials.md"),
    *("tables.md", "tables.csv", "tables.tex"),
)
"""What is written beside them, and is not read."""
MOST_FILES = 50_000
MOST_JSON, MOST_WEIGHTS, MOST_IN_ALL = 20 * 2**20, 256 * 2**20, 2**31
"""Bytes: of a JSON file, of a file of weights, of all that is read."""
MOST_DEPTH = 16
"""Tables in tables; a record has five."""


@dataclass(frozen=True)
class Submission:
    """records: those that agree with themselves. weights: places of files, 'weights/…'. files, problems: what is wrong.

    expected: the cells that the run was to make, as the submission says; None where it does not.
    """

    root: Path
    records: tuple[Record, ...] = ()
    weights: tuple[Path, ...] = ()
    expected: tuple[ExpectedCell, ...] | None = None
    files: tuple[Finding, ...] = ()
    problems: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def students(self) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.kind == "student")

    @property
    def finished(self) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.status == "finished")


def read(root: Path) -> Submission:
    """A results folder. Nothing in it is opened where a file is not what it should be: those are the findings then.

    Raises UserError where there is no folder.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such results folder")
    places, files = _places(root)
    if not files:
        files = [found for place in places if place.suffix == ".json" for found in _plain(root, place)]
    if files:
        return Submission(root, files=tuple(files))
    scan = Store(root).scan()
    problems = [_problem(place, error) for place, error in scan.errors.items()]
    for others in (timings_of(root), exports_of(root)):
        problems += [_problem(place, error) for place, error in others.errors.items()]
    if not scan.records and not problems:
        problems.append(Finding("records", RECORDS, "", "there are none"))
    wanted: tuple[ExpectedCell, ...] | None = None
    try:
        wanted = tuple(expected(root)) if (root / EXPECTED).exists() else None
    except UserError as error:
        problems.append(_problem(Path(EXPECTED), error))
    weights = tuple(place for place in places if place.parts[0] == WEIGHTS)
    return Submission(root, tuple(scan.records), weights, wanted, (), tuple(problems), _unread(root))


def _problem(place: Path, error: UserError) -> Finding:
    return Finding("records", str(place), error.field, one_line(error.problem), ", ".join(error.allowed))


def _unread(root: Path) -> tuple[str, ...]:
    others = sorted({entry.name for entry in root.iterdir()} - SUFFIXES.keys() - {EXPECTED, *BESIDE})
    return (f"not read: {listed(others)}",) if others else ()


def _places(root: Path) -> tuple[list[Path], list[Finding]]:
    """The files that are read, by name, and what keeps them from being opened."""

    def wrong(path: Path, problem: str, allowed: str = "") -> Finding:
        return Finding("files", str(path.relative_to(root)) if path != root else str(root), "", problem, allowed)

    found: list[Path] = []
    problems: list[Finding] = [wrong(root, "is a link", "a folder")] if root.is_symlink() else []
    seen = total = 0
    for folder, folders, names in os.walk(root, followlinks=False):
        folders.sort()
        seen += len(folders) + len(names)
        if seen > MOST_FILES:
            return [], [*problems, wrong(root, "holds too many files", f"{MOST_FILES:,}")]
        for name in sorted((*folders, *names)):
            path = Path(folder, name)
            status = path.lstat()
            place = path.relative_to(root)
            if stat.S_ISLNK(status.st_mode):
                problems.append(wrong(path, "is a link", "files and folders"))
            elif stat.S_ISDIR(status.st_mode):
                continue
            elif not stat.S_ISREG(status.st_mode):
                problems.append(wrong(path, "is not a regular file", "files and folders"))
            elif place == Path(EXPECTED) or (place.parts[0] in SUFFIXES and len(place.parts) > 1):
                suffix = SUFFIXES.get(place.parts[0], ".json")
                most = MOST_WEIGHTS if suffix == ".safetensors" else MOST_JSON
                if path.suffix != suffix:
                    problems.append(wrong(path, f"is not of the kind that {place.parts[0]}/ holds", f"*{suffix}"))
                elif status.st_size > most:
                    problems.append(wrong(path, f"has {status.st_size:,} bytes", f"at most {most:,}"))
                else:
                    found.append(place)
                    total += status.st_size
            elif place.parts[0] in SUFFIXES:
                problems.append(wrong(path, "is a file", "a folder"))
    if total > MOST_IN_ALL:
        problems.append(wrong(root, f"has {total:,} bytes to read", f"at most {MOST_IN_ALL:,}"))
    return found, problems


class _RepeatedError(ValueError):
    """A name twice in one table."""


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers of a table that has a name twice may see two values."""
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise _RepeatedError(name)
        table[name] = value
    return table


def _plain(root: Path, place: Path) -> Iterator[Finding]:
    """JSON that every reader reads alike, and that no depth of tables can break."""
    try:
        content = json.loads((root / place).read_bytes().decode("utf-8-sig"), object_pairs_hook=_table)
    except RecursionError:
        yield Finding("files", str(place), "", "has too many tables in tables", f"{MOST_DEPTH}")
    except _RepeatedError as error:
        yield Finding("files", str(place), str(error), "is there twice in one table", "once")
    except (OSError, ValueError) as error:
        yield Finding("files", str(place), "", f"cannot be read as JSON in UTF-8 ({error})")
    else:
        if _depth(content) > MOST_DEPTH:
            yield Finding("files", str(place), "", "has too many tables in tables", f"{MOST_DEPTH}")


def _depth(content: Any) -> int:
    """How many tables and lists lie in each other, without recursion."""
    level, depth = [content], 0
    while level := [entry for entry in level if isinstance(entry, dict | list) and entry]:
        depth += 1
        if depth > MOST_DEPTH:
            break
        level = [inner for entry in level for inner in (entry.values() if isinstance(entry, dict) else entry)]
    return depth
