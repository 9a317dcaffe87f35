"""The harness trains what a plain loop trains, in every cell: weights, buffers and losses after twenty steps."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.registry import METHODS
from distillbench.bench.suite.resolve import load
from distillbench.bench.training.learner import Trained
from distillbench.bench.training.loop import train_students, train_teacher, validation_events
from distillbench.methods import logistic
from distillbench.tasks.base import Inputs, Role, Split, Task, read_only
from distillbench.tasks.networks.cnn import CNN
from distillbench.tasks.networks.conv import Conv
from support import plain_loop
from support.plain_loop import CELLS, Cell, Plan, Readout, Run
from support.tasks import TASK_NAMES

STEPS, BATCH_SIZE, SEED = 20, 4, 3
SINGLE_PRECISION_STEPS = 3
TOLERANCE = 1e-9
"""On every weight and buffer, in double precision; a mistake moves them by a learning rate, a million times as far."""
PLANS = {
    "scratch": Plan(weight=0.0),
    "mimic": Plan("mimic", weight=0.5),
    "temperature": Plan("temperature", weight=0.5, temperature=3.0),
    "temperature_alpha": Plan("temperature", temperature=2.0, alpha=0.4),
    "random_teacher": Plan("random_teacher", weight=0.5, temperature=2.0),
    "logistic": Plan("logistic", weight=2.0, l2=0.02),
    "cross_model": Plan("cross_model", weight=0.5, task_weight=2.0),
    "cross_model_mutual": Plan("cross_model", mutual=True),
}
LAYOUTS = {"as_given": torch.preserve_format, "channels_last": torch.channels_last}
AUGMENTED = ("classification", "denoising", "style_transfer", "super_resolution")
VIEWS = [(name, augment) for name in TASK_NAMES for augment in (False, True) if name in AUGMENTED or not augment]
NETWORKS: dict[str, dict[Role, Any]] = {
    "classification": {
        "teacher": CNN(width=6, depth=2, batch_norm=True, dropout=0.3),
        "student": CNN(width=4, batch_norm=True, dropout=0.2),
    },
    "gan": {"teacher": Conv(width=8), "student": Conv(width=4)},
}
"""Such as the shipped pairs do not have: with batch statistics, with dropout in both, with convolutions."""


def small_pairs() -> dict[str, Pair]:
    """The pairs of the smoke suite on small patches, by task."""
    sizes = ("super_resolution.patch=6", "denoising.patch=10", "style_transfer.patch=32")
    return {pair.task: pair for pair in load("smoke", [f"tasks.{size}" for size in sizes]).pairs}


@cache
def built() -> dict[str, Task]:
    """Their tasks, with the data loaded."""
    tasks = {name: pair.build() for name, pair in small_pairs().items()}
    assert all(task.examples("train") for task in tasks.values())
    return tasks


def made() -> dict[str, Task]:
    """The tasks, each with a feature extractor that was never trained, in the precision of now."""
    tasks = {name: copy.copy(task) for name, task in built().items()}
    for name, pair in small_pairs().items():
        tasks[name].feature_extractor = pair.build(extractor="untrained").feature_extractor
    return tasks


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
    changes: dict[str, Any] = {"steps": None, "augment": augment, "weight_decay": 0.01}
    recipes = {}
    for role in ("teacher", "student"):
        network = {"network": networks[role]} if networks else {}
        recipes[role] = getattr(task.settings, role).model_copy(update=changes | network)
    # Of the small photographs no more than are usual: a flat one, such as the night around a retina, has nothing but
    # rounding as its gradient through instance normalisation, on which two programs cannot agree.
    batch_size = min(BATCH_SIZE, task.settings.batch_size)
    other.settings = task.settings.model_copy(update={"steps": steps, "batch_size": batch_size, **recipes})
    return other


class Runs:
    """Both programs' results on the same tasks, each computed once."""

    def __init__(self, networks: Mapping[str, Mapping[Role, Any]] | None = None, steps: int = STEPS) -> None:
        self.tasks = made()
        self.networks = networks or {}
        self.steps = steps
        self.cell = cache(self._cell)
        self.plain_teacher = cache(self._plain_teacher)
        self.readouts = cache(self._readouts)
        self.plain = cache(self._plain)
        self.harness = cache(self._harness)

    def task(self, name: str, augment: bool, layout: str = "as_given") -> Task:
        return arranged(self.tasks[name], augment, layout, self.networks.get(name), self.steps)

    def teacher(self, name: str, augment: bool) -> nn.Module:
        """The frozen teacher of both programs' students."""
        return read_only(copy.deepcopy(self.plain_teacher(name, augment).model))

    def harness_teacher(self, name: str, augment: bool, layout: str) -> Trained:
        return train_teacher(self.task(name, augment, layout), SEED)

    def _cell(self, name: str, augment: bool) -> Cell:
        return CELLS[name](self.task(name, augment))

    def _plain_teacher(self, name: str, augment: bool) -> Run:
        return plain_loop.train(self.cell(name, augment), "teacher", SEED)

    def _readouts(self, name: str, augment: bool) -> dict[str, Readout]:
        """The harness's own: two optimisers agree less well on W and b than two loops on what comes of them."""
        events = validation_events(self.task(name, augment), self.teacher(name, augment), SEED)
        fitted = {key: logistic.fit(event, PLANS["logistic"].l2) for key, event in events.items()}
        return {key: Readout(r.weight, r.bias, r.thresholds) for key, r in fitted.items()}

    def _plain(self, name: str, augment: bool, plan: Plan) -> Run:
        readouts = self.readouts(name, augment) if plan.method == "logistic" else None
        return plain_loop.train(self.cell(name, augment), "student", SEED, plan, self.teacher(name, augment), readouts)

    def _harness(
        self, name: str, augment: bool, layout: str, names: tuple[str, ...] = tuple(PLANS)
    ) -> dict[str, Trained]:
        methods = {key: as_method(PLANS[key]) for key in names}
        return train_students(self.task(name, augment, layout), self.teacher(name, augment), methods, SEED)


def as_method(plan: Plan) -> Any:
    cls = METHODS.get(plan.method)
    values = {key: value for key, value in vars(plan).items() if key in cls.model_fields}
    return cls(**({} if plan.method == "scratch" else values))


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
every_view = pytest.mark.parametrize(
    ("name", "augment"), VIEWS, ids=[f"{name}-{'augment' if augment else 'plain'}" for name, augment in VIEWS]
)
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


@every_layout
@every_view
def test_a_teacher_alone(runs: Runs, name: str, augment: bool, layout: str) -> None:
    assert_equal(runs.harness_teacher(name, augment, layout), runs.plain_teacher(name, augment))


@pytest.mark.parametrize("method", PLANS)
@every_layout
@every_view
def test_a_student(runs: Runs, name: str, method: str, augment: bool, layout: str) -> None:
    assert_equal(runs.harness(name, augment, layout)[method], runs.plain(name, augment, PLANS[method]))


@pytest.fixture(scope="module")
def exact_runs_of_other_networks() -> Runs:
    with double_precision():
        return Runs(NETWORKS)


@every_layout
@pytest.mark.parametrize("name", NETWORKS)
def test_other_networks(exact_runs_of_other_networks: Runs, name: str, layout: str) -> None:
    with double_precision():
        runs, augment = exact_runs_of_other_networks, name in AUGMENTED
        assert_equal(runs.harness_teacher(name, augment, layout), runs.plain_teacher(name, augment))
        students = runs.harness(name, augment, layout, ("scratch", "temperature", "cross_model_mutual"))
        for method, student in students.items():
            assert_equal(student, runs.plain(name, augment, PLANS[method]))


@every_layout
@every_view
def test_in_single_precision(single_runs: Runs, name: str, augment: bool, layout: str) -> None:
    """As it is used: three steps, and nine weights of ten, for rounding may decide where the others go."""
    trained = single_runs.harness_teacher(name, augment, layout)
    found = torch.cat([v.flatten() for v in differences(trained, single_runs.plain_teacher(name, augment)).values()])
    assert found.sort().values[int(0.9 * len(found))] < 1e-5


@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_readout_is_fitted_as_well_as_by_newtons_method(runs: Runs, name: str) -> None:
    fitted = plain_loop.fit_readouts(runs.cell(name, False), runs.teacher(name, False), SEED, PLANS["logistic"].l2)
    ours = runs.readouts(name, False)
    assert ours.keys() == fitted.keys()
    for key, expected in fitted.items():
        for value, wanted in ((ours[key].weight, expected.weight), (ours[key].bias, expected.bias)):
            assert (value - wanted).abs().max() < 1e-3 * wanted.abs().max()
        assert (ours[key].thresholds is None) == (expected.thresholds is None)
        if expected.thresholds is not None:
            assert torch.allclose(ours[key].thresholds, expected.thresholds)  # type: ignore[arg-type]


# -- each comparison can fail -------------------------------------------------------------------------------------

WRONG = {
    "mimic": {"weight": 1.0},
    "temperature": {"weight": 1.0},
    "temperature_alpha": {"alpha": 0.8},
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
    wrong = runs.plain(name, False, replace(PLANS[method], **WRONG[method]))  # type: ignore[arg-type]
    assert largest(differences(runs.harness(name, False, "as_given")[method], wrong)) > 1e-4


@pytest.mark.parametrize(("augment", "layout"), [(True, "as_given"), (False, "channels_last")])
def test_gradients_in_the_layout_of_the_forward_pass_are_seen(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, augment: bool, layout: str
) -> None:
    # A shifted batch is a permuted one: its gradients, as autograd.grad hands them out, are channels-last.
    def backward(loss: Tensor, inputs: Sequence[Tensor]) -> None:
        for weight, gradient in zip(inputs, torch.autograd.grad(loss, inputs), strict=True):
            weight.grad = gradient

    expected = runs.plain_teacher("classification", augment)
    monkeypatch.setattr(torch.autograd, "backward", backward)
    assert largest(differences(runs.harness_teacher("classification", augment, layout), expected)) > 1e-3


def test_the_plain_loop_is_independent() -> None:
    """It knows nothing of harness and methods, and of a task its data, networks and settings alone."""
    tree = ast.parse(Path(plain_loop.__file__).read_text())
    modules = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    assert {m for m in modules if m.startswith("distillbench")} == {
        "distillbench.tasks.base",
        "distillbench.tasks.data.crops",
        "distillbench.tasks.metrics.images",
    }
    used = {
        n.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute)
        and (getattr(n.value, "id", None) == "task" or getattr(n.value, "attr", None) == "task")
    }
    assert used <= {"training_examples", "network", "settings", "shared_inputs", "splits", "style_picture"}
