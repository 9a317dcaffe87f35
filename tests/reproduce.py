"""Reproduce classification records from themselves alone: ``python tests/reproduce.py RECORD.json ...``.

Trains what a record's ``config`` says with the plain loop beside this file, which shares no code with the harness and
its methods, and prints each metric as recorded and as found again. Exits with 1 unless every printed digit is the same,
and with 2 for a record that it cannot train. Other processors, other instructions of one and other versions of PyTorch
round otherwise: where the record is of another processor a line says so (``distillbench compare`` has margins).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from distillbench.bench.machine.environment import environment
from distillbench.bench.machine.processor import description, same_processor
from distillbench.bench.store.fingerprint import without_digests
from distillbench.tasks.classification import Classification
from support.plain_loop import ClassificationCell, Plan, derive, train

METHODS = (
    *("scratch", "scratch_long", "label_smoothing", "hard_labels", "self_teacher", "random_teacher"),
    *("mimic", "temperature", "logistic", "cross_model"),
)


def refusal(record: dict[str, Any]) -> str | None:
    """Why this record cannot be reproduced here."""
    if record["task"] != "classification" or record["kind"] not in ("teacher", "student"):
        return "not a teacher or a student of classification"
    if record["status"] != "finished":
        return "not finished"
    config = record["config"]
    if config["data"] != Classification.data_identity(Classification.Settings()) or config["device"] != "cpu":
        return "not of the embedded digits on the CPU"
    if record["kind"] == "student" and record["config"]["method"] not in METHODS:
        return f"no formula here for {record['config']['method']}"
    return None


def elsewhere(record: dict[str, Any]) -> str | None:
    """Why digits may be others here."""
    there, here = record["environment"], environment()
    if same_processor(there, here):
        return None
    return f"made on {description(there)}, and this is {description(here)}: digits may differ"


def frozen(model: nn.Module) -> nn.Module:
    return model.eval().requires_grad_(False)


def reproduce(record: dict[str, Any]) -> dict[str, float]:
    """The metrics of the record's model, trained again: first its teacher, then what it is."""
    config = record["config"]
    task = Classification(Classification.Settings.model_validate(without_digests(config["settings"])))
    cell = ClassificationCell(task)
    teacher = frozen(train(cell, "teacher", record["teacher_seed"], same_kernels=True).model)
    if record["kind"] == "teacher":
        return task.evaluate(teacher, teacher).metrics
    plan, looked_at = Plan(config["method"], **config["hyperparameters"]), teacher
    if plan.method == "self_teacher":
        own = derive("self", record["teacher_seed"])
        looked_at = frozen(train(cell, "student", own, same_kernels=True).model)
    student = frozen(train(cell, "student", config["seed"], plan, looked_at, same_kernels=True).model)
    return task.evaluate(student, teacher).metrics


def compare(record: dict[str, Any], found: dict[str, float]) -> bool:
    """Print both; whether all printed digits are equal."""
    equal = True
    for name in record["metrics"] | found:
        recorded = again = "-"
        if (metric := record["metrics"].get(name)) is not None:
            recorded = f"{metric['value']:.{metric['decimals']}f}"
        if name in found:
            again = f"{found[name]:.{metric['decimals'] if metric else 6}f}"
        equal = equal and recorded == again
        print(f"  {name:<20}{recorded:>12}{again:>12}{'' if recorded == again else '  differs'}")
    return equal


def main(paths: Sequence[str]) -> int:
    # As the harness settles a process: one thread, one algorithm.
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    records = {path: json.loads(Path(path).read_text(encoding="utf-8")) for path in paths}
    for path, record in records.items():
        if (reason := refusal(record)) is not None:
            print(f"{path}: {reason}", file=sys.stderr)
            return 2
    equal = True
    for path, record in records.items():
        print(path, *filter(None, [elsewhere(record)]), sep="\n  ")
        print(f"  {'metric':<20}{'recorded':>12}{'reproduced':>12}")
        equal = compare(record, reproduce(record)) and equal
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
