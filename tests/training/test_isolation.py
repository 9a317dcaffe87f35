"""What a student becomes does not depend on who trains beside it, whatever a network or a method writes to or draws."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distillbench.bench.store.weights import digest
from distillbench.bench.training.learner import Partner, Trained
from distillbench.bench.training.loop import initial, train_students
from distillbench.methods.base import Distillation, Method
from distillbench.methods.cross_model import CrossModel
from distillbench.methods.mimic import Mimic
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Task, read_only
from distillbench.tasks.response import Events, Responses

TaskOf = Callable[[str], Task]


def train(task: Task, methods: Mapping[str, Method], teacher: nn.Module | None = None) -> dict[str, Trained]:
    return train_students(task, {"trained": teacher or read_only(initial(task, "teacher", 0))}, methods, seed=3)


def weights(trained: Trained) -> str:
    assert trained.failure is None, trained.failure
    return digest(trained.model)


def failure(trained: Trained) -> str:
    assert trained.failure is not None
    return trained.failure[0]


class InPlace(nn.Module):
    """Normalises its input in place."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.network(images.sub_(0.5).div_(0.25))
        return out


class WritesToTeacher(Method):
    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        teacher["logits"].values.mul_(0.25)
        return teacher["logits"].mse(student["logits"])


class WritesAndRaises(Method):
    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        teacher["logits"].values.zero_()
        raise ValueError("after the deed")


class WritesToEvents(Method):
    def prepare(self, events: Callable[[], Mapping[str, Events]]) -> Distillation:
        events()["logits"].outcomes.zero_()
        return self.distillation_loss

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        return teacher["logits"].mse(student["logits"])


@pytest.mark.parametrize("method", [WritesToTeacher(), WritesAndRaises()])
def test_a_method_that_writes_to_the_teachers_responses_fails_alone(task_of: TaskOf, method: Method) -> None:
    task = task_of("classification")
    group = train(task, {"before": Mimic(), "writes": method, "after": Mimic(), "scratch": Scratch()})
    assert "the method writes to the teacher's response 'logits' in place" in failure(group["writes"])
    alone = train(task, {"after": Mimic()})["after"]
    assert weights(group["before"]) == weights(group["after"]) == weights(alone)


def test_a_method_that_writes_to_validation_events_changes_no_other(task_of: TaskOf) -> None:
    from distillbench.methods.logistic import Logistic

    task = task_of("classification")
    group = train(task, {"writes": WritesToEvents(), "logistic": Logistic()})
    assert weights(group["logistic"]) == weights(train(task, {"logistic": Logistic()})["logistic"])


def test_a_student_that_writes_to_its_input_fails_alone(task_of: TaskOf, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of("classification")
    alone = train(task, {"mimic": Mimic()})["mimic"]
    drawn = type(task).network
    students: list[nn.Module] = []

    def network(self: Task, role: str) -> nn.Module:
        model: nn.Module = drawn(self, role)  # type: ignore[arg-type]
        if role == "student":
            students.append(model)
        return InPlace(model) if role == "student" and len(students) == 1 else model

    monkeypatch.setattr(type(task), "network", network)
    group = train(task, {"writes": Scratch(), "mimic": Mimic()})
    assert "the network writes to its input 'images' in place" in failure(group["writes"])
    assert weights(group["mimic"]) == weights(alone)


def test_a_teacher_that_writes_to_its_input_fails_those_who_look_at_it(task_of: TaskOf) -> None:
    task = task_of("classification")
    teacher = read_only(InPlace(initial(task, "teacher", 0)))
    group = train(task, {"mimic": Mimic(), "scratch": Scratch()}, teacher)
    assert "the teacher writes to its input 'images' in place" in failure(group["mimic"])
    assert weights(group["scratch"]) == weights(train(task, {"scratch": Scratch()})["scratch"])


class WritesToOwnTeacher(CrossModel):
    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        teacher["logits"].values.mul_(0.25)
        return super().distillation_loss(student, teacher)


def test_students_that_do_not_feed_back_share_the_teacher_that_their_methods_train(
    task_of: TaskOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit as if each had its own, also where one drops out on the way; and its steps are taken once."""
    task = task_of("classification")
    methods = {"weak": CrossModel(weight=0.1), "strong": CrossModel(weight=5.0), "mutual": CrossModel(mutual=True)}
    alone = {name: train(task, {name: method})[name] for name, method in methods.items()}
    steps: list[int] = []
    advance = Partner.advance

    def counted(self: Partner, feedback: Any = None) -> None:
        steps.append(id(self))
        advance(self, feedback)

    monkeypatch.setattr(Partner, "advance", counted)
    group = train(task, {"writes": WritesToOwnTeacher(), **methods, "scratch": Scratch()})
    assert "the method writes to the teacher's response 'logits' in place" in failure(group["writes"])
    for name, student in alone.items():
        assert weights(group[name]) == weights(student), name
        assert student.partner is not None
        assert group[name].partner is not None
        assert digest(group[name].partner) == digest(student.partner)  # type: ignore[arg-type]
    assert group["weak"].partner is group["strong"].partner is not group["mutual"].partner
    assert sorted(Counter(steps).values()) == [max(task.steps("teacher"), task.steps("student"))] * 2


def test_a_shared_teacher_in_training_that_fails_fails_those_who_compare_with_it_alone(
    task_of: TaskOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of("classification")
    alone = {name: train(task, {name: method})[name] for name, method in {"s": Scratch(), "m": Mimic()}.items()}
    monkeypatch.setattr(Partner, "answer", lambda self, inputs: 1 / 0)
    group = train(task, {"first": CrossModel(), "s": Scratch(), "m": Mimic(), "second": CrossModel(weight=2.0)})
    assert failure(group["first"]) == failure(group["second"]) == "ZeroDivisionError: division by zero"
    assert {name: weights(group[name]) for name in alone} == {name: weights(student) for name, student in alone.items()}


class Inference(nn.Module):
    """Computes in torch.inference_mode, as networks for deployment do."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        with torch.inference_mode():
            out: Tensor = self.network(images)
        return out


def test_a_teacher_in_inference_mode_trains_students_as_any_teacher_does(task_of: TaskOf) -> None:
    from distillbench.methods.logistic import Logistic
    from distillbench.methods.temperature import Temperature

    task = task_of("classification")
    methods = {"mimic": Mimic(), "temperature": Temperature(), "logistic": Logistic()}
    teacher = read_only(initial(task, "teacher", 0))
    students = train(task, methods, teacher)
    inference = train(task, methods, Inference(teacher))
    assert [weights(student) for student in inference.values()] == [weights(student) for student in students.values()]


class Draws(Method):
    """Draws from every global generator, when it is prepared and at each step."""

    def prepare(self, events: Callable[[], Mapping[str, Events]]) -> Distillation:
        mask = torch.rand(10) + float(np.random.rand()) + random.random()

        def distil(student: Responses, teacher: Responses) -> Tensor:
            factor = float(np.random.rand()) + random.random() + torch.rand(())
            return factor * (mask * (student["logits"].values - teacher["logits"].values)).square().mean()

        return distil


def test_who_draws_from_a_global_generator_draws_the_same_alone_and_in_a_group(task_of: TaskOf) -> None:
    task = task_of("classification")
    alone = train(task, {"draws": Draws()})["draws"]
    np.random.seed(1)
    random.seed(1)
    group = train(task, {"before": Draws(), "scratch": Scratch(), "draws": Draws()})
    assert weights(alone) == weights(group["draws"]) == weights(group["before"])


def test_initial_weights_may_be_drawn_from_any_generator_and_leave_it_as_it_was(
    task_of: TaskOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of("classification")

    def network(self: Task, role: str) -> nn.Module:
        layer = nn.Linear(64, 10)
        nn.init.constant_(layer.weight, float(np.random.rand()) + random.random())
        return nn.Sequential(nn.Flatten(), layer)

    monkeypatch.setattr(type(task), "network", network)
    np.random.seed(5)
    random.seed(5)
    expected = np.random.RandomState(5).rand(), random.Random(5).random()
    first, again, different = (digest(initial(task, "student", seed)) for seed in (0, 0, 1))
    assert first == again != different
    assert (np.random.rand(), random.random()) == expected
