"""What a recipe says of optimisation against torch's own optimisers and schedulers, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR, SequentialLR

from distillbench.bench.suite.resolve import as_table, load
from distillbench.bench.training.batches import IndexBatches
from distillbench.bench.training.learner import Learner, forward_pass, losses
from distillbench.bench.training.loop import initial, train
from distillbench.bench.training.optimisation import rate_factor
from distillbench.bench.training.seeds import derive
from distillbench.common.errors import UserError
from distillbench.methods.mimic import Mimic
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Recipe, Task, read_only
from support.tasks import TASK_NAMES

TaskOf = Callable[[str], Task]
STEPS = 200


def schedule_of(recipe: Recipe, optimiser: torch.optim.Optimizer, steps: int = STEPS) -> LRScheduler:
    """The same as torch has it, built from its own parts."""
    warmup = round(recipe.warmup * steps)
    milestones = [round(milestone * steps) - warmup for milestone in recipe.milestones]
    after: LRScheduler = {
        "cosine": lambda: CosineAnnealingLR(optimiser, steps - warmup),
        "step": lambda: MultiStepLR(optimiser, milestones, recipe.gamma),
        "constant": lambda: ConstantLR(optimiser, 1.0, 0),
    }[recipe.schedule]()
    if warmup == 0:
        return after
    rise = LinearLR(optimiser, 1 / warmup, 1.0, warmup)
    return SequentialLR(optimiser, [rise, after], [warmup])


RECIPES: dict[str, dict[str, Any]] = {
    "adam, cosine": {},
    "adamw": {"weight_decay": 0.1, "betas": (0.5, 0.9)},
    "sgd": {"optimiser": "sgd", "learning_rate": 0.05, "schedule": "constant"},
    "sgd of the CIFAR papers": {
        **{"optimiser": "sgd", "learning_rate": 0.05, "nesterov": True, "weight_decay": 5e-4},
        **{"schedule": "step", "milestones": (0.625, 0.75, 0.875), "gamma": 0.1},
    },
    "warm-up": {"warmup": 0.1, "optimiser": "sgd", "momentum": 0.0, "learning_rate": 0.1},
    "warm-up, steps": {"warmup": 0.05, "schedule": "step", "milestones": (0.5,), "gamma": 0.3},
}


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_training_is_torchs_own_over_200_steps(task_of: TaskOf, changes: dict[str, Any]) -> None:
    """A plain loop with torch's unfused optimisers and its schedulers: the same rates, and the same weights."""
    task = task_of("classification")
    recipe = task.settings.recipe("student").model_copy(update={"learning_rate": 2e-3, **changes, "steps": STEPS})
    learner = Learner(task, initial(task, "student", 0), recipe, STEPS, Scratch())
    rates: list[float] = []

    def note(step: int, steps: int) -> None:
        rates.append(next(iter(learner.optimisers.values())).param_groups[0]["lr"])

    train(task, [learner], "student", STEPS, seed=0, report=note)
    assert learner.failure is None

    model = initial(task, "student", 0).train()
    optimiser: torch.optim.Optimizer
    if recipe.optimiser == "adam":
        optimiser = torch.optim.AdamW(
            model.parameters(),
            recipe.learning_rate,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            foreach=False,
        )
    else:
        optimiser = torch.optim.SGD(
            model.parameters(),
            recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            foreach=False,
        )
    schedule = schedule_of(recipe, optimiser)
    rng = torch.Generator().manual_seed(derive("batches", 0))
    batches = IndexBatches(task.examples("train"), task.settings.batch_size, rng)
    its_rates = []
    for _ in range(STEPS):
        inputs = task.shared_inputs(next(batches), rng, augment=recipe.augment)
        loss = nn.functional.cross_entropy(model(inputs["images"]), inputs["labels"])
        optimiser.zero_grad()
        loss.backward()
        its_rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    expected_rates = its_rates[::20] + its_rates[-1:]  # a report comes every 20 steps
    assert rates == pytest.approx(expected_rates, rel=1e-9, abs=1e-12)
    start = initial(task, "student", 0)
    for trained, expected, before in zip(
        learner.model.parameters(), model.parameters(), start.parameters(), strict=True
    ):
        assert (trained - before).norm() > 0.01 * before.norm()
        assert (trained - expected).norm() < 1e-3 * (expected - before).norm()


@settings(max_examples=60)
@given(
    steps=st.integers(2, 300),
    schedule=st.sampled_from(["cosine", "step", "constant"]),
    warmup=st.floats(0, 0.5),
    milestones=st.lists(st.floats(0.55, 0.95), min_size=1, max_size=3, unique=True).map(sorted),
    gamma=st.floats(0.05, 1),
)
def test_any_schedule_is_torchs(
    steps: int, schedule: str, warmup: float, milestones: list[float], gamma: float
) -> None:
    recipe = Recipe.model_validate(
        {"schedule": schedule, "warmup": warmup, "milestones": milestones, "gamma": gamma, "learning_rate": 1.0}
    )
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    torchs = schedule_of(recipe, optimiser, steps)
    for step in range(steps):
        assert rate_factor(recipe, step, steps) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-6, abs=1e-9)
        optimiser.step()
        torchs.step()


def test_epochs_are_so_many_passes(task_of: TaskOf) -> None:
    task = task_of("classification")
    (pair,) = load({"tasks": {"classification": {"student": {"epochs": 3}, "batch_size": 64}}}).entries
    its = type(task)(pair.pair.settings)
    assert its.settings.recipe("student").steps is None
    assert its.steps("student") == -(-3 * its.examples("train") // 64)
    assert its.steps("teacher") == its.settings.teacher.steps  # type: ignore[attr-defined]


def test_epochs_take_the_place_of_steps_and_the_other_way_round() -> None:
    def student(**table: Any) -> Recipe:
        (entry,) = load({"tasks": {"classification": {"student": table}}}).entries
        return entry.pair.settings.recipe("student")

    assert (student(epochs=2).steps, student(epochs=2).epochs) == (None, 2)
    assert (student(steps=7).steps, student(steps=7).epochs) == (7, None)
    whole = {"steps": 9, "tasks": {"classification": {}}}
    (entry,) = load(whole, ["tasks.classification.teacher.epochs=2"]).entries
    assert entry.pair.settings.recipe("teacher").epochs == 2
    assert entry.pair.settings.recipe("student").steps == 9
    with pytest.raises(UserError, match=r"student.steps: has no effect: epochs take their place"):
        student(steps=7, epochs=2)


@pytest.mark.parametrize("teacher", [{"epochs": 2.5}, {"steps": 4}, {}])
def test_a_suite_with_epochs_written_out_is_the_same_suite(teacher: dict[str, Any]) -> None:
    suite = load({"name": "its", "tasks": {"classification": {"student": {"epochs": 2}, "teacher": teacher}}})
    again = load(as_table(suite))
    assert [cell.hash for cell in again.cells] == [cell.hash for cell in suite.cells]


def test_label_smoothing_is_of_the_role_that_sets_it(task_of: TaskOf) -> None:
    task = task_of("classification")
    recipe = task.settings.recipe("student").model_copy(update={"label_smoothing": 0.2})
    inputs = task.shared_inputs(range(8), torch.Generator().manual_seed(0))
    outputs = task.forward(initial(task, "student", 0), inputs)
    smooth, plain = (task.loss(nn.Identity(), inputs, outputs, r) for r in (recipe, None))
    log_p = outputs["logits"].log_softmax(1)
    assert smooth.item() == pytest.approx((0.8 * plain - 0.2 * log_p.mean()).item(), rel=1e-5)


def test_mixed_precision_computes_in_bfloat16_and_compares_in_float32(
    task_of: TaskOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of("classification")
    dtypes: set[torch.dtype] = set()
    compared: set[torch.dtype] = set()
    losses = {}

    def responses(*arguments: Any) -> Any:
        responses = type(task).responses(task, *arguments)
        compared.update(response.values.dtype for response in responses.values())
        return responses

    monkeypatch.setattr(task, "responses", responses)
    teacher = read_only(initial(task, "teacher", 0))
    for precision in ("float32", "bfloat16"):
        recipe = task.settings.recipe("student").model_copy(update={"precision": precision, "steps": 40})
        method = Mimic(weight=0.01)
        learner = Learner(
            task, initial(task, "student", 0), recipe, 40, method, teacher=teacher, distil=method.distillation_loss
        )
        hook = learner.model.register_forward_hook(lambda module, inputs, output: dtypes.add(output.dtype))
        train(task, [learner], "student", 40, seed=0)
        hook.remove()
        assert learner.failure is None
        assert {p.dtype for p in learner.model.parameters()} == {torch.float32}
        losses[precision] = learner.result().loss
    assert torch.bfloat16 in dtypes
    assert compared == {torch.float32}, "a small divergence is a difference of large numbers"
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_mixed_precision_is_of_every_trained_part_and_what_comes_out_is_float32(task_of: TaskOf, name: str) -> None:
    """A GAN's discriminator is most of its work, and sees its batches in its loss."""
    task = task_of(name)
    recipe = task.settings.recipe("student").model_copy(update={"precision": "bfloat16"})
    model = initial(task, "student", 0).train()
    parts = {"deployed": task.deployed(model), **task.adversaries(model)}
    computed: dict[str, set[torch.dtype]] = {part: set() for part in parts}
    for part, network in parts.items():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                layer.register_forward_hook(lambda *seen, part=part: computed[part].add(seen[2].dtype))
    inputs = task.shared_inputs(range(2), torch.Generator().manual_seed(0))
    outputs = forward_pass(task, model, inputs, recipe)
    scalars = losses(task, model, inputs, outputs, recipe)
    assert computed == {part: {torch.bfloat16} for part in computed}
    assert {loss.dtype for loss in scalars} == {torch.float32}
    responses = task.responses(outputs, inputs, read_only(initial(task, "teacher", 0)))
    assert {response.values.dtype for response in responses.values()} == {torch.float32}


BAD: dict[str, Callable[[], Any]] = {
    "unknown optimiser": lambda: {"optimiser": "adamw"},
    "nesterov without momentum": lambda: {"optimiser": "sgd", "nesterov": True, "momentum": 0},
    "milestone out of the training": lambda: {"schedule": "step", "milestones": [0.5, 1.5]},
    "no steps": lambda: {"epochs": 0},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_a_wrong_recipe_is_refused_in_one_line(changes: Callable[[], Any]) -> None:
    with pytest.raises(UserError) as error:
        load({"tasks": {"classification": {"student": changes()}}})
    assert str(error.value).startswith("suite: tasks.classification.student")
    assert "\n" not in str(error.value)
