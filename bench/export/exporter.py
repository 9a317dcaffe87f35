"""Finished students whose exports are missing, and their conversion in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillbench.bench.machine.environment import environment
from distillbench.bench.machine.limits import cores
from distillbench.bench.machine.processor import same_processor
from distillbench.bench.measure.backends import obstacle
from distillbench.bench.store import exports
from distillbench.bench.store.exports import Export
from distillbench.bench.store.records import Record, Store
from distillbench.bench.store.terms import FORMS, Form
from distillbench.bench.store.timings import Condition
from distillbench.bench.suite.cells import Pair
from distillbench.bench.workers.executor import JobEnd
from distillbench.bench.workers.local import LocalExecutor


def forms_of(conditions: Iterable[Condition]) -> list[Form]:
    """Return the forms that timing under some conditions needs of each student.

    Returns:
        float32 and the quantised forms that this machine can run; nothing where there is none of these.
    """
    precisions = {c.precision for c in conditions if obstacle(c.backend, c.precision, c.device) is None}
    quantised = [form for form in FORMS if form != "float32" and form in precisions]
    return ["float32", *quantised] if quantised else []


def unexported(pairs: Iterable[Pair], forms: Sequence[Form], results: Path) -> list[Record]:
    """Return the finished students of some pairs that lack an export in one of these forms, made on this processor.

    Args:
        pairs: The pairs of the students.
        forms: Forms of an export; none where no export is needed.
        results: The results folder of records and exports.
    """
    if not forms or not (results / "records").is_dir():
        return []
    names = {(pair.task, pair.pair) for pair in pairs}
    by_path = {export.path: export for export in exports.scan(results).found}
    return [
        record
        for record in Store(results).scan().records
        if record.kind == "student" and record.status == "finished" and record.trial is None
        if (record.task, record.pair) in names and not _complete(by_path.get(exports.path_of(record)), record, forms)
    ]


def _complete(export: Export | None, record: Record, forms: Sequence[Form]) -> bool:
    current = export is not None and export.is_of(record) and export.has(forms)
    return export is not None and current and same_processor(export.environment, environment())


def convert(
    records: Sequence[Record],
    forms: Sequence[Form],
    results: Path,
    cache: Path,
    locations: Mapping[str, Any],
    log: Callable[[str], None],
) -> list[str]:
    """Export and quantise students, measure the quality of the quantised ones, and store the exports.

    Args:
        records: Of finished students.
        forms: To make of each.
        results: The results folder.
        cache: Folder of teachers and feature extractors.
        locations: Settings that say where the data lie.
        log: Called with a line for each row of a table that is done.

    Returns:
        Why some could not be converted, one line each.
    """
    from distillbench.bench.export import conversion  # needs ONNX Runtime, which timing can do without

    rows: dict[str, list[Record]] = {}
    for record in records:
        rows.setdefault(f"{record.task}/{record.pair}/{record.label}", []).append(record)
    jobs = [
        conversion.ConversionJob(name, tuple(row), tuple(forms), results.resolve(), cache.resolve(), dict(locations))
        for name, row in rows.items()
    ]
    problems = []
    for event in LocalExecutor(cores()).run(jobs, conversion.execute):
        if not isinstance(event, JobEnd):
            continue
        if event.error is not None:
            problems.append(f"{event.id}: {type(event.error).__name__}: {event.error}")
        converted = event.result.exports if event.result else ()
        problems += event.result.problems if event.result else ()
        for export in converted:
            exports.write(results, export)
            problems += [
                f"{export.path}: {form}: {artefact.failure}"
                for form, artefact in export.artefacts.items()
                if artefact.failure is not None
            ]
        log(f"{event.id}: {len(converted)} exports")
    return problems
