"""The work that a process does: train a feature extractor, a teacher, or a group of students; evaluate; return records.

A job is plain data that can be sent to any process with the same code; weights pass through the cache folder.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from distillbench.bench.machine.environment import environment, revision
from distillbench.bench.measure.size import size
from distillbench.bench.store.fingerprint import code_digest, forget_code
from distillbench.bench.store.records import Failure, MetricValue, Record, Training, TrainingCurve
from distillbench.bench.store.weights import digest, load_weights, save_weights, usable
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.bench.suite.registry import TASKS
from distillbench.bench.training.determinism import settle_process, undetermined
from distillbench.bench.training.learner import Trained
from distillbench.bench.training.loop import Report, describe, initial, train_students, train_teacher
from distillbench.bench.training.pretrained import load_pretrained
from distillbench.common.errors import DataWarning
from distillbench.tasks.base import Evaluation, Role, Task, read_only
from distillbench.tasks.networks.interfaces import ROLES


@dataclass(frozen=True)
class Job:
    """kind: what to do. cells: whose records come of it. needs: jobs that come before."""

    id: str
    kind: Literal["extractor", "teacher", "baseline", "group"]
    pair: Pair
    cells: tuple[Cell, ...]
    teachers: Literal["shared", "per-seed"]
    out: Path
    cache: Path
    needs: tuple[str, ...] = ()
    teacher_seed: int = field(default=0)


def execute(job: Job, report: Report) -> list[Record]:
    """Do the job; its records, in the order of its cells."""
    if code_digest(TASKS.get(job.pair.task)) != job.pair.config["code"]:
        raise RuntimeError("the code was edited while the run went on; run again")
    forget_code()
    for name, now in job.pair.described().items():
        if now != job.pair.config["settings"][name]:
            what = f"{name}.network" if name in ROLES else name
            raise RuntimeError(f"a file or the code of {what} was changed while the run went on; run again")
    settle_process(job.pair.device)
    warnings.simplefilter("ignore", DataWarning)  # the driver, which saw the data first, has told
    with undetermined() as operations:
        records = _records(job, report)
    if not operations:
        return records
    warning = f"not the same bits each time: {', '.join(sorted(operations))} has no deterministic form on this device"
    return [record.model_copy(update={"warnings": (*record.warnings, warning)}) for record in records]


def _records(job: Job, report: Report) -> list[Record]:
    match job.kind:
        case "extractor":
            return _train_extractor(job)
        case "teacher":
            return _train_teacher(job, report)
        case "baseline":
            return [_reference(job, cell) for cell in job.cells]
        case "group":
            return _train_group(job, report)


@lru_cache(maxsize=2)
def prepared_task(pair: Pair, cache: Path) -> Task:
    """The task with its trained feature extractor; the data stay loaded for the next job of the same pair."""
    return pair.build(cache, "trained")


def load_teacher(task: Task, path: Path) -> tuple[nn.Module, dict[str, str]]:
    """A cached teacher, frozen, with what its training cost."""
    teacher = initial(task, "teacher", 0)
    metadata = load_weights(path, teacher, path.stem)
    return read_only(teacher), metadata


def _train_extractor(job: Job) -> list[Record]:
    path = job.pair.extractor_path(job.cache)
    if not usable(path, path.stem):
        recipe = job.pair.build(job.cache).extractor_recipe()
        assert recipe is not None
        save_weights(path, recipe.train(), path.stem)
    return []


def _train_teacher(job: Job, report: Report) -> list[Record]:
    """Train or load the teacher unless it is cached; evaluate it, and check it on validation data."""
    task = prepared_task(job.pair, job.cache)
    path = job.pair.teacher_path(job.cache, job.teacher_seed)
    training: Training | None = None
    if usable(path, path.stem):
        teacher, metadata = load_teacher(task, path)
        training = Training.model_validate_json(metadata["training"]) if "training" in metadata else None
    elif task.settings.pretrained:
        teacher = pretrained(task)
        save_weights(path, teacher, path.stem)
    else:
        trained = train_teacher(task, job.teacher_seed, report)
        teacher, training = trained.model, _training(task, trained)
        save_weights(path, teacher, path.stem, {"training": training.model_dump_json()})
    if not job.cells:
        return []
    (cell,) = job.cells
    validation = task.evaluate(teacher, teacher, "validation").metrics
    return [
        _record(
            job,
            cell,
            evaluation=task.evaluate(teacher, teacher),
            training=training,
            model=teacher,
            task=task,
            validation=validation,
            warnings=_check_teacher(task, validation),
        )
    ]


def pretrained(task: Task) -> nn.Module:
    """A teacher that was trained elsewhere."""
    model = initial(task, "teacher", 0)
    recipe = task.settings.recipe("teacher")
    if recipe.weights is not None:
        load_pretrained(model, recipe.weights, recipe.weights_key)
    return read_only(model)


def _check_teacher(task: Task, validation: Mapping[str, float]) -> tuple[str, ...]:
    """A collapsed teacher must be seen before anything is distilled from it."""
    baseline, name = task.baselines[0], task.primary_metric
    here = validation[name]
    floor = task.baseline(baseline, "validation").metrics[name]
    metric = task.metrics[name]
    if here > floor if metric.direction == "higher" else here < floor:
        return ()
    unit = f" {metric.unit}" if metric.unit else ""
    return (
        f"the teacher is no better than '{baseline}' on validation data: {name} {here:.{metric.decimals}f}{unit} "
        f"against {floor:.{metric.decimals}f}{unit}",
    )


def _reference(job: Job, cell: Cell) -> Record:
    task = prepared_task(job.pair, job.cache)
    try:
        return _record(job, cell, evaluation=task.baseline(cell.label))
    except Exception as error:  # one failed row must not take the others with it
        return failed(job, cell, *describe(error))


def _train_group(job: Job, report: Report) -> list[Record]:
    """Students of one seed: trained together, evaluated one by one."""
    task = prepared_task(job.pair, job.cache)
    teacher, _ = load_teacher(task, job.pair.teacher_path(job.cache, job.teacher_seed))
    methods = {str(cell): cell.method for cell in job.cells if cell.method is not None}
    before = digest(teacher)
    students = train_students(task, teacher, methods, job.cells[0].seed, report)
    if digest(teacher) != before:
        raise RuntimeError("a method changed the shared teacher")
    return [_student(job, task, teacher, cell, students[str(cell)]) for cell in job.cells]


def _student(job: Job, task: Task, teacher: nn.Module, cell: Cell, trained: Trained) -> Record:
    if trained.failure is not None:
        return failed(job, cell, *trained.failure)
    try:
        if cell.trial is not None:
            return _trial(job, task, cell, trained, task.evaluate(trained.model, teacher, "validation"))
        record = _record(
            job,
            cell,
            evaluation=task.evaluate(trained.model, teacher),
            training=_training(task, trained),
            model=trained.model,
            task=task,
            validation=task.evaluate(trained.model, teacher, "validation").metrics,
            own_teacher=task.evaluate(trained.partner, trained.partner).metrics if trained.partner else None,
        )
    except Exception as error:  # an evaluation that fails is a failed cell
        return failed(job, cell, *describe(error))
    save_weights(job.out / cell.weights_path, task.deployed(trained.model), cell.hash)
    return record


def _trial(job: Job, task: Task, cell: Cell, trained: Trained, validation: Evaluation) -> Record:
    """What there is to choose by; nobody ships a trial."""
    return _record(job, cell, validation, _training(task, trained), task=task, validation=validation.metrics)


def _training(task: Task, trained: Trained) -> Training:
    curve, of = trained.curve, task.validation_part
    return Training(
        steps=trained.steps,
        seconds=trained.seconds,
        images_per_second=trained.images_per_second,
        final_loss=trained.loss,
        final_distillation=trained.distillation,
        curve=TrainingCurve(steps=curve.steps, loss=curve.loss, validation=curve.validation, of=of),
    )


def _record(
    job: Job,
    cell: Cell,
    evaluation: Evaluation,
    training: Training | None = None,
    model: nn.Module | None = None,
    task: Task | None = None,
    validation: Mapping[str, float] | None = None,
    warnings: tuple[str, ...] = (),
    own_teacher: Mapping[str, float] | None = None,
) -> Record:
    metrics = (task or prepared_task(job.pair, job.cache)).metrics
    if missing := [name for name, value in evaluation.metrics.items() if not math.isfinite(value)]:
        raise ArithmeticError(f"{', '.join(missing)} not finite")
    return Record(
        **_identity(job, cell),
        status="finished",
        metrics={
            name: MetricValue(value=value, direction=m.direction, unit=m.unit, decimals=m.decimals, note=m.note)
            for name, m in metrics.items()
            if (value := evaluation.metrics.get(name)) is not None
        },
        validation={name: value for name, value in (validation or {}).items() if math.isfinite(value)},
        **_items(evaluation),
        training=training,
        size=deployed_size(task, model) if task is not None and model is not None else None,
        weights_sha256=digest(model) if model is not None and model.state_dict() else None,
        own_teacher=dict(own_teacher) if own_teacher else None,
        warnings=warnings,
    )


def _items(evaluation: Evaluation) -> dict[str, Any]:
    """Per-item results as a record keeps them: the names once. Seven digits are all that single precision has."""
    if not evaluation.examples:
        return {}
    names = tuple(next(iter(evaluation.examples.values())))
    if any(tuple(values) != names for values in evaluation.examples.values()):
        raise ValueError(f"the per-example results of {', '.join(evaluation.examples)} are not of the same examples")
    examples = {name: tuple(float(f"{v:.7g}") for v in values.values()) for name, values in evaluation.examples.items()}
    return {"example_names": names, "examples": examples}


def deployed_size(task: Task, model: nn.Module) -> Any:
    """Counted on a copy on the CPU: the counter must not see a device, nor a model that is still in use."""
    deployed = task.deployed(model)
    if next(deployed.parameters(), None) is None:
        return None  # what runs elsewhere, from a file of its own, is not counted
    return size(read_only(copy.deepcopy(deployed).cpu()), task.example_input(1))


def failed(job: Job, cell: Cell, reason: str, traceback: str = "") -> Record:
    """The record of a cell that came to nothing, and why."""
    return Record(**_identity(job, cell), status="failed", failure=Failure(reason=reason, traceback=traceback))


def _identity(job: Job, cell: Cell) -> dict[str, Any]:
    return {
        "kind": cell.kind,
        "task": cell.pair.task,
        "pair": cell.pair.pair,
        "label": cell.label,
        "seed": cell.seed,
        "trial": cell.trial,
        "teacher_seed": cell.teacher_seed,
        "teachers": job.teachers,
        "primary_metric": TASKS.get(cell.pair.task).primary_metric,
        "config": cell.config,
        "config_hash": cell.hash,
        "environment": environment(),
        "revision": revision(),
    }


def untrained(pair: Pair, role: Role, cache: Path) -> tuple[nn.Module, torch.Tensor]:
    """What a role deploys, with untrained weights, and an example input: all that a time depends on."""
    task = pair.build(cache)
    return task.deployed(initial(task, role, 0)), task.example_input(1)
