"""Who submitted what: results folders -> entries, teachers and baselines, equal ones once."""

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
from distillbench.bench.store.timings import Timing
from distillbench.bench.suite.registry import METHODS
from distillbench.common.errors import UserError
from distillbench.common.text import visible

DEEPEST = 20
"""Levels of a configuration, which are walked through level by level."""
ENTRY_FIELDS = OF_A_METHOD | {"seed", "teacher"}
"""Fields of a configuration in which entries of one board may differ; and, in the settings, the student's network."""


@dataclass(frozen=True)
class ContributedFolder:
    """One contributor's results folder.

    Attributes:
        contributor: A name that no other folder has.
        records: Usable records.
        timings: Usable timings.
        problems: Why each other file is unusable.
    """

    contributor: str
    records: tuple[Record, ...]
    timings: tuple[Timing, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Entry:
    """One configuration of one contributor, over its seeds.

    Attributes:
        folders: Contributors who have equal records of it; it belongs to the first.
        label: The method's name.
        config: What its records share: without seeds and teachers.
        records: By seed.
    """

    folders: tuple[str, ...]
    label: str
    config: Mapping[str, Any]
    records: tuple[Record, ...]

    @property
    def contributor(self) -> str:
        """Whose entry it is."""
        return self.folders[0]

    @cached_property
    def id(self) -> str:
        """The configuration's hash, shortened."""
        return canonical_hash(self.config)[:16]

    @cached_property
    def finished(self) -> dict[int, Record]:
        """Finished records by seed."""
        return {record.seed: record for record in self.records if record.status == "finished"}

    @property
    def control(self) -> bool:
        """Whether it is a control: one record that says so is enough, so that no control is ranked."""
        return any(record.control for record in self.records)

    @property
    def official(self) -> bool:
        """Whether the method's code is that of this installation."""
        return all(_is_official(self.label, str(record.config.get("method_code"))) for record in self.records)

    @cached_property
    def results(self) -> frozenset[str]:
        """Hashes of configuration and all measurements of each record, by which equal records are recognised."""
        return frozenset(_result_hash(record) for record in self.records)


def read_folders(paths: Sequence[Path]) -> list[ContributedFolder]:
    """Read results folders, each with a contributor's name of its own.

    Args:
        paths: Of the folders.

    Raises:
        UserError: A path is not a folder, or is given twice.
    """
    return [_read_folder(path, name) for path, name in zip(paths, _names(paths), strict=True)]


def _read_folder(path: Path, contributor: str) -> ContributedFolder:
    scan, times = Store(path).scan(), timings.scan(path)
    problems = [*scan.problems.values(), *times.problems.values()]
    records = []
    for record in scan.records:
        if record.trial is not None:  # measured on the validation split, to choose by
            continue
        if (reason := next(_obstacles(record), None)) is None:
            records.append(record)
        else:
            problems.append(f"{path / record.path}: {reason}")
    return ContributedFolder(contributor, tuple(records), times.documents, tuple(map(visible, problems)))


def collect_entries(folders: Sequence[ContributedFolder]) -> list[Entry]:
    """All configurations of all contributors.

    Args:
        folders: In order: what lies in several of them belongs to the first.

    Returns:
        Each entry once, with all folders that have it.
    """
    entries: list[Entry] = []
    for folder in folders:
        for entry in _entries_of(folder):
            index = next((i for i, known in enumerate(entries) if _equal(known, entry)), None)
            if index is None:
                entries.append(entry)
                continue
            folders_of = (*entries[index].folders, folder.contributor)
            larger = max(entries[index], entry, key=lambda candidate: len(candidate.records))
            entries[index] = replace(larger, folders=folders_of)
    return entries


def board_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a student's configuration that must be equal for two students to be compared.

    Args:
        config: A student's configuration.

    Returns:
        Task, code, data, device and all settings, without what is submitted: the method, and the student's network.
    """
    shared = {key: value for key, value in config.items() if key not in ENTRY_FIELDS}
    settings = dict(shared.get("settings", {}))
    if "student" in settings:
        settings["student"] = {key: value for key, value in settings["student"].items() if key != "network"}
    return shared | {"settings": settings}


def _names(paths: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many parts as distinguish it from the others."""
    resolved = [path.resolve() for path in paths]
    for path, count in Counter(resolved).items():
        if count > 1:
            raise UserError(f"is given {count} times", path, allowed="each results folder once")
    names: list[str] = []
    for path in resolved:
        name = visible(_distinct_end(path, resolved))
        names.append(f"{name} ({names.count(name) + 1})" if name in names else name)
    return names


def _distinct_end(path: Path, paths: Sequence[Path]) -> str:
    length = 1
    while length < len(path.parts) and sum(other.parts[-length:] == path.parts[-length:] for other in paths) > 1:
        length += 1
    return "/".join(path.parts[-length:])


def _entries_of(folder: ContributedFolder) -> Iterator[Entry]:
    members: dict[str, list[Record]] = {}
    for record in folder.records:
        if record.kind == "student":
            key = canonical_hash([record.pair, record.primary_metric, _config(record)])
            members.setdefault(key, []).append(record)
    for records in members.values():
        ordered = tuple(sorted(records, key=lambda record: record.seed))
        yield Entry((folder.contributor,), ordered[0].label, _config(ordered[0]), ordered)


def _config(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record.config.items() if key not in ("seed", "teacher")}


def _equal(first: Entry, second: Entry) -> bool:
    """Whether all records of one are records of the other."""
    return first.id == second.id and (first.results <= second.results or second.results <= first.results)


def _result_hash(record: Record) -> str:
    metrics = {name: metric.value for name, metric in record.metrics.items()}
    return canonical_hash([record.pair, record.status, record.control, record.config_hash, metrics, record.examples])


@cache
def _is_official(label: str, digest: str) -> bool:
    return label in METHODS.built_in and module_digest(f"distillbench.methods.{label}") == digest


def _obstacles(record: Record) -> Iterator[str]:
    """Why a record that agrees with itself cannot be ranked: what no run of this project writes."""
    if not _is_shallow(record.config):
        yield f"config: is nested more than {DEEPEST} levels deep"
    settings = record.config.get("settings")
    if not isinstance(settings, dict):
        yield "config.settings: is not a table"
    elif not all(isinstance(settings.get(role, {}), dict) for role in ("teacher", "student")):
        yield "config.settings: teacher and student are not tables"
    if not isinstance(record.config.get("code"), str):
        yield "config.code: is not a digest"
    if record.kind == "student" and record.status == "finished" and record.primary_metric not in record.metrics:
        yield f"primary_metric: {record.primary_metric!r} was not measured"
    if record.training and record.training.seconds < 0:
        yield f"training.seconds: {record.training.seconds:.3g} is not a duration"


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        containers = [entry for entry in level if isinstance(entry, dict | list)]
        level = [inner for outer in containers for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return not level


def teachers_and_baselines(
    task: str, pair: str, config: Mapping[str, Any], entries: Sequence[Entry], folders: Sequence[ContributedFolder]
) -> list[Entry]:
    """The teachers that a board's entries had, and the baselines of its task.

    Args:
        task: The board's task.
        pair: The board's pair.
        config: What the board's entries share.
        entries: The board's entries.
        folders: All contributors'.

    Returns:
        Teachers first; equal ones of several folders once.
    """
    teachers = {str(record.config.get("teacher")) for entry in entries for record in entry.finished.values()}
    unique: dict[tuple[str, str], Entry] = {}
    for folder in folders:
        records = (r for r in folder.records if r.status == "finished" and (r.task, r.pair) == (task, pair))
        for (kind, label), members in _by_label(records, teachers, config).items():
            entry = _entry(folder.contributor, label, members)
            key = kind, canonical_hash(sorted(entry.results))
            known = unique.get(key)
            unique[key] = replace(known, folders=(*known.folders, folder.contributor)) if known else entry
    return sorted(unique.values(), key=lambda e: (e.records[0].kind != "teacher", e.label, e.contributor))


def _by_label(
    records: Iterable[Record], teachers: Iterable[str], config: Mapping[str, Any]
) -> dict[tuple[str, str], list[Record]]:
    members: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.kind == "teacher" and record.config_hash in teachers:
            members.setdefault(("teacher", "teacher"), []).append(record)
        elif record.kind == "baseline" and _is_baseline_of(record, config):
            members.setdefault(("baseline", record.label), []).append(record)
    return members


def _is_baseline_of(record: Record, config: Mapping[str, Any]) -> bool:
    """Whether a baseline is of the board's task, code, data and settings: it has none of the networks."""
    shared = {key: value for key, value in record.config.items() if key not in ("role", "baseline", "settings")}
    return all(config.get(key) == value for key, value in shared.items()) and all(
        config["settings"].get(key) == value for key, value in record.config["settings"].items()
    )


def _entry(contributor: str, label: str, records: Sequence[Record]) -> Entry:
    config = {key: value for key, value in records[0].config.items() if key != "seed"}
    return Entry((contributor,), label, config, tuple(sorted(records, key=lambda record: record.seed)))
