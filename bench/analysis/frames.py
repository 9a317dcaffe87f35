"""Records as data frames."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from distillbench.bench.store.configurations import differing, flat
from distillbench.bench.store.records import Record


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """Return a data frame with a row for each record.

    Args:
        records: Of any tasks.

    Returns:
        Columns: what the cell is (task, pair, kind, label, control, seed, teachers, teacher_seed, status, reason), its
        test metrics, its validation metrics (``validation.NAME``), its hyperparameters (``hyperparameters.NAME``), each
        setting in which records of one task differ (``settings.NAME``), its training (train_seconds, steps, final_loss,
        final_distillation), its size (parameters, macs, bytes), config_hash and revision.
    """
    varied = {field for task in {r.task for r in records} for field in _varied_settings(task, records)}
    return pd.DataFrame([_row(record, varied) for record in records])


def _row(record: Record, varied: Collection[str]) -> dict[str, object]:
    config = flat(record.config)
    fields = [name for name in config if name.startswith("hyperparameters.") or name in varied]
    return {
        **_identity(record),
        **({name: metric.value for name, metric in record.metrics.items()} if record.split == "test" else {}),
        **{f"validation.{name}": value for name, value in record.validation.items()},
        **{name: config[name] for name in fields},
        **_training(record),
        **_size(record),
        "config_hash": record.config_hash,
        "revision": record.revision,
    }


def _identity(record: Record) -> dict[str, object]:
    cell = {
        "task": record.task,
        "pair": record.pair,
        "kind": record.kind,
        "label": record.label,
        "control": record.control,
        "seed": record.seed,
        "teachers": record.teachers,
        "teacher_seed": record.teacher_seed if record.kind == "student" else None,
        "status": record.status,
        "reason": record.failure.reason if record.failure else None,
    }
    return cell if record.trial is None else cell | {"trial": record.trial}


def _training(record: Record) -> dict[str, object]:
    if (training := record.training) is None:
        return {}
    return {
        "train_seconds": training.seconds,
        "steps": training.steps,
        "final_loss": training.final_loss,
        "final_distillation": training.final_distillation,
    }


def _size(record: Record) -> dict[str, object]:
    if (size := record.size) is None:
        return {}
    return {"parameters": size.parameters, "macs": size.macs, "bytes": size.bytes}


def _varied_settings(task: str, records: Sequence[Record]) -> list[str]:
    """The settings that are not the same in all students of a task: what a sweep has swept."""
    configs = [record.config for record in records if record.task == task and record.kind == "student"]
    return [field for field in differing(configs) if field.startswith("settings.")] if configs else []
