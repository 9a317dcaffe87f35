"""Equal seeds give equal bits, alone or in a group; what fails takes nothing with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distillbench.bench.store.weights import digest
from distillbench.bench.training.batches import IndexBatches
from distillbench.bench.training.loop import initial, train_students, train_teacher
from distillbench.methods.base import Method
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Task, read_only
from distillbench.tasks.response import Responses
from support.tasks import TASK_NAMES, methods_of, teachers_of

TaskOf = Callable[[str], Task]


@pytest.mark.parametrize("name", TASK_NAMES)
def test_alone_and_in_a_group_are_equal_to_the_bit(task_of: TaskOf, name: str) -> None:
    task = task_of(name)
    teachers, methods = teachers_of(task), methods_of(task)
    group = train_students(task, teachers, methods, seed=3)
    for method in methods:
        alone = train_students(task, teachers, {method: methods[method]}, seed=3)[method]
        assert digest(alone.model) == digest(group[method].model), method
    assert len({digest(trained.model) for trained in group.values()}) == len(methods)


def test_seeds_differ_and_start_from_equal_weights_per_seed(task_of: TaskOf) -> None:
    task = task_of("classification")
    assert digest(initial(task, "student", 0)) == digest(initial(task, "student", 0))
    assert digest(initial(task, "student", 0)) != digest(initial(task, "student", 1))
    teacher = read_only(initial(task, "teacher", 0))
    first, second = (train_students(task, {"trained": teacher}, {"s": Scratch()}, seed)["s"].model for seed in (0, 1))
    assert digest(first) != digest(second)


@pytest.mark.parametrize("name", ["classification", "gan"])
def test_teachers_are_reproducible(task_of: TaskOf, name: str) -> None:
    task = task_of(name)
    assert digest(train_teacher(task, 0).model) == digest(train_teacher(task, 0).model)


class Raises(Method):
    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        raise ValueError("no\nsuch   thing")


class NotFinite(Method):
    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        return torch.tensor(float("nan")) * next(iter(student.values())).values.mean()


def test_a_learner_that_fails_drops_out_and_changes_nothing_for_the_others(task_of: TaskOf) -> None:
    task = task_of("classification")
    teacher = read_only(initial(task, "teacher", 0))
    trained = train_students(
        task, {"trained": teacher}, {"bad": Raises(), "scratch": Scratch(), "nan": NotFinite()}, seed=3
    )
    alone = train_students(task, {"trained": teacher}, {"scratch": Scratch()}, seed=3)["scratch"]
    assert trained["bad"].failure is not None
    assert trained["bad"].failure[0] == "ValueError: no such thing"
    assert trained["nan"].failure is not None
    assert "the loss was nan at step 0" in trained["nan"].failure[0]
    assert trained["scratch"].failure is None
    assert digest(trained["scratch"].model) == digest(alone.model)


class Lacks(Method):
    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_memory_that_lacks_is_no_failure_of_one_learner(task_of: TaskOf) -> None:
    """It may be the other learners that have it all: the job is tried once more by its parts."""
    task = task_of("classification")
    with pytest.raises(torch.OutOfMemoryError):
        train_students(task, teachers_of(task), {"scratch": Scratch(), "lacks": Lacks()}, seed=3)


@pytest.mark.parametrize(("examples", "size"), [(10, 3), (3, 8), (1, 4)])
def test_batches_pass_over_all_items_before_any_comes_again(examples: int, size: int) -> None:
    batches = IndexBatches(examples, size, torch.Generator().manual_seed(0))
    stream = [i for _ in range(examples) for i in next(batches)]
    for start in range(0, len(stream) - examples + 1, examples):
        assert sorted(stream[start : start + examples]) == list(range(examples))


def test_the_learning_rate_decays_to_zero(task_of: TaskOf) -> None:
    """The last steps hardly move the weights: a longer run is not the same run cut short."""
    task = task_of("classification")
    model = initial(task, "student", 0)
    from distillbench.bench.training.learner import Learner
    from distillbench.bench.training.loop import train

    recipe = task.settings.recipe("student").model_copy(update={"steps": 10})
    learner = Learner(task, model, recipe, 10, Scratch())
    train(task, [learner], "student", 10, seed=0)
    rates = [group["lr"] for optimiser in learner.optimisers.values() for group in optimiser.param_groups]
    assert all(rate < 0.05 * recipe.learning_rate for rate in rates)
