"""Sizes compared exactly, as counts without noise: parameters, MACs, bytes, and the operators of ONNX exports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from distillbench.bench.compare.findings import Finding, compare_counts
from distillbench.bench.store.configurations import Group
from distillbench.bench.store.exports import FOLDER, Artefact, Export

FIELDS = {"parameters": "parameters", "MACs": "macs", "bytes": "bytes"}
"""Fields of a record's size, by the metric's name."""
OPERATORS, BYTES = "ONNX operators", "ONNX bytes"


def compare_sizes(cell: str, old: Group, new: Group) -> Iterator[Finding]:
    """Findings on parameters, MACs and bytes.

    Args:
        cell: The name of the cell.
        old: The baseline's records; the first one with a size counts, since weights do not decide it.
        new: The candidate's records.
    """
    before, after = (next((r.size for r in side.finished.values() if r.size), None) for side in (old, new))
    if before is None:
        return
    for metric, field in FIELDS.items():
        count = getattr(before, field)
        if after is None:
            yield Finding(cell, metric, "missing", "size not measured in the candidate", count)
        else:
            yield compare_counts(cell, metric, count, getattr(after, field))


def compare_exports(
    baseline: Iterable[Export], candidate: Iterable[Export], problems: Iterable[Path], tasks: Sequence[str]
) -> Iterator[Finding]:
    """Findings on operators and bytes of the float32 ONNX exports.

    Args:
        baseline: The baseline's exports; the first seed counts, since weights decide neither operators nor bytes.
        candidate: The candidate's exports.
        problems: Unusable files of the candidate, which have findings of their own.
        tasks: Only these tasks; empty for all.
    """
    before, after = (_artefacts(side, tasks) for side in (baseline, candidate))
    for cell, old in before.items():
        if (new := after.get(cell)) is not None:
            yield _compare_operators(cell, old, new)
            yield compare_counts(cell, BYTES, old.bytes, new.bytes)
        elif not any_beneath(problems, FOLDER, *cell.split("/")):
            yield Finding(cell, OPERATORS, "missing", "no usable export in the candidate")


def any_beneath(paths: Iterable[Path], *place: str) -> bool:
    """Whether one of the paths is this place, given part by part, or lies beneath it."""
    return any(path.parts[: len(place)] == place for path in paths)


def _artefacts(exports: Iterable[Export], tasks: Sequence[str]) -> dict[str, Artefact]:
    artefacts: dict[str, Artefact] = {}
    for export in exports:
        artefact = export.artefacts.get("float32")
        if artefact and artefact.failure is None and (not tasks or export.task in tasks):
            artefacts.setdefault(f"{export.task}/{export.pair}/{export.label}", artefact)
    return artefacts


def _compare_operators(cell: str, old: Artefact, new: Artefact) -> Finding:
    before, after = sum(old.operators.values()), sum(new.operators.values())
    names = sorted(old.operators.keys() | new.operators.keys())
    counts = {name: new.operators.get(name, 0) - old.operators.get(name, 0) for name in names}
    changes = ", ".join(f"{count:+d} {name}" for name, count in counts.items() if count)
    if changes and before == after:
        reason = f"{before} in both, but of different kinds: {changes}"
        return Finding(cell, OPERATORS, "inconclusive", reason, before, after)
    return compare_counts(cell, OPERATORS, before, after, changes)
