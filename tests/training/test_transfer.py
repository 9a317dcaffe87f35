"""Students with a transfer set: who sees it, who does not, and that nobody's batches or draws depend on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from distillbench.bench.store.weights import digest
from distillbench.bench.training import contract
from distillbench.bench.training.learner import Trained
from distillbench.bench.training.loop import train_self_teacher, train_students, train_teacher
from distillbench.bench.training.sharing import Batch
from distillbench.common.errors import UserError
from distillbench.methods.base import Method
from distillbench.methods.cross_model import CrossModel
from distillbench.methods.mimic import Mimic
from distillbench.methods.scratch import Scratch
from distillbench.methods.temperature import Temperature
from distillbench.tasks.base import Inputs, Outputs, Recipe, Split, Task
from distillbench.tasks.response import Responses
from support.tasks import TASK_NAMES, TRANSFER, methods_of, teachers_of

TaskOf = Callable[[str], Task]
ALONE = {"scratch", "scratch_long", "label_smoothing"}
"""Methods that have no teacher."""
Drawn = list[tuple[Split, Inputs]]


@pytest.fixture(params=TRANSFER)
def task(request: pytest.FixtureRequest, transfer_task_of: TaskOf) -> Task:
    return transfer_task_of(request.param)


def without_transfer(task: Task) -> Task:
    other = type(task)(task.settings)
    other.feature_extractor = task.feature_extractor
    other.settings = task.settings.model_copy(update={"transfer": None, "transfer_batch": None})
    other.__dict__["splits"] = replace(task.splits, transfer=None)
    return other


def weights(trained: Trained) -> str:
    assert trained.failure is None, trained.failure
    return digest(trained.model)


def test_who_has_a_teacher_learns_from_the_transfer_set_and_nobody_else(task: Task) -> None:
    methods, teachers = methods_of(task), teachers_of(task)
    with_set, without = (train_students(each, teachers, methods, seed=3) for each in (task, without_transfer(task)))
    for name in methods:
        assert (weights(with_set[name]) == weights(without[name])) == (name in ALONE), name


def test_alone_and_in_a_group_are_equal_to_the_bit(task: Task) -> None:
    methods, teachers = methods_of(task), teachers_of(task)
    group = train_students(task, teachers, methods, seed=3)
    for name, method in methods.items():
        assert weights(train_students(task, teachers, {name: method}, seed=3)[name]) == weights(group[name]), name


def drawn(task: Task, methods: dict[str, Method], monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The batches of a training, each once."""
    batches: Drawn = []
    original = task.shared_inputs

    def shared_inputs(
        indices: list[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        batches.append((split, original(indices, rng, augment, split)))
        return batches[-1][1]

    with monkeypatch.context() as patch:
        patch.setattr(task, "shared_inputs", shared_inputs)
        patch.setattr(type(task), "validation_metric", lambda *_: None)
        train_students(task, teachers_of(task), methods, seed=3)
    return batches


def test_labelled_batches_are_the_same_with_and_without(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = drawn(task, {"scratch": Scratch(), "mimic": Mimic()}, monkeypatch)
    plain = drawn(without_transfer(task), {"scratch": Scratch(), "mimic": Mimic()}, monkeypatch)
    rows = task.settings.transfer_rows
    assert [split for split, _ in plain] == ["train"] * task.steps("student")
    assert [split for split, _ in ours] == ["train", "transfer"] * task.steps("student")
    assert {len(next(iter(inputs.values()))) for split, inputs in ours if split == "transfer"} == {rows}
    labelled = [inputs for split, inputs in ours if split == "train"]
    for batch, expected in zip(labelled, (inputs for _, inputs in plain), strict=True):
        assert batch.keys() == expected.keys()
        assert all(torch.equal(batch[name], expected[name]) for name in batch)


def test_a_group_without_a_teacher_draws_none(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {split for split, _ in drawn(task, {"scratch": Scratch()}, monkeypatch)} == {"train"}


class Rows(Mimic):
    """Notes how many rows it compares."""

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        ROWS.append({len(response.values) for each in (student, teacher) for response in each.values()})
        return super().distillation_loss(student, teacher)


ROWS: list[set[int]] = []


def test_the_objective_sees_labelled_rows_and_the_distillation_loss_all(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[int]] = []
    original = task.loss

    def loss(model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Recipe, progress: float) -> Tensor:
        seen.append({len(value) for each in (inputs, outputs) for value in each.values()})
        return original(model, inputs, outputs, recipe, progress)

    monkeypatch.setattr(task, "loss", loss)
    monkeypatch.setattr(type(task), "validation_metric", lambda *_: None)
    ROWS.clear()
    trained = train_students(task, teachers_of(task), {"rows": Rows(), "scratch": Scratch()}, seed=3)
    assert [student.failure for student in trained.values()] == [None, None]
    labelled, steps = task.settings.batch_size, task.steps("student")
    assert seen == [{labelled}] * 2 * steps
    assert [{labelled + task.settings.transfer_rows}] * steps == ROWS


def test_the_objective_does_not_reach_the_transfer_rows_of_one_pass() -> None:
    """The pass is over all rows at once, and outputs in tables of outputs are cut as well."""
    batch = Batch({"x": torch.zeros(2, 3), "y": torch.zeros(2)}, {"x": torch.ones(5, 3), "z": torch.ones(5)})
    assert batch.whole.keys() == {"x"}
    assert batch.whole["x"].flatten(1).any(1).tolist() == [False] * 2 + [True] * 5
    outputs = {"a": batch.whole["x"], "b": {"c": batch.whole["x"]}}
    cut = batch.supervised_rows(outputs)
    assert torch.equal(cut["a"], batch.supervised["x"])
    assert torch.equal(cut["b"]["c"], batch.supervised["x"])
    alone = Batch(batch.supervised)
    assert alone.whole is batch.supervised
    assert alone.supervised_rows(outputs) is outputs


def test_teachers_that_learn_from_ground_truth_alone_are_the_same_with_a_transfer_set(task: Task) -> None:
    other, learns = without_transfer(task), "transfer" in task.settings.teacher_splits
    assert weights(train_self_teacher(task, 1)) == weights(train_self_teacher(other, 1))
    assert (weights(train_teacher(task, 1)) == weights(train_teacher(other, 1))) != learns


# -- a teacher that a method trains --------------------------------------------------------------------------------


@pytest.mark.parametrize("transfer", [False, True])
@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_teacher_beside_its_student_is_the_teacher_trained_alone(
    name: str, transfer: bool, task_of: TaskOf, transfer_task_of: TaskOf
) -> None:
    task = (transfer_task_of if transfer else task_of)(name)
    assert task.steps("teacher") > task.steps("student")
    methods = {"c": CrossModel(), "t": Temperature(), "mutual": CrossModel(mutual=True)}
    students = train_students(task, teachers_of(task), methods, seed=3)
    expected = digest(train_teacher(task, 3).model)
    assert students["c"].partner is not None
    assert students["mutual"].partner is not None
    assert digest(students["c"].partner) == expected
    assert digest(students["mutual"].partner) != expected


def test_a_teacher_of_a_shorter_recipe_is_trained_for_as_long_as_its_student(task_of: TaskOf) -> None:
    task = type(task_of("classification"))(
        task_of("classification").settings.model_copy(
            update={"teacher": task_of("classification").settings.recipe("teacher").model_copy(update={"steps": 1})}
        )
    )
    trained = train_students(task, teachers_of(task), {"c": CrossModel()}, seed=3)["c"]
    longer = type(task)(
        task.settings.model_copy(
            update={"teacher": task.settings.recipe("teacher").model_copy(update={"steps": task.steps("student")})}
        )
    )
    assert trained.partner is not None
    assert digest(trained.partner) == digest(train_teacher(longer, 3).model)


# -- what is checked before a run ----------------------------------------------------------------------------------


class AtMost(nn.Module):
    """Takes batches up to a size, as a network does that reshapes by it."""

    def __init__(self, network: nn.Module, most: int) -> None:
        super().__init__()
        self.network, self.most = network, most

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.most:
            raise ValueError(f"{len(images)} are too many")
        out: Tensor = self.network(images)
        return out


def test_a_student_is_tried_on_a_batch_with_its_rows_of_the_transfer_set(
    transfer_task_of: TaskOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = transfer_task_of("classification")
    labelled, rows = task.settings.batch_size, task.settings.transfer_rows
    drawn_network = type(task).network
    monkeypatch.setattr(type(task), "network", lambda self, role: AtMost(drawn_network(self, role), labelled))
    contract.build(task, "teacher")
    with pytest.raises(
        UserError, match=rf"student\.network: cannot be trained: a step on a batch of {labelled + rows} f"
    ):
        contract.build(task, "student")
    contract.build(without_transfer(task), "student")
