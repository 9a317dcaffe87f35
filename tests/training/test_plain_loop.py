"""The harness trains what a plain loop trains, in every cell: weights, buffers and losses after twenty steps."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.registry import METHODS
from distillbench.bench.suite.resolve import load
from distillbench.bench.training.learner import Trained
from distillbench.bench.training.loop import train_self_teacher, train_students, train_teacher, validation_events
from distillbench.methods import logistic
from distillbench.methods.base import Teacher
from distillbench.tasks.base import Inputs, Role, Split, Task, read_only
from distillbench.tasks.networks.cnn import CNN
from distillbench.tasks.networks.conv import Conv
from support import plain_cells, plain_loop
from support.plain_loop import CELLS, Cell, Plan, Readout, Run
from support.tasks import TASK_NAMES, TRANSFER, overrides

STEPS, LONGER, BATCH_SIZE, TRANSFER_BATCH, SEED = 12, 3, 4, 3, 3
"""LONGER: steps by which a teacher's training is longer."""
SINGLE_PRECISION_STEPS = 3
TOLERANCE = 1e-9
"""On every weight and buffer, in double precision; a mistake moves them by a learning rate, a million times as far."""
PLANS = {
    "scratch": Plan(weight=0.0),
    "scratch_tuned": Plan(weight=0.0, rate_factor=2.5, weight_decay=0.07),
    "scratch_long": Plan("scratch_long", weight=0.0),
    "label_smoothing": Plan("label_smoothing", weight=0.3),
    "hard_labels": Plan("hard_labels", weight=0.5),
    "mimic": Plan("mimic", weight=0.5),
    "mimic_linear": Plan("mimic", weight=0.5, weight_schedule="linear"),
    "mimic_alone": Plan("mimic", weight=2.0, task_weight=0.0),
    "temperature": Plan("temperature", weight=0.5, temperature=3.0),
    "temperature_alpha": Plan("temperature", temperature=2.0, alpha=0.4, weight_schedule="linear"),
    "self_teacher": Plan("self_teacher", weight=0.5, temperature=2.0),
    "random_teacher": Plan("random_teacher", weight=0.5, temperature=0.5),
    "logistic": Plan("logistic", weight=2.0, l2=0.02),
    "cross_model": Plan("cross_model", weight=0.5, task_weight=2.0),
    "cross_model_mutual": Plan("cross_model", mutual=True),
}
LAYOUTS = {"as_given": torch.preserve_format, "channels_last": torch.channels_last}
LABELS = ("label_smoothing", "hard_labels")
AUGMENTED = ("classification", "denoising", "style_transfer", "super_resolution")


class View(NamedTuple):
    """A task by name, whether it augments, and whether there is a transfer set."""

    name: str
    augment: bool = False
    transfer: bool = False

    def __str__(self) -> str:
        return f"{self.name}{'-augment' * self.augment}{'-transfer' * self.transfer}"


VIEWS = [
    View(name, augment, transfer)
    for name in TASK_NAMES
    for transfer in (False, True)
    for augment in (False, True)
    if (name in AUGMENTED or not augment) and (name in TRANSFER or not transfer)
]
NETWORKS: dict[str, dict[Role, Any]] = {
    "classification": {
        "teacher": CNN(width=6, depth=2, batch_norm=True, dropout=0.3),
        "student": CNN(width=4, batch_norm=True, dropout=0.2),
    },
    "gan": {"teacher": Conv(width=8), "student": Conv(width=4)},
}
"""Such as the shipped pairs do not have: with batch statistics, with dropout in both, with convolutions."""


@cache
def small_pairs(transfer: bool) -> dict[str, Pair]:
    """The pairs of the smoke suite on small patches, by task."""
    sizes = ("super_resolution.patch=6", "denoising.patch=10", "style_transfer.patch=32")
    return {pair.task: pair for pair in load("smoke", [*overrides(transfer), *(f"tasks.{s}" for s in sizes)]).pairs}


@cache
def built(name: str, transfer: bool) -> Task:
    """A task, with the data loaded."""
    task = small_pairs(transfer)[name].build()
    assert task.examples("train")
    assert bool(task.examples("transfer")) == transfer
    return task


def made(name: str, transfer: bool) -> Task:
    """The task with a feature extractor that was never trained, in the precision of now."""
    task = copy.copy(built(name, transfer))
    task.feature_extractor = small_pairs(transfer)[name].build(extractor="untrained").feature_extractor
    return task


def arranged(task: Task, augment: bool, layout: str, networks: Mapping[Role, Any] | None, steps: int) -> Task:
    """The task with short recipes, and with images of the same values in another layout in memory."""

    class Arranged(type(task)):  # type: ignore[misc]
        def shared_inputs(
            self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
        ) -> Inputs:
            inputs = super().shared_inputs(indices, rng, augment, split)
            return {k: v.to(memory_format=LAYOUTS[layout]) if v.dim() == 4 else v for k, v in inputs.items()}

    other = copy.copy(task)
    other.__class__ = Arranged
    # With some weight decay, which the shipped recipes do without.
    changes: dict[str, Any] = {"augment": augment, "weight_decay": 0.01}
    if "kl_warmup" in type(task.settings.recipe("student")).model_fields:
        changes["kl_warmup"] = 0.4
    recipes = {}
    for role, its in (("teacher", steps + LONGER), ("student", None)):
        network = {"network": networks[role]} if networks else {}  # type: ignore[index]
        recipes[role] = getattr(task.settings, role).model_copy(update={"steps": its, **changes, **network})
    # Of the small photographs no more than are usual: a flat one, such as the night around a retina, has nothing but
    # rounding as its gradient through instance normalisation, on which two programs cannot agree.
    sizes = {"batch_size": min(BATCH_SIZE, task.settings.batch_size)}
    if task.settings.transfer_batch is not None:
        sizes["transfer_batch"] = TRANSFER_BATCH
    other.settings = task.settings.model_copy(update={"steps": steps, **sizes, **recipes})
    return other


class Runs:
    """Both programs' results on the same tasks, each computed once."""

    def __init__(self, networks: Mapping[str, Mapping[Role, Any]] | None = None, steps: int = STEPS) -> None:
        self.made = cache(made)
        self.networks = networks or {}
        self.steps = steps
        self.cell = cache(self._cell)
        self.plain_teacher = cache(self._plain_teacher)
        self.plain_self_teacher = cache(self._plain_self_teacher)
        self.readouts = cache(self._readouts)
        self.plain = cache(self._plain)
        self.harness = cache(self._harness)

    def task(self, view: View, layout: str = "as_given") -> Task:
        task = self.made(view.name, view.transfer)
        return arranged(task, view.augment, layout, self.networks.get(view.name), self.steps)

    def teachers(self, view: View) -> dict[Teacher, nn.Module]:
        """The frozen teachers of both programs' students."""
        trained, self_teacher = self.plain_teacher(view).model, self.plain_self_teacher(view).model
        return {"trained": read_only(copy.deepcopy(trained)), "self": read_only(copy.deepcopy(self_teacher))}

    def harness_teacher(self, view: View, layout: str) -> Trained:
        return train_teacher(self.task(view, layout), SEED)

    def _cell(self, view: View) -> Cell:
        return CELLS[view.name](self.task(view))

    def _plain_teacher(self, view: View) -> Run:
        return plain_loop.train(self.cell(view), "teacher", SEED)

    def _plain_self_teacher(self, view: View) -> Run:
        return plain_loop.train(self.cell(view), "student", plain_loop.derive("self", SEED))

    def _readouts(self, view: View) -> dict[str, Readout]:
        """The harness's own: two optimisers agree less well on W and b than two loops on what comes of them."""
        events = validation_events(self.task(view), self.teachers(view)["trained"], SEED)
        fitted = {key: logistic.fit(event, PLANS["logistic"].l2) for key, event in events.items()}
        return {key: Readout(r.weight, r.bias, r.thresholds) for key, r in fitted.items()}

    def _plain(self, view: View, plan: Plan) -> Run:
        readouts = self.readouts(view) if plan.method == "logistic" else None
        teacher = self.teachers(view)["self" if plan.method == "self_teacher" else "trained"]
        return plain_loop.train(self.cell(view), "student", SEED, plan, teacher, readouts)

    def _harness(self, view: View, layout: str, names: tuple[str, ...] = tuple(PLANS)) -> dict[str, Trained]:
        methods = {key: as_method(PLANS[key]) for key in names if key in plans_of(view)}
        return train_students(self.task(view, layout), self.teachers(view), methods, SEED)


def plans_of(view: View) -> list[str]:
    """The plans that the task defines."""
    return [key for key, plan in PLANS.items() if view.name == "classification" or plan.method not in LABELS]


def as_method(plan: Plan) -> Any:
    cls = METHODS.get(plan.method)
    return cls(**{key: value for key, value in vars(plan).items() if key in cls.model_fields})


@contextmanager
def double_precision() -> Iterator[None]:
    """Both programs in double precision, where they must agree almost to the last digit.

    In single precision they cannot: Adam divides a gradient by its own size, so one that is nearly zero becomes a step
    of full length in a direction that rounding decided.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", Tensor.double)
        torch.set_default_dtype(torch.double)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float)


@pytest.fixture(scope="module")
def exact_runs() -> Runs:
    with double_precision():
        return Runs()


@pytest.fixture
def runs(exact_runs: Runs) -> Iterator[Runs]:
    with double_precision():
        yield exact_runs


@pytest.fixture(scope="module")
def single_runs() -> Runs:
    return Runs(steps=SINGLE_PRECISION_STEPS)


def differences(ours: Trained, theirs: Run) -> dict[str, Tensor]:
    """How far apart each weight and buffer is, in the model and in a teacher that learned beside it."""
    assert ours.failure is None
    found: dict[str, Tensor] = {}
    for which, mine, its in (("", ours.model, theirs.model), ("partner.", ours.partner, theirs.partner)):
        assert (mine is None) == (its is None)
        if mine is not None and its is not None:
            values, expected = mine.state_dict(), its.state_dict()
            assert values.keys() == expected.keys()
            found |= {which + key: (value.double() - expected[key].double()).abs() for key, value in values.items()}
    return found


def largest(found: Mapping[str, Tensor]) -> float:
    return max(float(value.max()) for value in found.values())


def assert_equal(ours: Trained, theirs: Run) -> None:
    found = {name: float(value.max()) for name, value in differences(ours, theirs).items()}
    assert {name: value for name, value in found.items() if not value <= TOLERANCE} == {}
    # A loss adds up what the weights are off by.
    assert ours.loss == pytest.approx(theirs.loss, rel=10 * TOLERANCE)
    assert ours.distillation == pytest.approx(theirs.distillation, rel=10 * TOLERANCE, abs=TOLERANCE)


# What shares a computation comes in a row, for processes that divide the tests between them.
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
ARRANGED = [(view, layout) for view in VIEWS for layout in LAYOUTS if layout == "as_given" or not view.transfer]
"""Views and layouts: how images lie in memory is the same question with and without a transfer set."""
every_arrangement = pytest.mark.parametrize(("view", "layout"), ARRANGED, ids=str)


@every_arrangement
def test_a_teacher_alone(runs: Runs, view: View, layout: str) -> None:
    assert_equal(runs.harness_teacher(view, layout), runs.plain_teacher(view))


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_a_self_teacher(runs: Runs, view: View) -> None:
    assert_equal(train_self_teacher(runs.task(view), SEED), runs.plain_self_teacher(view))


@pytest.mark.parametrize(
    ("view", "layout", "method"),
    [(view, layout, method) for view, layout in ARRANGED for method in plans_of(view)],
    ids=str,
)
def test_a_student(runs: Runs, view: View, layout: str, method: str) -> None:
    assert_equal(runs.harness(view, layout)[method], runs.plain(view, PLANS[method]))


@pytest.fixture(scope="module")
def exact_runs_of_other_networks() -> Runs:
    with double_precision():
        return Runs(NETWORKS)


@every_layout
@pytest.mark.parametrize("name", NETWORKS)
def test_other_networks(exact_runs_of_other_networks: Runs, name: str, layout: str) -> None:
    with double_precision():
        runs, view = exact_runs_of_other_networks, View(name, name in AUGMENTED, name in TRANSFER)
        assert_equal(runs.harness_teacher(view, layout), runs.plain_teacher(view))
        students = runs.harness(view, layout, ("scratch", "temperature", "cross_model_mutual"))
        for method, student in students.items():
            assert_equal(student, runs.plain(view, PLANS[method]))


@every_arrangement
def test_in_single_precision(single_runs: Runs, view: View, layout: str) -> None:
    """As it is used: a few steps, and nine weights of ten, for rounding may decide where the others go."""
    if view.name == "denoising":
        pytest.skip("batch normalisation after each layer amplifies what is rounded otherwise")
    trained = single_runs.harness_teacher(view, layout)
    found = torch.cat([v.flatten() for v in differences(trained, single_runs.plain_teacher(view)).values()])
    assert found.sort().values[int(0.9 * len(found))] < 1e-5


def test_classification_to_the_bit() -> None:
    """With the harness's optimiser and layout, where no formula is written in another way, in single precision."""
    runs, view = Runs(), View("classification", augment=True, transfer=True)
    cell, teachers = runs.cell(view), runs.teachers(view)
    students = runs.harness(view, "as_given")
    for key in plans_of(view):
        plan = PLANS[key]
        if plan.method in ("label_smoothing", "mimic", "logistic"):
            continue
        teacher = teachers["self" if plan.method == "self_teacher" else "trained"]
        theirs = plain_loop.train(cell, "student", SEED, plan, teacher, same_kernels=True)
        assert largest(differences(students[key], theirs)) == 0, key


@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_readout_is_fitted_as_well_as_by_newtons_method(runs: Runs, name: str) -> None:
    view = View(name)
    fitted = plain_loop.fit_readouts(runs.cell(view), runs.teachers(view)["trained"], SEED, PLANS["logistic"].l2)
    ours = runs.readouts(view)
    assert ours.keys() == fitted.keys()
    for key, expected in fitted.items():
        for value, wanted in ((ours[key].weight, expected.weight), (ours[key].bias, expected.bias)):
            assert (value - wanted).abs().max() < 1e-3 * wanted.abs().max()
        assert (ours[key].thresholds is None) == (expected.thresholds is None)
        if expected.thresholds is not None:
            assert torch.allclose(ours[key].thresholds, expected.thresholds)  # type: ignore[arg-type]


# -- each comparison can fail -------------------------------------------------------------------------------------

WRONG = {
    "scratch_tuned": {"rate_factor": 1.0},
    "scratch_long": {"method": "scratch"},
    "label_smoothing": {"weight": 0.2},
    "hard_labels": {"weight": 1.0},
    "mimic": {"weight": 1.0},
    "mimic_linear": {"weight_schedule": "constant"},
    "mimic_alone": {"task_weight": 1.0},
    "temperature": {"weight": 1.0},
    "temperature_alpha": {"alpha": 0.8},
    "self_teacher": {"method": "temperature"},
    "random_teacher": {"method": "temperature"},
    "logistic": {"weight": 4.0},
    "cross_model": {"weight": 1.0},
    "cross_model_mutual": {"mutual": False},
}


@pytest.mark.parametrize(
    ("name", "method"),
    [("classification", method) for method in WRONG] + [(n, "temperature") for n in TASK_NAMES if n != TASK_NAMES[0]],
)
def test_a_wrong_weight_is_seen(runs: Runs, name: str, method: str) -> None:
    view = View(name, transfer=name in TRANSFER)
    wrong = runs.plain(view, replace(PLANS[method], **WRONG[method]))  # type: ignore[arg-type]
    assert largest(differences(runs.harness(view, "as_given")[method], wrong)) > 1e-4


@pytest.mark.parametrize("name", TRANSFER)
def test_a_transfer_set_is_seen_by_who_has_a_teacher_alone(runs: Runs, name: str) -> None:
    view, without = View(name, transfer=True), View(name)
    task, other = runs.task(view), runs.task(without)
    other.__dict__["splits"] = replace(task.splits, transfer=None, withheld=None)
    students = train_students(other, runs.teachers(view), {key: as_method(PLANS[key]) for key in plans_of(view)}, SEED)
    for key in plans_of(view):
        apart = largest(
            differences(runs.harness(view, "as_given")[key], Run(students[key].model, students[key].partner, 0, 0))
        )
        assert (apart == 0) == PLANS[key].alone, key


@pytest.mark.parametrize(("augment", "layout"), [(True, "as_given"), (False, "channels_last")])
def test_gradients_in_the_layout_of_the_forward_pass_are_seen(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, augment: bool, layout: str
) -> None:
    # A shifted batch is a permuted one: its gradients, as autograd.grad hands them out, are channels-last.
    def backward(loss: Tensor, inputs: Sequence[Tensor]) -> None:
        for weight, gradient in zip(inputs, torch.autograd.grad(loss, inputs), strict=True):
            weight.grad = gradient

    view = View("classification", augment)
    expected = runs.plain_teacher(view)
    monkeypatch.setattr(torch.autograd, "backward", backward)
    assert largest(differences(runs.harness_teacher(view, layout), expected)) > 1e-3


@pytest.mark.parametrize("module", [plain_loop, plain_cells])
def test_the_plain_loop_is_independent(module: ModuleType) -> None:
    """It knows nothing of harness and methods, and of a task its data, networks and settings alone."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    modules = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    assert {m for m in modules if m.startswith(("distillbench", "support"))} <= {
        "distillbench.tasks.base",
        "distillbench.tasks.data.crops",
        "distillbench.tasks.metrics.images",
        "support.plain_cells",
    }
    used = {
        n.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute)
        and (getattr(n.value, "id", None) == "task" or getattr(n.value, "attr", None) == "task")
    }
    assert used <= {"network", "settings", "shared_inputs", "splits", "style_picture"}
