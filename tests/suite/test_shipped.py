"""The suites that ship and are too long to run here: their pairs are those of the papers, and train."""

from __future__ import annotations

import pytest
import torch

from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.resolve import Suite, load
from distillbench.bench.training.loop import initial, train_students, train_teacher
from distillbench.tasks.base import Role, TaskSettings, read_only
from distillbench.tasks.classification import Classification
from distillbench.tasks.networks.interfaces import ROLES
from support.paths import ROOT
from support.synthetic_sets import Made

# Tian et al. 2020, tables 1 and 2; the parameters were counted in their implementation (HobbitLong/RepDistiller).
CRD = {
    "wrn_40_2-wrn_16_2": (2_255_156, 703_284),
    "wrn_40_2-wrn_40_1": (2_255_156, 569_780),
    "resnet56-resnet20": (861_620, 278_324),
    "resnet110-resnet20": (1_736_564, 278_324),
    "resnet110-resnet32": (1_736_564, 472_756),
    "resnet32x4-resnet8x4": (7_433_860, 1_233_540),
    "vgg13-vgg8": (9_462_180, 3_965_028),
    "vgg13-mobilenet_v2": (9_462_180, 812_836),
    "resnet50-mobilenet_v2": (23_705_252, 812_836),
    "resnet50-vgg8": (23_705_252, 3_965_028),
    "resnet32x4-shufflenet_v1": (7_433_860, 949_258),
    "resnet32x4-shufflenet_v2": (7_433_860, 1_355_528),
    "wrn_40_2-shufflenet_v1": (2_255_156, 949_258),
}
SHORT = ["steps=3", "tasks.classification.batch_size=4"]


@pytest.fixture
def crd(made_set: Made) -> dict[str, Pair]:
    """The pairs by name, on a small stand-in for CIFAR-100."""
    made_set("cifar100")
    return {pair.pair: pair for pair in load("cifar100-crd", SHORT).pairs}


def test_the_thirteen_pairs_of_the_common_table_are_as_large_as_theirs(made_set: Made) -> None:
    made_set("cifar100")
    pairs = load("cifar100-crd").pairs
    assert [pair.pair for pair in pairs] == list(CRD)
    for pair in pairs:
        task = pair.build()
        task.check()  # reads the data
        with torch.device("meta"):
            sizes = [sum(p.numel() for p in task.network(role).parameters()) for role in ("teacher", "student")]
        assert tuple(sizes) == CRD[pair.pair], pair.pair


def test_they_are_trained_by_the_authors_recipe(made_set: Made) -> None:
    _, train, _ = made_set("cifar100")
    slower = {"mobilenet_v2", "shufflenet_v1", "shufflenet_v2"}
    suite = load("cifar100-crd")
    for entry in suite.entries:
        settings, student = entry.pair.settings, entry.pair.settings.recipe("student")
        assert settings.batch_size == 64
        for recipe in (settings.recipe("teacher"), student):
            assert (recipe.epochs, recipe.optimiser, recipe.momentum, recipe.nesterov) == (240, "sgd", 0.9, False)
            assert (recipe.weight_decay, recipe.schedule, recipe.gamma) == (5e-4, "step", 0.1)
            assert [240 * milestone for milestone in recipe.milestones] == [150, 180, 210]
        assert settings.recipe("teacher").learning_rate == 0.05
        assert student.network is not None
        assert student.learning_rate == (0.01 if student.network.name in slower else 0.05)
        assert entry.methods["temperature"].model_dump()["alpha"] == 0.9
        assert entry.pair.build().examples("train") == len(train[1]), "all training images, as they have no validation"


@pytest.mark.parametrize("name", CRD)
def test_they_train(crd: dict[str, Pair], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classification, "validation_metric", lambda self, model: 0.0)  # would take ten times as long
    task = crd[name].build()
    teacher = read_only(train_teacher(task, 0).model)
    (entry,) = (entry for entry in load("cifar100-crd", SHORT).entries if entry.pair.pair == name)
    trained = train_students(task, {"trained": teacher}, entry.methods, 0)
    assert {label: student.failure for label, student in trained.items()} == dict.fromkeys(entry.methods)
    before = initial(task, "student", 0).state_dict()
    for student in trained.values():
        after = student.model.state_dict()
        assert all(not torch.equal(before[key], after[key]) for key in before if key.endswith("0.weight"))


@pytest.mark.parametrize("name", ["mnist", "quick"])
def test_the_trials_of_a_recipe_have_the_recipe_among_them(name: str) -> None:
    """Each network that the suite trains on digits is one of the trials that docs/recipes.md shows."""
    trials, suite = load(ROOT / "tests" / "simulations" / f"recipes_{name}.toml"), load(name)
    assert not _seeds(trials) & _seeds(suite)
    digits = {pair.task for pair in trials.pairs}
    assert {training for training in _trainings(suite) if training[0] in digits} <= _trainings(trials)


def _seeds(suite: Suite) -> set[int]:
    return {seed for entry in suite.entries for seed in entry.seeds}


def _trainings(suite: Suite) -> set[tuple[str, Role, str]]:
    """Of all that a suite trains: the task, the role, and the recipe with its network and what it learns from."""
    return {(pair.task, role, _training(pair.settings, role)) for pair in suite.pairs for role in ROLES}


def _training(settings: TaskSettings, role: Role) -> str:
    recipe = settings.recipe(role)
    of_all = role == "teacher" and {"withheld", "transfer"} & {*settings.teacher_splits}
    images = None if of_all else getattr(settings, "images", None)
    batch = settings.batch_size, getattr(settings, "labels", None), getattr(settings, "latent", None)
    return recipe.model_dump_json() + str((recipe.network, images, *batch))
