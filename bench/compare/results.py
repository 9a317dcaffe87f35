"""Two results folders compared: sizes, metrics and times, each by a rule of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distillbench.bench.compare.correction import Comparison, corrected
from distillbench.bench.compare.findings import Finding, Report
from distillbench.bench.compare.margins import Margins
from distillbench.bench.compare.quality import compare_metrics
from distillbench.bench.compare.sizes import any_beneath, compare_exports, compare_sizes
from distillbench.bench.compare.times import compare_times
from distillbench.bench.machine import processor
from distillbench.bench.store import exports, timings
from distillbench.bench.store.configurations import Group, differing, groups, named
from distillbench.bench.store.exports import Export
from distillbench.bench.store.records import Record, Store
from distillbench.bench.store.timings import Timing
from distillbench.common.errors import UserError, at_most

CellKey = tuple[str, str, str, str, str]
"""Task, pair, kind, label, and what differs from other configurations of that label."""


@dataclass(frozen=True)
class Contents:
    """What one results folder holds.

    Attributes:
        records: All usable records.
        cells: Records by cell, without baselines, of the selected tasks.
        timings: All usable timings.
        exports: All usable exports.
        problems: Why a file of the selected tasks is unusable, by its path.
    """

    records: Sequence[Record]
    cells: Mapping[CellKey, Group]
    timings: Sequence[Timing]
    exports: Sequence[Export]
    problems: Mapping[Path, str]


def compare_results(
    baseline: Path,
    candidate: Path,
    margins: Margins,
    metrics: Sequence[str] = (),
    tasks: Sequence[str] = (),
    backends: Sequence[str] = (),
) -> Report:
    """Compare two results folders.

    Args:
        baseline: A results folder.
        candidate: Another results folder.
        margins: How much worse the candidate may be.
        metrics: Names of metrics, or 'all'; empty for the primary metrics.
        tasks: Only these tasks; empty for all.
        backends: Only times of these backends; empty for all.

    Returns:
        A report with a finding for each cell and metric of the baseline.

    Raises:
        UserError: No such folder, task or metric.
    """
    before, after = (_contents(folder, tasks) for folder in (baseline, candidate))
    _check_names([*before.records, *after.records], margins, metrics, tasks)
    findings, notes = _compare_cells(before, after, margins, metrics)
    notes += [f"{_name(key)}: only in the candidate" for key in after.cells if key not in before.cells]
    notes += _processor_note([*before.cells.values(), *after.cells.values()])
    findings += compare_exports(before.exports, after.exports, after.problems, tasks)
    findings += compare_times(before.timings, after.timings, after.problems, margins, tasks, backends)
    problems = [*before.problems.items(), *after.problems.items()]
    findings += [Finding(str(path), "", "missing", reason) for path, reason in problems]
    return Report(str(baseline), str(candidate), tuple(findings), tuple(notes))


def _contents(folder: Path, tasks: Sequence[str]) -> Contents:
    scan, times, artefacts = Store(folder).scan(), timings.scan(folder), exports.scan(folder)
    problems = {**scan.problems, **times.problems, **artefacts.problems}
    selected = {path: reason for path, reason in problems.items() if not tasks or path.parts[1] in tasks}
    return Contents(scan.records, _cells(scan.records, tasks), times.documents, artefacts.documents, selected)


def _cells(records: Sequence[Record], tasks: Sequence[str]) -> dict[CellKey, Group]:
    pairs: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.kind != "baseline" and (not tasks or record.task in tasks):
            pairs.setdefault((record.task, record.pair), []).append(record)
    return {
        (task, pair, group.kind, group.label, group.difference): group
        for (task, pair), members in pairs.items()
        for group in groups(members)
    }


def _check_names(records: Sequence[Record], margins: Margins, metrics: Sequence[str], tasks: Sequence[str]) -> None:
    known_tasks = {record.task for record in records}
    known_metrics = {name for record in records for name in record.metrics}
    for option, names, known in (
        ("--tasks", tasks, known_tasks),
        ("--metrics", [name for name in metrics if name != "all"], known_metrics),
        ("--quality-margin", margins.by_metric, known_metrics),
    ):
        for name in names:
            if name not in known:
                raise UserError(f"{name!r} is in neither folder", option, allowed=sorted(known), name=name)


def _compare_cells(
    before: Contents, after: Contents, margins: Margins, metrics: Sequence[str]
) -> tuple[list[Finding], list[str]]:
    findings: list[Finding] = []
    comparisons: list[Comparison] = []
    notes: list[str] = []
    for key, old in before.cells.items():
        cell, new = _name(key), after.cells.get(key)
        if not old.finished:
            notes.append(f"{cell}: not finished in the baseline")
        elif new is not None and new.finished:
            findings += compare_sizes(cell, old, new)
            comparisons += compare_metrics(cell, old, new, margins, metrics)
            notes += _difference_notes(cell, old, new)
        elif new is not None or not any_beneath(after.problems, "records", *key[:2], key[3]):
            findings.append(Finding(cell, "", "missing", _why_missing(new)))
    return [*findings, *corrected(comparisons)], notes


def _name(key: CellKey) -> str:
    task, pair, _, label, difference = key
    return f"{task}/{pair}/{label}" + (f" ({difference})" if difference else "")


def _difference_notes(cell: str, old: Group, new: Group) -> Iterator[str]:
    if missing := sorted(old.finished.keys() - new.finished.keys()):
        yield f"{cell}: seeds missing from the candidate: {', '.join(map(str, missing))}"
    if fields := differing([old.config, new.config]):
        yield f"{cell}: compared although the configurations differ in {named(fields)}"


def _why_missing(group: Group | None) -> str:
    if group is None:
        return "missing from the candidate"
    failure = next((record.failure for record in group.records if record.failure), None)
    return f"failed in the candidate: {failure.reason}" if failure else "not finished in the candidate"


def _processor_note(cells: Sequence[Group]) -> list[str]:
    """A note where metrics were measured on several processors."""
    environments = [record.environment for group in cells for record in group.finished.values()]
    if all(processor.same_processor(environments[0], environment) for environment in environments):
        return []
    names = "; ".join(at_most(3, list(dict.fromkeys(map(processor.description, environments)))))
    return [f"metrics were measured on several processors, so last digits may differ: {names}"]
