"""The properties of each cell: every method that distils, on six tasks."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from distillbench.bench.store.weights import digest
from distillbench.bench.suite.registry import METHODS
from distillbench.bench.training.batches import IndexBatches
from distillbench.bench.training.loop import initial, train_students, validation_events
from distillbench.methods.base import Distillation, Method
from distillbench.methods.cross_model import CrossModel
from distillbench.methods.random_teacher import RandomTeacher
from distillbench.methods.temperature import Temperature
from distillbench.tasks.base import Evaluation, Inputs, Outputs, Split, Task, read_only
from distillbench.tasks.response import Events
from distillbench.tasks.shared.output_cache import OutputCache
from support.tasks import METHOD_NAMES, TASK_NAMES, methods_of, teachers_of

TaskOf = Callable[[str], Task]


def one_batch(task: Task) -> Inputs:
    rng = torch.Generator().manual_seed(1)
    return task.shared_inputs(next(IndexBatches(task.examples("train"), 4, rng)), rng)


def main_weights(task: Task, model: nn.Module) -> list[Tensor]:
    return list(task.deployed(model).parameters())


def distillation_gradient(task: Task, method: Method, student: nn.Module, teacher: nn.Module) -> Tensor:
    """Of the distillation loss alone, by the student's deployed weights, in one long vector."""
    inputs = one_batch(task)
    distil = method.prepare(lambda: validation_events(task, teacher, 0))
    with torch.no_grad():
        teachers = task.responses(task.forward(teacher, inputs), inputs, teacher)
    loss = distil(task.responses(task.forward(student, inputs), inputs, teacher), teachers)
    weights = main_weights(task, student)
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(w) if g is None else g).flatten() for w, g in zip(weights, gradients, strict=True)]
    )


@pytest.fixture(params=TASK_NAMES)
def task(request: pytest.FixtureRequest, task_of: TaskOf) -> Task:
    return task_of(request.param)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(task: Task, name: str) -> None:
    teacher = read_only(initial(task, "teacher", 0))
    student = copy.deepcopy(teacher).requires_grad_(True).eval()
    different = initial(task, "teacher", 1).eval()
    method = METHODS.get(name)()
    reference = distillation_gradient(task, method, different, teacher).norm()
    assert reference > 0
    assert distillation_gradient(task, method, student, teacher).norm() < 1e-4 * reference


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_the_student_feels_the_distillation_loss(task: Task, name: str) -> None:
    teacher, student = read_only(initial(task, "teacher", 0)), initial(task, "student", 0)
    gradient = distillation_gradient(task, METHODS.get(name)(), student, teacher)
    assert torch.isfinite(gradient).all()
    assert gradient.norm() > 1e-7


def test_temperature_changes_the_direction_of_the_gradient(task: Task) -> None:
    teacher, student = read_only(initial(task, "teacher", 0)), initial(task, "student", 0)
    # Responses of untrained networks are nearly uniform, where any T is the same: make the teacher speak up.
    with torch.no_grad():
        for weight in main_weights(task, teacher):
            weight *= 3 if weight.dim() > 1 else 1
    one, four = (distillation_gradient(task, Temperature(temperature=t), student, teacher) for t in (1.0, 4.0))
    assert torch.cosine_similarity(one, four, dim=0) < 0.999


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_training_moves_the_student_and_never_the_shared_teacher(task: Task, name: str) -> None:
    teachers = teachers_of(task)
    before = copy.deepcopy({kind: teacher.state_dict() for kind, teacher in teachers.items()})
    start = copy.deepcopy(initial(task, "student", 5).state_dict())
    trained = train_students(task, teachers, {name: METHODS.get(name)()}, seed=5)[name]
    assert trained.failure is None
    for kind, teacher in teachers.items():
        assert all(torch.equal(value, before[kind][key]) for key, value in teacher.state_dict().items())
        assert not any(parameter.requires_grad or parameter.grad is not None for parameter in teacher.parameters())
    assert any(not torch.equal(value, start[key]) for key, value in trained.model.state_dict().items())
    assert trained.distillation != 0


def test_only_a_method_that_trains_a_teacher_has_one_of_its_own(task: Task) -> None:
    teacher = read_only(initial(task, "teacher", 0))
    trained = train_students(task, {"trained": teacher}, {"t": Temperature(), "c": CrossModel()}, seed=5)
    assert trained["t"].partner is None
    partner = trained["c"].partner
    assert partner is not None
    start = initial(task, "teacher", 5).state_dict()
    assert any(not torch.equal(value, start[key]) for key, value in partner.state_dict().items())


def test_a_random_teacher_is_temperature_from_an_untrained_one(task: Task) -> None:
    trained, other = (read_only(initial(task, "teacher", seed)) for seed in (0, 1))
    untrained = read_only(initial(task, "teacher", 5))
    expected = train_students(task, {"trained": untrained}, {"t": Temperature(temperature=2.0)}, seed=5)["t"]
    control = RandomTeacher(temperature=2.0)
    for teacher in (trained, other):
        group = train_students(task, {"trained": teacher}, {"r": control, "t": Temperature(temperature=2.0)}, seed=5)
        assert digest(group["r"].model) == digest(expected.model)
        assert digest(group["t"].model) != digest(expected.model)


def test_each_frozen_teacher_sees_a_batch_once(task_of: TaskOf, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of("classification")
    teachers = teachers_of(task)
    seen: list[nn.Module] = []

    def forward(model: nn.Module, inputs: Inputs) -> Outputs:
        seen.append(model)
        return original(model, inputs)

    original = task.forward
    monkeypatch.setattr(task, "forward", forward)
    every = {f"{name} {i}": method for name, method in methods_of(task).items() for i in (0, 1)}
    train_students(task, teachers, every, seed=5)
    steps, longer = task.steps("student"), task.steps("teacher")
    counts = Counter(map(id, seen))
    # Students and frozen teachers once a step; two train for longer; a teacher trains, and answers its two students.
    assert Counter(counts.values()) == {steps: len(every) - 2 + 3, longer: 2, longer + steps: 1}
    assert counts[id(teachers["trained"])] == counts[id(teachers["self"])] == steps
    seen.clear()
    train_students(task, teachers, {"r": RandomTeacher(), "c": CrossModel()}, seed=5)
    assert not {id(teacher) for teacher in teachers.values()} & set(map(id, seen))


@pytest.mark.parametrize("which", ["untrained", "own"])
def test_a_readout_is_fitted_to_the_teacher_that_the_method_looks_at(task_of: TaskOf, which: str) -> None:
    task = task_of("classification")
    fitted: list[Tensor] = []

    class Fitting(Temperature):
        def prepare(self, events: Callable[[], Mapping[str, Events]]) -> Distillation:
            fitted.append(events()["logits"].response.values)
            return self.distillation_loss

    other = type("Other", (Fitting,), {"teacher": which})
    trained, untrained = (read_only(initial(task, "teacher", seed)) for seed in (0, 5))
    train_students(task, {"trained": trained}, {"t": Fitting(), "o": other()}, seed=5)
    for values, teacher in zip(fitted, (trained, untrained), strict=True):
        assert torch.equal(values, validation_events(task, teacher, 5)["logits"].response.values)


def test_without_feedback_the_own_teacher_does_not_see_its_student(task_of: TaskOf) -> None:
    # Trap: γ couples the student to the teacher; the other way round is an explicit flag, off by default.
    task = task_of("classification")
    teacher = read_only(initial(task, "teacher", 0))
    weights = {}
    for name, method in {
        "gamma 1": CrossModel(),
        "gamma 5": CrossModel(weight=5.0),
        "mutual": CrossModel(mutual=True),
    }.items():
        trained = train_students(task, {"trained": teacher}, {name: method}, seed=5)[name]
        assert trained.partner is not None
        weights[name] = (trained.partner.state_dict(), trained.model.state_dict())

    def equal(i: int, a: str, b: str) -> bool:
        return all(torch.equal(v, weights[b][i][k]) for k, v in weights[a][i].items())

    assert equal(0, "gamma 1", "gamma 5")
    assert not equal(1, "gamma 1", "gamma 5")
    assert not equal(0, "gamma 1", "mutual")


def test_gamma_is_mandatory() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        CrossModel(weight=0)


def test_the_teacher_has_at_least_four_times_the_parameters_or_the_compute(task: Task) -> None:
    from distillbench.bench.measure.size import size

    teacher, student = (
        size(task.deployed(initial(task, r, 0)).eval(), task.example_input(1)) for r in ("teacher", "student")
    )
    assert max(teacher.parameters / student.parameters, teacher.macs / student.macs) >= 4


def test_both_models_see_the_same_view(task: Task) -> None:
    """Everything random is in the inputs: the same inputs give the same outputs, twice."""
    model, inputs = initial(task, "student", 0).eval(), one_batch(task)
    with torch.no_grad():
        first, second = (
            task.responses(task.forward(model, inputs), inputs, initial(task, "teacher", 0).eval()) for _ in range(2)
        )
    assert all(torch.equal(first[name].values, second[name].values) for name in first)


def test_a_teachers_discriminator_does_not_step(task_of: TaskOf) -> None:
    # Spectral normalisation iterates in training mode: a student's pass must not change its teacher's discriminator.
    task = task_of("gan")
    teacher = initial(task, "teacher", 0).train()
    before = copy.deepcopy(teacher.state_dict())
    inputs = one_batch(task)
    task.responses(task.forward(initial(task, "student", 0), inputs), inputs, teacher)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert teacher.training


def test_a_scalar_slope_on_a_bernoulli_would_be_temperature(task_of: TaskOf) -> None:
    # Trap: the readout fitted to real pixels has a slope and an offset for each, not one for all.
    from distillbench.methods.logistic import fit

    task = task_of("vae")
    readout = fit(validation_events(task, read_only(initial(task, "teacher", 0)), 0)["pixels"], l2=1e-2)
    assert readout.weight.shape == readout.bias.shape == (64,)
    assert readout.bias.std() > 0.1


def test_separable_events_do_not_send_the_readout_to_infinity() -> None:
    from distillbench.methods.logistic import fit
    from distillbench.tasks.response import Categorical, Events

    separable = torch.tensor([[10.0, -10.0], [-10.0, 10.0]]).repeat(20, 1)
    readout = fit(Events(Categorical(separable), (separable > 0).float()), l2=1e-2)
    assert readout.weight.abs().max() < 10
    stronger = fit(Events(Categorical(separable), (separable > 0).float()), l2=1.0)
    assert stronger.weight.abs().max() < readout.weight.abs().max()


def test_the_readout_is_scikit_learns_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    from distillbench.methods.logistic import fit
    from distillbench.tasks.response import Events, Feature

    rng = torch.Generator().manual_seed(0)
    maps = torch.randn(40, 3, 2, 2, generator=rng)
    rows = Feature(maps).evidence()
    outcomes = (rows @ torch.tensor([1.0, -2.0, 0.5]) + 0.3 + torch.randn(len(rows), generator=rng) > 0).float()
    readout = fit(Events(Feature(maps), outcomes.unsqueeze(1)), l2=0.01)
    scale = rows.std(0, correction=0)
    # scikit-learn's objective: ½‖w‖² + C·Σ loss; ours: l2·‖w‖² + mean loss, hence C = 1/(2·n·l2).
    reference = LogisticRegression(C=1 / (2 * len(rows) * 0.01), tol=1e-8).fit((rows / scale).numpy(), outcomes.numpy())
    assert torch.allclose(readout.weight[0], torch.tensor(reference.coef_[0], dtype=torch.float32) / scale, atol=1e-3)


def test_a_flat_patch_has_a_finite_gradient(task_of: TaskOf) -> None:
    task = task_of("style_transfer")
    model = initial(task, "student", 0).train()
    shared = task.shared_inputs([0], torch.Generator().manual_seed(0))
    inputs = {name: torch.zeros_like(value) for name, value in shared.items()}
    loss = task.loss(model, inputs, task.forward(model, inputs))
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, list(model.parameters())))


def test_a_nearly_silent_feature_gets_no_enormous_slope() -> None:
    from distillbench.methods.logistic import fit
    from distillbench.tasks.response import Events, Feature

    rng = torch.Generator().manual_seed(0)
    maps = torch.randn(200, 3, 2, 2, generator=rng)
    maps[:, 1] *= 1e-6
    rows = Feature(maps).evidence()
    readout = fit(Events(Feature(maps), (rows[:, 1:2] > 0).float()), l2=1e-2)
    assert readout.weight.abs().max() < 100


def test_only_a_method_that_fits_something_asks_for_events(task_of: TaskOf, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of("classification")

    def unavailable(*_: object) -> None:
        raise ValueError("no validation truth")

    monkeypatch.setattr(task, "events", unavailable)
    teacher = read_only(initial(task, "teacher", 0))
    methods = {name: METHODS.get(name)() for name in ("mimic", "temperature", "cross_model", "logistic")}
    failed = {
        name for name, trained in train_students(task, {"trained": teacher}, methods, seed=5).items() if trained.failure
    }
    assert failed == {"logistic"}


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 30, 42)])
def test_every_pixel_is_in_a_patch(shape: tuple[int, int, int]) -> None:
    from distillbench.tasks.networks.patch import PatchDiscriminator

    torch.manual_seed(0)
    images = torch.rand(2, *shape, requires_grad=True)
    features, logits = PatchDiscriminator(shape, 16).eval()(images)
    assert features.shape[2:] == logits.shape[2:] == (3, 3)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert (gradient != 0).all()


def test_alpha_and_weight_are_not_both_taken() -> None:
    assert Temperature(alpha=0.9).alpha == 0.9
    with pytest.raises(ValueError, match="alpha replaces weight"):
        Temperature(alpha=0.9, weight=0.5)


def test_a_large_split_is_measured_on_a_part_of_it_that_is_the_same_for_all() -> None:
    from distillbench.bench.suite.resolve import load
    from distillbench.tasks.vae import chosen

    pair = load({"tasks": {"vae": {"evaluated": 60, "importance_samples": 2, "samples": 200}}}).entries[0].pair
    task = pair.build(extractor="untrained")
    part = chosen(task.splits.test, 60)
    assert len(part) == 60 < len(task.splits.test)
    assert chosen(task.splits.test, 500) is task.splits.test
    assert list(part.names) == sorted(part.names)
    model = read_only(initial(task, "student", 0))
    for evaluation in (task.evaluate(model, model), task.baseline("independent pixels")):
        assert tuple(evaluation.examples["neg_elbo"]) == part.names


@pytest.mark.parametrize("name", ["gan", "vae"])
def test_a_network_generates_once_for_both_splits_and_again_when_its_weights_change(
    name: str, task_of: Callable[[str], Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(name)
    model, teacher = (read_only(initial(task, role, 0)) for role in ("student", "teacher"))
    sampled = []
    generate = task.samples
    monkeypatch.setattr(task, "samples", lambda network: sampled.append(network) or generate(network))

    def evaluated(split: Split) -> Evaluation:
        return task.evaluate(model, teacher, split)

    def afresh(split: Split) -> Evaluation:
        with monkeypatch.context() as patch:
            patch.setattr(task, "output_cache", OutputCache())
            return evaluated(split)

    alone = {split: afresh(split) for split in ("test", "validation")}
    assert alone["test"] != alone["validation"]
    sampled.clear()
    task.output_cache = OutputCache()
    assert {split: evaluated(split) for split in ("test", "validation")} == alone
    assert sampled.count(model) == 1
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(1.5)
    assert evaluated("test") == afresh("test")
    assert evaluated("test").metrics["classifier_fid"] != alone["test"].metrics["classifier_fid"]


def test_augmentation_mirrors_images_where_it_is_asked_to() -> None:
    from distillbench.bench.suite.resolve import load

    settings = {"flips": True, "teacher": {"augment": True}}
    task = load({"tasks": {"classification": settings}}).entries[0].pair.build()
    plain = load({"tasks": {"classification": {}}}).entries[0].pair.build()
    indices = range(64)
    mirrored = task.shared_inputs(indices, torch.Generator().manual_seed(0), augment=True)["images"]
    shifted = plain.shared_inputs(indices, torch.Generator().manual_seed(0), augment=True)["images"]
    same = (mirrored == shifted).flatten(1).all(1)
    other = (mirrored == shifted.flip(3)).flatten(1).all(1)
    assert bool((same | other).all())
    assert 16 < int(same.sum()) < 48
    unaugmented = task.shared_inputs(indices, torch.Generator().manual_seed(0))["images"]
    assert torch.equal(unaugmented, plain.shared_inputs(indices, torch.Generator().manual_seed(0))["images"])
