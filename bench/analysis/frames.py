"""Records as data frames."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from distillbench.bench.store.configurations import differing, flat
from distillbench.bench.store.records import Record


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row a record.

    What it is (task, pair, kind, label, seed, teachers, teacher_seed, status, reason), its test metrics, its validation
    metrics (``validation.NAME``), its hyperparameters (``hyperparameters.NAME``), each setting in which records of one
    task differ (``settings.NAME``), training (train_seconds, steps, final_loss, final_distillation), and size.
    """
    differ = {field for task in {r.task for r in records} for field in _differing(task, records)}
    rows = []
    for record in records:
        row: dict[str, object] = {
            "task": record.task,
            "pair": record.pair,
            "kind": record.kind,
            "label": record.label,
            "seed": record.seed,
            "teachers": record.teachers,
            "teacher_seed": record.teacher_seed if record.kind == "student" else None,
            "status": record.status,
            "reason": record.failure.reason if record.failure else None,
        }
        if record.trial is not None:
            row["trial"] = record.trial
        if record.split == "test":
            row |= {name: metric.value for name, metric in record.metrics.items()}
        row |= {f"validation.{name}": value for name, value in record.validation.items()}
        config = flat(record.config)
        row |= {name: config[name] for name in config if name.startswith("hyperparameters.") or name in differ}
        if record.training:
            row |= {
                "train_seconds": record.training.seconds,
                "steps": record.training.steps,
                "final_loss": record.training.final_loss,
                "final_distillation": record.training.final_distillation,
            }
        if record.size:
            row |= {"parameters": record.size.parameters, "macs": record.size.macs, "bytes": record.size.bytes}
        rows.append(row | {"config_hash": record.config_hash, "revision": record.revision})
    return pd.DataFrame(rows)


def _differing(task: str, records: Sequence[Record]) -> list[str]:
    """Settings that are not the same in all students of a task: what a sweep has swept."""
    configs = [record.config for record in records if record.task == task and record.kind == "student"]
    return [field for field in differing(configs) if field.startswith("settings.")] if configs else []
