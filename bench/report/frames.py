"""Records as data frames."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bench.records import Record


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a record: what it is, its test metrics, its held-out metrics (``held_out.NAME``), cost, size, latency."""
    rows = []
    for record in records:
        row: dict[str, object] = {
            "task": record.task,
            "pair": record.pair,
            "kind": record.kind,
            "label": record.label,
            "seed": record.seed,
            "status": record.status,
            "reason": record.failure.reason if record.failure else None,
        }
        if record.trial is not None:
            row["trial"] = record.trial
        if record.split == "test":
            row |= {name: metric.value for name, metric in record.metrics.items()}
        row |= {f"held_out.{name}": value for name, value in record.held_out.items()}
        if record.training:
            row |= {"train_seconds": record.training.seconds, "steps": record.training.steps}
        if record.size:
            row |= {"parameters": record.size.parameters, "macs": record.size.macs, "bytes": record.size.bytes}
        if record.latency:
            row |= {"latency": record.latency.median}
        rows.append(row | {"config_hash": record.config_hash})
    return pd.DataFrame(rows)
