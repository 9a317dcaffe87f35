"""Teachers and baselines of a board, which are shown below its entries and never ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from distillbench.bench.leaderboard.entries import ContributedFolder, Entry
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Record


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
