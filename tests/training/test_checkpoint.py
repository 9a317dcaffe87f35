"""A training that was interrupted goes on as it would have gone on, to the bit."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from distillbench.bench.store import checkpoints
from distillbench.bench.store.checkpoints import FileCheckpoint
from distillbench.bench.store.weights import digest
from distillbench.bench.training.learner import Trained
from distillbench.bench.training.loop import train_self_teacher, train_students, train_teacher
from distillbench.methods.cross_model import CrossModel
from distillbench.tasks.base import Task
from support.tasks import TASK_NAMES, TRANSFER, methods_of, teachers_of

TaskOf = Callable[[str], Task]


@dataclass
class Interrupting:
    """Keeps the state after each step, as a file would, and interrupts the training after some."""

    after: int
    file: bytes = b""
    kept: int = field(default=0, init=False)

    def load(self) -> dict[str, Any] | None:
        return torch.load(io.BytesIO(self.file), weights_only=True) if self.file else None

    def due(self) -> bool:
        return True

    def keep(self, state: dict[str, Any]) -> None:
        stream = io.BytesIO()
        torch.save(state, stream)
        self.file, self.kept = stream.getvalue(), self.kept + 1
        if self.kept == self.after:
            raise KeyboardInterrupt


def interrupted(train: Callable[[Interrupting], Any], times: int) -> Any:
    """What a training gives that is interrupted after each so many steps, each time by the end of its process."""
    file = b""
    for _ in range(1000):
        checkpoint = Interrupting(times, file)
        try:
            return train(checkpoint)
        except KeyboardInterrupt:
            file = checkpoint.file
    raise AssertionError("it does not go on")


def outcome(trained: Trained) -> dict[str, Any]:
    """All but times."""
    curve = trained.curve
    return {
        "weights": digest(trained.model),
        "partner": None if trained.partner is None else digest(trained.partner),
        "steps": trained.steps,
        "losses": (trained.loss, trained.distillation),
        "curve": (curve.steps, curve.loss, curve.validation),
        "fitted": trained.fitted,
        "failure": None if trained.failure is None else trained.failure[0],
    }


@pytest.mark.parametrize("name", TASK_NAMES)
def test_students_of_all_methods_go_on_to_the_bit(task_of: TaskOf, name: str) -> None:
    task = task_of(name)
    methods, teachers = methods_of(task), teachers_of(task)
    whole = train_students(task, teachers, methods, seed=3)
    parts = interrupted(lambda c: train_students(task, teachers, methods, seed=3, checkpoint=c), times=1)
    assert {m: outcome(trained) for m, trained in parts.items()} == {m: outcome(t) for m, t in whole.items()}


@pytest.mark.parametrize("name", TRANSFER)
def test_students_with_a_transfer_set_go_on_to_the_bit(transfer_task_of: TaskOf, name: str) -> None:
    task = transfer_task_of(name)
    methods, teachers = methods_of(task), teachers_of(task)
    whole = train_students(task, teachers, methods, seed=3)
    parts = interrupted(lambda c: train_students(task, teachers, methods, seed=3, checkpoint=c), times=2)
    assert {m: outcome(trained) for m, trained in parts.items()} == {m: outcome(t) for m, t in whole.items()}


@pytest.mark.parametrize("train", [train_teacher, train_self_teacher])
def test_teachers_go_on_to_the_bit(task_of: TaskOf, train: Callable[..., Trained]) -> None:
    for name in ("gan", "classification"):
        task = task_of(name)
        whole = train(task, 5)
        parts = interrupted(lambda c, task=task: train(task, 5, checkpoint=c), times=1)
        assert outcome(parts) == outcome(whole)


def test_seconds_and_examples_are_those_of_the_whole_training(task_of: TaskOf) -> None:
    task = task_of("classification")
    checkpoint = Interrupting(after=2)
    with pytest.raises(KeyboardInterrupt):
        train_teacher(task, 5, checkpoint=checkpoint)
    kept = torch.load(io.BytesIO(checkpoint.file), weights_only=True)
    learner = kept["learners"][""]
    learner["seconds"] += 1000.0
    stream = io.BytesIO()
    torch.save(kept, stream)
    trained = train_teacher(task, 5, checkpoint=Interrupting(10**6, stream.getvalue()))
    assert 1000 < trained.seconds < 1100
    assert trained.images_per_second == pytest.approx(trained.steps * task.settings.batch_size / trained.seconds)


def test_a_partner_that_leads_goes_on_to_the_bit(task_of: TaskOf) -> None:
    """A teacher whose recipe is longer than the student's, with and without feedback."""
    task = task_of("classification")
    teacher = task.settings.recipe("teacher")
    longer = type(task)(task.settings.model_copy(update={"teacher": teacher.model_copy(update={"steps": 19})}))
    methods = {"one": CrossModel(), "other": CrossModel(weight=0.5), "mutual": CrossModel(mutual=True)}
    whole = train_students(longer, teachers_of(longer), methods, seed=1)
    parts = interrupted(lambda c: train_students(longer, teachers_of(longer), methods, seed=1, checkpoint=c), times=2)
    assert {m: outcome(trained) for m, trained in parts.items()} == {m: outcome(t) for m, t in whole.items()}


def test_a_file_of_another_training_or_a_damaged_one_is_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "job.pt"
    first = FileCheckpoint(path, "first", every=0.0)
    assert first.load() is None
    assert first.due()
    first.keep({"step": 7, "tensor": torch.arange(3)})
    kept = FileCheckpoint(path, "first").load()
    assert kept is not None
    assert kept["step"] == 7
    assert torch.equal(kept["tensor"], torch.arange(3))
    assert not FileCheckpoint(path, "first").due(), "not before its time"
    assert FileCheckpoint(path, "second").load() is None
    path.write_bytes(path.read_bytes()[:-20])
    assert FileCheckpoint(path, "first").load() is None
    checkpoints.remove(path)
    assert not path.parent.exists()
