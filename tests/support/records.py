"""Records and timings written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from distillbench.bench.analysis.summary import summarise
from distillbench.bench.report.summaries import tables
from distillbench.bench.store.architecture import architecture_of
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.manifest import ExpectedCell
from distillbench.bench.store.records import Failure, MetricValue, Record, Size
from distillbench.bench.store.terms import Compared
from distillbench.bench.store.timings import Condition, Launch, Timing

STUDENTS = {
    "scratch": [80.0, 82.0, 81.0],
    "good": [85.0, 87.2, 86.1],
    "noise": [79.0, 83.5, 81.2],
}


CONTROLS = frozenset({"scratch", "scratch_long", "hard_labels", "label_smoothing", "random_teacher", "self_teacher"})
"""Names whose records say that they are of controls; 'mimic' stands for a method here."""


def config_of(
    kind: str, label: str, seed: int, rate: float = 0.01, teacher_seed: int = 0, **more: Any
) -> dict[str, Any]:
    """The configuration of a record. rate: the student's learning rate, which a teacher's lacks."""
    config: dict[str, Any] = {
        "task": "classification",
        "role": kind,
        "code": "c" * 64,
        "device": "cpu",
        "settings": {"steps": 100},
    }
    if kind == "baseline":
        return config | {"baseline": label} | more
    if kind == "teacher":
        return config | {"seed": seed} | more
    teacher = canonical_hash(config_of("teacher", "teacher", teacher_seed))
    settings = {"steps": 100, "student": {"learning_rate": rate}}
    method = {"method": label, "hyperparameters": {}, "method_code": "m" * 64, "teacher": teacher, "seed": seed}
    return config | {"settings": settings} | method | more


def record(
    kind: Literal["student", "teacher", "baseline"],
    label: str,
    seed: int,
    value: float | None,
    config: dict[str, Any] | None = None,
    **more: Any,
) -> Record:
    config = config_of(kind, label, seed) if config is None else config
    small = kind == "student"
    metrics = {}
    if value is not None:
        metrics["accuracy"] = MetricValue(value=value, direction="higher", unit="%")
        if kind != "baseline":
            metrics["nll"] = MetricValue(value=1 - value / 100, direction="lower", unit="nats", decimals=3)
    parameters, macs = (9610, 9472) if small else (75_434, 1_503_232)
    size = Size(parameters=parameters, macs=macs, bytes=4, input_shape=(1, 1, 8, 8))
    fields: dict[str, Any] = {
        "kind": kind,
        "status": "finished" if value is not None else "failed",
        "task": "classification",
        "pair": "cnn_mlp",
        "label": label,
        "control": kind == "student" and label in CONTROLS,
        "seed": seed,
        "teacher_seed": 0,
        "teachers": "shared",
        "primary_metric": "accuracy",
        "config": config,
        "config_hash": canonical_hash(config),
        "metrics": metrics,
        "size": None if kind == "baseline" or value is None else size,
    }
    return Record(**fields | more)


def records(teacher: float = 90.0) -> list[Record]:
    """A teacher, a baseline, three students of three seeds, and one that failed."""
    collected = [record("teacher", "teacher", 0, teacher), record("baseline", "nearest centroid", 0, 70.0)]
    collected += [
        record("student", label, seed, v) for label, values in STUDENTS.items() for seed, v in enumerate(values)
    ]
    collected.append(record("student", "broken", 0, None, failure=Failure(reason="RuntimeError: boom")))
    return collected


def distances(
    label: str,
    values: Sequence[float],
    kind: Literal["student", "teacher", "baseline"] = "student",
    compared: Compared = "ratio",
    **others: Sequence[float],
) -> list[Record]:
    """The records of a row whose primary metric is an FID, one for each value. others: FIDs that repeat it."""

    def of(value: float, repeats: str = "") -> MetricValue:
        return MetricValue(value=value, direction="lower", unit="", compared=compared, repeats=repeats)

    return [
        record(
            kind, label, seed, 0.0,
            primary_metric="fid",
            metrics={"fid": of(value), **{name: of(more[seed], "fid") for name, more in others.items()}},
        )
        for seed, value in enumerate(values)
    ]  # fmt: skip


def timing(records: list[Record], slow: float = 2e-4, quick: float = 2e-5, **more: Any) -> Timing:
    """A timing of three launches, 1% apart. slow, quick: seconds of the teacher and of the student."""
    architectures = {record.kind: architecture_of(record) for record in records if record.size}
    launches = [
        Launch(
            seconds={"teacher": (slow,) * 10, "student": (quick * factor,) * 10},
            loops={"teacher": 5, "student": 50},
            stopped_by="width",
        )
        for factor in (0.99, 1.0, 1 / 0.99)
    ]
    fields: dict[str, Any] = {
        "task": "classification", "pair": "cnn_mlp", "condition": Condition(), "input_shape": (1, 1, 8, 8),
        "launches": launches, "teacher": architectures.get("teacher"), "student": architectures.get("student"),
    }  # fmt: skip
    return Timing(**fields | more)


EXPECTED = [ExpectedCell("classification", "cnn_mlp", "student", "broken", seed) for seed in range(3)]


def rows(records: list[Record]) -> dict[str, dict[str, Any]]:
    return {row["method"]: row for table in tables(summarise(records, EXPECTED)) for row in table.data}
