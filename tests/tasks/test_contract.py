"""What a task declares holds: which metrics look at the deployed network alone, and a network of no recipe."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from distillbench.bench.suite.catalogue import settings
from distillbench.bench.suite.validation import place_in, validate
from distillbench.bench.training import contract
from distillbench.bench.training.loop import initial
from distillbench.common.errors import UserError
from distillbench.tasks.base import Recipe, Role, Task, TaskSettings, read_only
from distillbench.tasks.classification import Classification
from support.tasks import TASK_NAMES

Output = Callable[[Tensor], Tensor]


def noise(output: Tensor) -> Tensor:
    return torch.rand(output.shape, generator=torch.Generator().manual_seed(0))


def metrics_with(task: Task, model: nn.Module, teacher: nn.Module, output: Output) -> dict[str, float]:
    """The metrics of a model whose deployed network puts out something else."""
    handle = task.deployed(model).register_forward_hook(lambda module, inputs, original: output(original))
    try:
        return task.evaluate(model, teacher).metrics
    finally:
        handle.remove()


@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_metric_is_of_the_deployed_network_if_and_only_if_it_depends_on_its_output(
    name: str, task_of: Callable[[str], Task]
) -> None:
    task = task_of(name)
    model, teacher = (read_only(initial(task, role, 0)) for role in ("student", "teacher"))
    metrics = task.evaluate(model, teacher).metrics
    blank = [metrics_with(task, model, teacher, output) for output in (torch.zeros_like, noise)]
    dependent = {metric for metric in metrics if any(values[metric] != metrics[metric] for values in blank)}
    assert dependent == {metric for metric in metrics if task.metrics[metric].deployed}


class PlainSettings(TaskSettings):
    """Settings of a task whose recipes declare no network."""

    labels: int | None = None
    flips: bool = False
    train_on_validation: bool = False
    teacher: Recipe = Recipe(steps=2)
    student: Recipe = Recipe(steps=2)


class Plain(Classification):
    """Classification by a network that the task builds itself."""

    Settings = PlainSettings

    def network(self, role: Role) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def test_a_task_may_build_a_network_that_no_recipe_declares() -> None:
    task = Plain(PlainSettings())
    task.load("student")
    model = contract.build(task, "student")
    assert task.deployed(model) is model
    assert not task.adversaries(model)
    assert not task.settings.pretrained
    assert "network" not in PlainSettings().model_dump()["student"]
    assert not [row for row in settings(PlainSettings, PlainSettings()) if "network" in row.name]


def test_a_network_that_no_recipe_declares_cannot_be_set() -> None:
    with pytest.raises(UserError, match=r"student\.network: this task has no network to set"):
        validate(PlainSettings, {"student": {"network": {"name": "cnn"}}}, place_in("suite"))


def test_a_task_without_any_network_says_what_it_must_define() -> None:
    task = Plain(PlainSettings())
    with pytest.raises(NotImplementedError, match="must build its own"):
        Task.network(task, "student")
