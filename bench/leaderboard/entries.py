"""Who submitted what: results folders -> entries, equal ones once, and what cannot be ranked left out by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from distillbench.bench.store import timings
from distillbench.bench.store.configurations import OF_A_METHOD
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.fingerprint import module_digest
from distillbench.bench.store.records import Record, Store
from distillbench.bench.store.terms import ROLES
from distillbench.bench.store.timings import Timing
from distillbench.bench.suite.registry import METHODS
from distillbench.common.errors import UserError
from distillbench.common.text import visible

MOST = 1e100
"""Larger numbers are no measurement, and their squares no numbers."""
DEEPEST = 20
"""Levels of a configuration, which are walked through level by level."""
OF_AN_ENTRY = OF_A_METHOD | {"seed", "teacher"}
"""Fields of a configuration in which entries of one board may differ; and, of the settings, the student's network."""


@dataclass(frozen=True)
class Folder:
    """A results folder. problems: why each file that counts for nothing does so."""

    contributor: str
    records: tuple[Record, ...]
    timings: tuple[Timing, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Entry:
    """One configuration of one contributor, over its seeds. folders: where equal records of it lie, the first is whose.

    config: what its records share, without seeds and teachers.
    """

    folders: tuple[str, ...]
    label: str
    config: Mapping[str, Any]
    records: tuple[Record, ...]

    @property
    def contributor(self) -> str:
        return self.folders[0]

    @cached_property
    def id(self) -> str:
        return canonical_hash(self.config)[:16]

    @cached_property
    def finished(self) -> dict[int, Record]:
        return {record.seed: record for record in self.records if record.status == "finished"}

    @property
    def official(self) -> bool:
        return all(_is_official(self.label, str(record.config.get("method_code"))) for record in self.records)

    @cached_property
    def results(self) -> frozenset[str]:
        """What tells equal records: configuration and all that was measured."""
        return frozenset(_result(record) for record in self.records)


def folders(paths: Sequence[Path]) -> list[Folder]:
    """Every folder, each with a contributor's name of its own.

    Raises UserError for one that is none, or is given twice.
    """
    found = []
    for path, name in zip(paths, _names(paths), strict=True):
        scan, times = Store(path).scan(), timings.scan(path)
        problems = [*scan.problems.values(), *times.problems.values()]
        records = []
        for record in scan.records:
            if record.trial is not None:  # measured on the validation split, to choose by
                continue
            if (reason := next(_unusable(record), None)) is None:
                records.append(record)
            else:
                problems.append(f"{path / record.path}: {reason}")
        found.append(Folder(name, tuple(records), times.documents, tuple(visible(problem) for problem in problems)))
    return found


def entries(given: Sequence[Folder]) -> list[Entry]:
    """All configurations of all contributors. What lies in several folders is the first one's, once."""
    found: list[Entry] = []
    for folder in given:
        for entry in _of_folder(folder):
            same = next((i for i, known in enumerate(found) if _equal(known, entry)), None)
            if same is None:
                found.append(entry)
                continue
            whole = max(found[same], entry, key=lambda one: len(one.records))
            found[same] = replace(whole, folders=(*found[same].folders, folder.contributor))
    return found


def of_board(config: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal for two students to be compared: task, code, data, device and all settings, but not what is
    submitted (the method, and the student's network)."""
    shared = {key: value for key, value in config.items() if key not in OF_AN_ENTRY}
    settings = dict(shared.get("settings", {}))
    if "student" in settings:
        settings["student"] = {key: value for key, value in settings["student"].items() if key != "network"}
    return shared | {"settings": settings}


def _names(paths: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many as tell it from the others."""
    whole = [path.resolve() for path in paths]
    for path, count in Counter(whole).items():
        if count > 1:
            raise UserError(f"{path}: is given {count} times (allowed: each results folder once)")
    names: list[str] = []
    for path in whole:
        for length in range(1, len(path.parts) + 1):
            if sum(other.parts[-length:] == path.parts[-length:] for other in whole) == 1:
                break
        name = visible("/".join(path.parts[-length:]))
        names.append(f"{name} ({names.count(name) + 1})" if name in names else name)
    return names


def _of_folder(folder: Folder) -> Iterator[Entry]:
    members: dict[str, list[Record]] = {}
    for record in folder.records:
        if record.kind == "student":
            members.setdefault(canonical_hash([record.pair, record.primary_metric, _config(record)]), []).append(record)
    for records in members.values():
        ordered = tuple(sorted(records, key=lambda record: record.seed))
        yield Entry((folder.contributor,), ordered[0].label, _config(ordered[0]), ordered)


def _config(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record.config.items() if key not in ("seed", "teacher")}


def _equal(known: Entry, other: Entry) -> bool:
    """Whether all records of one are records of the other."""
    return known.id == other.id and (known.results <= other.results or other.results <= known.results)


def _result(record: Record) -> str:
    metrics = {name: metric.value for name, metric in record.metrics.items()}
    return canonical_hash([record.pair, record.status, record.config_hash, metrics, record.examples])


@cache
def _is_official(label: str, digest: str) -> bool:
    return label in METHODS.built_in and module_digest(f"distillbench.methods.{label}") == digest


def _unusable(record: Record) -> Iterator[str]:
    """Why a record that agrees with itself cannot be ranked: what no run of this project writes."""
    if not _is_shallow(record.config):
        yield f"config: is nested more than {DEEPEST} levels deep"
    settings = record.config.get("settings")
    if not isinstance(settings, dict):
        yield "config.settings: is no table"
    elif not all(isinstance(settings.get(role, {}), dict) for role in ROLES):
        yield "config.settings: teacher and student are no tables"
    if not isinstance(record.config.get("code"), str):
        yield "config.code: is no digest"
    if record.kind == "student" and record.status == "finished" and record.primary_metric not in record.metrics:
        yield f"primary_metric: {record.primary_metric!r} was not measured"
    for field, value in _numbers(record):
        if not 0 <= value < MOST:
            yield f"{field}: {value:.3g} is no measurement"


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [entry for its in inner for entry in its]
    return not level


def _numbers(record: Record) -> Iterator[tuple[str, float]]:
    """Sizes: counts and magnitudes."""
    for name, metric in record.metrics.items():
        yield f"metrics.{name}", abs(metric.value)
    for name, values in record.examples.items():
        yield f"examples.{name}", max(map(abs, values))
    if record.training:
        yield "training.seconds", record.training.seconds
        yield "training.steps", _bounded(record.training.steps)
    if record.size:
        for field in ("parameters", "macs", "bytes"):
            yield f"size.{field}", _bounded(getattr(record.size, field))


def _bounded(count: int) -> float:
    """A whole number of any length as a float."""
    return float(max(-1, min(count, 10**101)))


def problems(given: Iterable[Folder]) -> list[str]:
    return [problem for folder in given for problem in folder.problems]
