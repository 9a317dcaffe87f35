"""The work of a process: train a feature extractor, a teacher or a group of students; evaluate; return records.

A job is plain data that can be sent to any process with the same code; weights pass through the cache folder.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from distillbench.bench.machine.environment import environment, revision
from distillbench.bench.machine.processor import IDENTITY
from distillbench.bench.measure.size import deployed_size
from distillbench.bench.store import checkpoints, claims
from distillbench.bench.store.checkpoints import FileCheckpoint
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.fingerprint import code_digest, forget_code
from distillbench.bench.store.records import (
    READING,
    Failure,
    Fitted,
    MetricValue,
    Record,
    Store,
    Training,
    TrainingCurve,
    comparable,
)
from distillbench.bench.store.weights import digest, load_weights, save_weights, usable
from distillbench.bench.suite.cells import Cell, Pair
from distillbench.bench.suite.registry import TASKS
from distillbench.bench.training.determinism import settle_process, undetermined
from distillbench.bench.training.learner import Trained
from distillbench.bench.training.loop import (
    OUT_OF_MEMORY,
    Report,
    describe,
    initial,
    train_self_teacher,
    train_students,
    train_teacher,
)
from distillbench.bench.training.pretrained import load_pretrained
from distillbench.bench.workers.executor import UNLIMITED, ExhaustedError, Limits
from distillbench.common.errors import DataWarning, UserError
from distillbench.methods.base import Teacher, usual
from distillbench.tasks.base import Evaluation, Role, Task, read_only

JobKind = Literal["extractor", "teacher", "self teacher", "baseline", "group"]


@dataclass(frozen=True)
class Job:
    """A part of a run that one process does.

    Attributes:
        id: Its name.
        kind: What it trains or evaluates; "self teacher" is a network equal to the students, which they learn from;
            "group" are students of one seed.
        pair: Of networks.
        cells: Whose records it returns, in this order.
        teachers: Whether all seeds share a teacher.
        out: The results folder.
        cache: Folder of feature extractors, teachers and decoded images.
        needs: The ids of the jobs that must have succeeded before it.
        teacher_seed: The seed of the teacher.
        limits: What it may use before its worker is killed.
        unusable: The cells that have a record which cannot be used.
    """

    id: str
    kind: JobKind
    pair: Pair
    cells: tuple[Cell, ...]
    teachers: Literal["shared", "per-seed"]
    out: Path
    cache: Path
    needs: tuple[str, ...] = ()
    teacher_seed: int = 0
    limits: Limits = UNLIMITED
    unusable: frozenset[Cell] = frozenset()

    def parts(self) -> tuple[Job, ...]:
        """Return the job of each cell: students learn the same, whoever trains beside them."""
        if len(self.cells) <= 1:
            return (self,)
        return tuple(replace(self, id=f"{self.id}: {cell}", cells=(cell,)) for cell in self.cells)

    def reads(self) -> tuple[Path, ...]:
        """Return the weights in the cache that it may read: of the feature extractor and of teachers."""
        extractor = () if self.pair.extractor_hash is None else (self.pair.extractor_path(self.cache),)
        path = partial(self.pair.teacher_path, self.cache, self.teacher_seed)
        match self.kind:
            case "teacher":
                return (*extractor, path())
            case "self teacher":
                return (*extractor, path("self"))
            case "group":
                own = any(cell.method is not None and cell.method.teacher == "self" for cell in self.cells)
                return (*extractor, path(), *((path("self"),) if own else ()))
        return extractor

    def writes(self) -> tuple[Path, ...]:
        """Return the weights that it may write: into the cache, of students into the results folder."""
        match self.kind:
            case "extractor":
                return (self.pair.extractor_path(self.cache),)
            case "teacher":
                return (self.pair.teacher_path(self.cache, self.teacher_seed),)
            case "self teacher":
                return (self.pair.teacher_path(self.cache, self.teacher_seed, "self"),)
            case "group":
                return tuple(self.out / cell.weights_path for cell in self.cells if cell.trial is None)
        return ()

    @property
    def claim(self) -> Path:
        """The file of the claim on what it makes."""
        return claims.path_of(*self._place)

    def checkpoint(self) -> FileCheckpoint:
        """Return the checkpoint of its training: of equal configurations, on a processor that computes alike."""
        cells = [cell.hash for cell in self.cells]
        machine = {field: environment().get(field) for field in (*IDENTITY, "gpu", "cuda", "python", "libraries")}
        of = canonical_hash([self.kind, self._place[1], cells, self.pair.config["code"], machine])
        return FileCheckpoint(self.states()[0], of)

    def states(self) -> tuple[Path, ...]:
        """Return the file of its checkpoint: students of one seed that are not the same cells have another one."""
        folder, name = self._place
        cells = [cell.hash for cell in self.cells]
        return (checkpoints.path_of(folder, f"{name}-{canonical_hash(cells)[:16]}" if folder == self.out else name),)

    @property
    def _place(self) -> tuple[Path, str]:
        """The folder and the name of what it makes: in the cache what several results folders share."""
        if self.kind in ("baseline", "group"):
            return self.out, canonical_hash(self.id)
        return self.cache, self.writes()[0].stem

    def moved(self, folder: Path) -> Job:
        """Return the job with its results folder and its cache in another one."""
        return replace(self, out=folder / "out", cache=folder / "cache")

    @property
    def loads_teacher(self) -> bool:
        """Whether a job of another pair trains the same teacher before it."""
        return self.kind == "teacher" and any(need.startswith("teacher ") for need in self.needs)


def execute(job: Job, report: Report) -> list[Record]:
    """Do a job and return its records, in the order of its cells.

    Args:
        job: The job.
        report: Called with (step, steps) during training.

    Raises:
        RuntimeError: Code or data have changed since the run was planned.
        ExhaustedError: The machine or the device has not enough memory for it.
    """
    warnings.simplefilter("ignore", DataWarning)  # the driver, which read the data first, has warned
    if code_digest(TASKS.get(job.pair.task)) != job.pair.config["code"]:
        raise RuntimeError("the code was edited during the run; run again")
    forget_code()
    if not same_data(job.pair):
        raise RuntimeError("the data are others than those that the run was planned with, or were changed since")
    for key, setting in job.pair.described().items():
        if setting != job.pair.config["settings"][key]:
            name = f"{key}.network" if key in ("teacher", "student") else key
            raise RuntimeError(f"a file or the code of {name} was changed during the run; run again")
    settle_process(job.pair.device)
    with claims.claimed(job.claim, job.id), undetermined() as operations:
        try:
            records = _remaining(job, report)
        except OUT_OF_MEMORY as error:
            raise ExhaustedError(describe(error)[0]) from error
    if not operations:
        return records
    warning = f"not bit-identical each time: {', '.join(sorted(operations))} has no deterministic form on this device"
    return [r.model_copy(update={"warnings": (*dict.fromkeys((*r.warnings, warning)),)}) for r in records]


def _remaining(job: Job, report: Report) -> list[Record]:
    """The records of a job; those that another run has made since this one was planned are taken over."""
    store = Store(job.out)
    made = {c: record for c in job.cells if c not in job.unusable and (record := _made(store, c)) is not None}
    missing = tuple(cell for cell in job.cells if cell not in made)
    if missing or not job.cells:
        rest = replace(job, cells=missing)
        made |= zip(missing, _records(rest, report), strict=True)
        checkpoints.remove(rest.states()[0])
    return [made[cell] for cell in job.cells]


def _made(store: Store, cell: Cell) -> Record | None:
    with suppress(UserError):
        record = store.find(cell.path)
        if record is not None and record.config_hash == cell.hash and record.status == "finished":
            return record
    return None


def _records(job: Job, report: Report) -> list[Record]:
    match job.kind:
        case "extractor":
            return _train_extractor(job)
        case "teacher":
            return _train_teacher(job, report)
        case "self teacher":
            return _train_self_teacher(job, report)
        case "baseline":
            return [_baseline(job, cell) for cell in job.cells]
        case "group":
            return _train_group(job, report)


@lru_cache(maxsize=64)
def same_data(pair: Pair) -> bool:
    """Whether this machine has the data that a pair was planned with; asked once a process."""
    return bool(TASKS.get(pair.task).data_identity(pair.settings) == pair.config["data"])


@lru_cache(maxsize=2)
def prepared_task(pair: Pair, cache: Path) -> Task:
    """Build a pair's task with its feature extractor; its data stay loaded for the next job of the same pair."""
    return pair.build(cache, "trained")


def load_teacher(task: Task, path: Path, role: Role = "teacher") -> tuple[nn.Module, dict[str, str]]:
    """Load a cached teacher, frozen, and the metadata of its file, which describe its training.

    Args:
        task: What it was trained on.
        path: Of the file.
        role: Whose network it is: of a self teacher the student's.
    """
    teacher = initial(task, role, 0)
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
    """Load the teacher, or train it where it is not cached; evaluate it, and check it on the validation split."""
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
        trained = train_teacher(task, job.teacher_seed, report, job.checkpoint())
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


def _train_self_teacher(job: Job, report: Report) -> list[Record]:
    path = job.pair.teacher_path(job.cache, job.teacher_seed, "self")
    if not usable(path, path.stem):
        task = prepared_task(job.pair, job.cache)
        trained = train_self_teacher(task, job.teacher_seed, report, job.checkpoint())
        save_weights(path, trained.model, path.stem)
    return []


def pretrained(task: Task) -> nn.Module:
    """Build a teacher with weights that were trained elsewhere."""
    model = initial(task, "teacher", 0)
    recipe = task.settings.recipe("teacher")
    if recipe.weights is not None:
        load_pretrained(model, recipe.weights, recipe.weights_key)
    return read_only(model)


def _check_teacher(task: Task, validation: Mapping[str, float]) -> tuple[str, ...]:
    """A collapsed teacher must be reported before anything is distilled from it."""
    baseline, name = task.baselines[0], task.primary_metric
    value = validation[name]
    floor = task.baseline(baseline, "validation").metrics[name]
    metric = task.metrics[name]
    if value > floor if metric.direction == "higher" else value < floor:
        return ()
    unit = f" {metric.unit}" if metric.unit else ""
    return (
        f"the teacher is no better than '{baseline}' on validation data: {name} {value:.{metric.decimals}f}{unit} "
        f"against {floor:.{metric.decimals}f}{unit}",
    )


def _baseline(job: Job, cell: Cell) -> Record:
    task = prepared_task(job.pair, job.cache)
    try:
        return _record(job, cell, evaluation=task.baseline(cell.label))
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # the other baselines do not fail with it
        return failed(job, cell, *describe(error))


def _train_group(job: Job, report: Report) -> list[Record]:
    """Students of one seed: trained together, evaluated one by one."""
    task = prepared_task(job.pair, job.cache)
    methods = {str(cell): cell.method for cell in job.cells if cell.method is not None}
    teachers = _teachers(job, task, {method.teacher for method in methods.values()})
    before = {kind: digest(teacher) for kind, teacher in teachers.items()}
    students = train_students(task, teachers, methods, job.cells[0].seed, report, job.checkpoint())
    if len(job.cells) > 1 and (reason := next(filter(None, map(_lacking, students.values())), "")):
        raise ExhaustedError(reason)
    if {kind: digest(teacher) for kind, teacher in teachers.items()} != before:
        raise RuntimeError("a method changed a teacher that others share")
    return [_student(job, task, teachers, cell, students[str(cell)]) for cell in job.cells]


def _lacking(trained: Trained) -> str:
    """The failure of a student for which the CPU had no memory left, which torch has no class of its own for."""
    reason = "" if trained.failure is None else trained.failure[0]
    return reason if "can't allocate memory" in reason else ""


def _teachers(job: Job, task: Task, kinds: Set[str]) -> dict[Teacher, nn.Module]:
    """The teachers that were trained before: the pair's, which agreement is measured with, and those of some kinds."""
    path = partial(job.pair.teacher_path, job.cache, job.teacher_seed)
    teachers: dict[Teacher, nn.Module] = {"trained": load_teacher(task, path())[0]}
    if "self" in kinds:
        teachers["self"] = load_teacher(task, path("self"), "student")[0]
    return teachers


def _student(job: Job, task: Task, teachers: Mapping[Teacher, nn.Module], cell: Cell, trained: Trained) -> Record:
    teacher = teachers["trained"]
    own = teachers["self"] if cell.method is not None and cell.method.teacher == "self" else trained.partner
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
            own_teacher=task.evaluate(own, own).metrics if own is not None else None,
            fitted=_fitted(task, trained),
        )
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # an evaluation that fails is a failed cell
        return failed(job, cell, *describe(error))
    save_weights(job.out / cell.weights_path, task.deployed(trained.model), cell.hash)
    return record


def _trial(job: Job, task: Task, cell: Cell, trained: Trained, validation: Evaluation) -> Record:
    """The record of a trial: the validation split only, and no weights."""
    training, fitted = _training(task, trained), _fitted(task, trained)
    return _record(job, cell, validation, training, task=task, validation=validation.metrics, fitted=fitted)


def _fitted(task: Task, trained: Trained) -> Fitted:
    """The part of the validation data that a method fitted to."""
    if not trained.fitted:
        return ""
    return "whole" if task.splits.fit is None else "half"


def _training(task: Task, trained: Trained) -> Training:
    curve = trained.curve
    return Training(
        steps=trained.steps,
        seconds=trained.seconds,
        images_per_second=trained.images_per_second,
        final_loss=trained.loss,
        final_distillation=trained.distillation,
        curve=TrainingCurve(
            steps=curve.steps,
            loss=curve.loss,
            validation=curve.validation,
            seconds=curve.seconds,
            of=task.validation_part,
        ),
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
    fitted: Fitted = "",
) -> Record:
    metrics = (task or prepared_task(job.pair, job.cache)).metrics
    if missing := [name for name, value in evaluation.metrics.items() if not math.isfinite(value)]:
        raise ArithmeticError(f"{', '.join(missing)} not finite")
    if missing := [name for name, value in evaluation.metrics.items() if not comparable(value, metrics[name].compared)]:
        raise ArithmeticError(f"{', '.join(missing)} not positive, which a metric that is compared as a ratio must be")
    return Record(
        **_identity(job, cell),
        status="finished",
        metrics={
            name: MetricValue(value=value, **{field: getattr(m, field) for field in READING})
            for name, m in metrics.items()
            if (value := evaluation.metrics.get(name)) is not None
        },
        validation={n: v for n, v in (validation or {}).items() if comparable(v, metrics[n].compared)},
        **_examples(evaluation),
        training=training,
        size=deployed_size(task, model) if task is not None and model is not None else None,
        weights_sha256=digest(model) if model is not None and model.state_dict() else None,
        own_teacher=dict(own_teacher) if own_teacher else None,
        fitted=fitted,
        warnings=warnings,
    )


def _examples(evaluation: Evaluation) -> dict[str, Any]:
    """Results by example as a record has them: names once, and seven digits, as many as single precision has."""
    if not evaluation.examples:
        return {}
    names = tuple(next(iter(evaluation.examples.values())))
    if any(tuple(values) != names for values in evaluation.examples.values()):
        raise ValueError(f"the results by example of {', '.join(evaluation.examples)} are of different examples")
    examples = {name: tuple(float(f"{v:.7g}") for v in values.values()) for name, values in evaluation.examples.items()}
    return {"example_names": names, "examples": examples}


def failed(job: Job, cell: Cell, reason: str, traceback: str = "") -> Record:
    """Return the record of a cell that failed.

    Args:
        job: Of the cell.
        cell: The cell.
        reason: Why it failed, in one line.
        traceback: Of the exception.
    """
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
        "control": cell.control,
        "defaults": usual(cell.method) if cell.method is not None else (),
        "teachers": job.teachers,
        "primary_metric": TASKS.get(cell.pair.task).primary_metric,
        "config": cell.config,
        "config_hash": cell.hash,
        "environment": environment(),
        "revision": revision(),
    }


def untrained(pair: Pair, role: Role, cache: Path) -> tuple[nn.Module, torch.Tensor]:
    """Return what a role deploys, with untrained weights, and an example input: a time depends on nothing else."""
    task = pair.build(cache)
    return task.deployed(initial(task, role, 0)), task.example_input(1)
