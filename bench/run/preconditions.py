"""What must hold before a run starts: the device exists, folders can be written, data fit. Fail now, not in an hour."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch

from distillbench.bench.run.estimate import probe_task
from distillbench.bench.run.plan import Plan
from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.preflight import least_bytes
from distillbench.bench.suite.resolve import Suite
from distillbench.bench.training import contract
from distillbench.bench.training.pretrained import load_pretrained
from distillbench.common.errors import UserError
from distillbench.tasks.base import Role
from distillbench.tasks.networks.interfaces import ROLES


def check_device_and_folders(suite: Suite, out: Path, cache: Path | None = None, elsewhere: bool = False) -> None:
    """Check that the suite's device exists and that results can be written.

    Args:
        suite: The suite.
        out: The results folder; it is made.
        cache: Folder of feature extractors, teachers and decoded images; default: in the results folder.
        elsewhere: Whether other machines train, which have the device.

    Raises:
        UserError: One does not hold.
    """
    if not elsewhere:
        _check_device(suite)
    with file_errors(out):
        for folder in (out, cache or out / "cache"):
            folder.mkdir(parents=True, exist_ok=True)
            _check_folder(folder)


def check_memory(plan: Plan, limit: float | None) -> None:
    """Check that a job's limit of memory leaves room for what a plan has to train.

    Args:
        plan: The plan.
        limit: Bytes; None: there is no limit.

    Raises:
        UserError: It does not.
    """
    if limit is None:
        return
    for pair in dict.fromkeys(cell.pair for cell in plan.to_do):
        if limit < (least := least_bytes(pair)):
            problem = f"{limit / 1e9:g} GB are less than {pair.task}/{pair.pair} needs"
            raise UserError(problem, "--job-memory", allowed=f"from about {math.ceil(least / 1e8) / 10:g}")


def _check_device(suite: Suite) -> None:
    if suite.device != "cpu" and not torch.cuda.is_available():
        problem = f"{suite.device!r} cannot be used, torch sees no CUDA device"
        raise UserError(problem, field="device", allowed="here: 'cpu'")
    index = suite.device.partition(":")[2]
    if index and int(index) >= torch.cuda.device_count():
        allowed = f"cuda:0 to cuda:{torch.cuda.device_count() - 1}"
        raise UserError(f"{suite.device!r} does not exist", field="device", allowed=allowed)


def _check_folder(folder: Path) -> None:
    """Write two files, and rename one to the other: as every record is written, whole or not at all."""
    first, second = (folder / f".probe-{os.getpid()}-{number}" for number in (1, 2))
    first.write_bytes(b"1")
    try:
        second.write_bytes(b"2")
        try:
            first.replace(second)
        except OSError as error:
            problem = f"its file system cannot rename a file to another in its place ({error.strerror or error})"
            raise UserError(f"{problem}, as results are written", folder) from error
    finally:
        first.unlink(missing_ok=True)
        second.unlink(missing_ok=True)


@contextmanager
def file_errors(out: Path) -> Iterator[None]:
    """Raise what goes wrong with files as UserError: the user can mend it.

    Args:
        out: The results folder.
    """
    try:
        yield
    except OSError as error:
        file = f" ({error.filename})" if error.filename else ""
        reason = f"{error.strerror or error}{file}"
        raise UserError(f"cannot be written: {reason}; what was finished is kept", out) from error


def check_data_of(plan: Plan) -> None:
    """Check the data of all pairs that a plan still has to run; they are decoded into the cache.

    Raises:
        UserError: Data or networks do not fit the settings of a pair.
    """
    trains_teacher = {cell.pair for cell in plan.to_do if cell.method is not None and cell.method.teacher == "own"}
    for pair in dict.fromkeys(cell.pair for cell in plan.to_do):
        with file_errors(plan.out):
            check_data(pair, plan.cache, pair in trains_teacher)


@lru_cache(maxsize=64)
def check_data(pair: Pair, cache: Path, trains_teacher: bool = False) -> None:
    """Check that the data of a pair can be read, and that they and its networks fit its settings.

    Args:
        pair: Of networks.
        cache: Folder of decoded images.
        trains_teacher: Whether a method trains a teacher beside the student, which must then be trainable.

    Raises:
        UserError: They do not.
    """
    task = probe_task(pair, cache)
    try:
        task.check()
        trained: dict[Role, bool] = {"teacher": trains_teacher or not pair.settings.pretrained, "student": True}
        models = {role: contract.build(task, role, trained[role]) for role in ROLES}
        recipe = pair.settings.recipe("teacher")
        if recipe.weights is not None:
            load_pretrained(models["teacher"], recipe.weights, recipe.weights_key)
    except UserError as error:
        raise error.within(field=f"tasks.{pair.task}") from error
