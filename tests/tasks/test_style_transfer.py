"""Style transfer: what is computed for whom, and what a student sees of its teacher's paintings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from distillbench.bench.training.loop import initial, train_students
from distillbench.bench.training.sharing import Batch, share
from distillbench.methods.base import Method
from distillbench.methods.cross_model import CrossModel
from distillbench.methods.mimic import Mimic
from distillbench.methods.scratch import Scratch
from distillbench.methods.temperature import Temperature
from distillbench.tasks.base import Inputs, read_only
from distillbench.tasks.style_transfer import StyleTransfer

TaskOf = Callable[..., StyleTransfer]


@pytest.fixture
def style(task_of: Callable[[str], StyleTransfer]) -> TaskOf:
    """The task of the smoke suite with other settings."""

    def build(**settings: object) -> StyleTransfer:
        return StyleTransfer(task_of("style_transfer").settings.model_copy(update=settings))

    return build


def batch(task: StyleTransfer, count: int = 2) -> Inputs:
    return task.shared_inputs(list(range(count)), torch.Generator().manual_seed(1))


def counted(task: StyleTransfer, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The passes of the perceptual network from now on: for each whether it was one to differentiate."""
    _ = task._style_grams, task._content_energy, task._validation
    passes: list[bool] = []
    network = task._perceptual_network
    forward = network.forward

    def counting(images: Tensor) -> dict[str, Tensor]:
        passes.append(images.requires_grad)
        return forward(images)

    monkeypatch.setattr(network, "forward", counting)
    monkeypatch.setattr(task, "validation_metric", lambda model: None)
    return passes


PAINTINGS_ALONE = {"mimic": Mimic(task_weight=0), "temperature": Temperature(task_weight=0)}


@pytest.mark.parametrize(
    ("methods", "compared_by", "of_photographs", "of_paintings"),
    [
        (PAINTINGS_ALONE, "painting", 0, 0),
        ({"scratch": Scratch()}, "painting", 1, 1),
        ({"scratch": Scratch(), **PAINTINGS_ALONE}, "painting", 1, 1),
        ({"scratch": Scratch(), "mimic": Mimic()}, "painting", 1, 2),
        (PAINTINGS_ALONE, "features", 1, 2),  # once for the teacher, in the place of the photographs
        ({"mimic": Mimic()}, "features", 2, 1),
    ],
)
def test_the_perceptual_network_runs_for_those_who_look_through_it(
    style: TaskOf,
    monkeypatch: pytest.MonkeyPatch,
    methods: dict[str, Method],
    compared_by: str,
    of_photographs: int,
    of_paintings: int,
) -> None:
    task = style(compared_by=compared_by)
    passes = counted(task, monkeypatch)
    teacher = read_only(initial(task, "teacher", 0))
    trained = train_students(task, {"trained": teacher}, methods, seed=5)
    assert [student.failure for student in trained.values()] == [None] * len(methods)
    steps = task.steps("student")
    assert (passes.count(False), passes.count(True)) == (steps * of_photographs, steps * of_paintings)


@pytest.mark.parametrize("compared_by", ["painting", "features"])
def test_the_objective_is_the_same_with_its_targets_and_without(style: TaskOf, compared_by: str) -> None:
    task = style(compared_by=compared_by)
    model, inputs = initial(task, "student", 0), batch(task)
    whole = task.with_targets(inputs)
    assert set(whole) == {"photographs", *task._perceptual_network.content_layers}
    assert task.with_targets(whole) is whole
    assert not any(tensor.requires_grad for tensor in whole.values())
    gradients = [
        torch.autograd.grad(task.loss(model, given, task.forward(model, given)), list(model.parameters()))
        for given in (inputs, whole)
    ]
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_features_seen_without_gradient_do_not_stand_in_for_those_with_one(style: TaskOf) -> None:
    # A teacher that its student feeds back to looks at the student's responses without gradient, before the student.
    task = style(compared_by="features")
    trained = train_students(task, {}, {"mutual": CrossModel(mutual=True), "alone": CrossModel()}, seed=5)
    assert [student.failure for student in trained.values()] == [None, None]
    model, inputs = initial(task, "student", 0), batch(task)
    outputs = task.forward(model, inputs)
    with torch.no_grad():
        task.responses(outputs, inputs, model)
    assert torch.autograd.grad(task.loss(model, inputs, outputs), list(model.parameters()))[0].norm() > 0


def test_targets_are_shared_and_watched(style: TaskOf) -> None:
    task = style()
    inputs = batch(task)
    without, shared = share(lambda: Batch(inputs), {}), share(lambda: Batch(inputs), {}, task.with_targets)
    assert without.batch.objective is inputs
    assert set(shared.batch.whole) == {"photographs"}
    layer = task._perceptual_network.content_layers[0]
    shared.batch.objective[layer].mul_(2)
    fault = shared.fault()
    assert fault is not None
    assert repr(layer) in fault


def test_targets_are_paid_for_by_each_who_minimises_the_objective(
    style: TaskOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = style()
    clock, original = [0.0], task.with_targets

    def costly(inputs: Inputs) -> Inputs:
        clock[0] += 0.0 if len(inputs) > 1 else 1.0
        return original(inputs)

    monkeypatch.setattr(task, "with_targets", costly)
    for module in ("loop", "batches", "sharing"):
        monkeypatch.setattr(f"distillbench.bench.training.{module}.now", lambda: clock[0])
    teacher = read_only(initial(task, "teacher", 0))
    trained = train_students(task, {"trained": teacher}, {"s": Scratch(), "m": Mimic(), **PAINTINGS_ALONE}, seed=5)
    steps = task.steps("student")
    assert {name: student.seconds for name, student in trained.items()} == {
        "s": steps, "m": steps, "mimic": 0, "temperature": 0
    }  # fmt: skip


@pytest.mark.parametrize("method", [Mimic(), Temperature(temperature=1.0), Temperature(temperature=4.0)])
def test_a_students_painting_is_compared_with_its_offset(style: TaskOf, method: Method) -> None:
    task = style()
    inputs = batch(task)
    painting = 0.2 + 0.5 * inputs["photographs"]

    def distance(image: Tensor) -> Tensor:
        student, teacher = (task.responses({"stylised": x}, inputs, nn.Identity()) for x in (image, painting))
        return method.distillation_loss(student, teacher)

    assert distance(painting).abs() < 1e-2
    shifted = (painting + 0.1).requires_grad_()
    distance(shifted).backward()
    assert shifted.grad is not None
    assert (shifted.grad > 0).all(), "each pixel is drawn back"


def test_black_and_white_have_logits_and_their_difference_is_that_of_the_pictures(style: TaskOf) -> None:
    task = style()
    inputs = batch(task)
    rng = torch.Generator().manual_seed(2)
    one, other = (torch.rand(2, 3, 32, 32, generator=rng).round() for _ in range(2))
    a, b = (task.responses({"stylised": x}, inputs, nn.Identity())["painting"] for x in (one, other))
    squared = (one - other).square().flatten(1).sum(1).mean()
    assert float(a.mse(b)) == pytest.approx(float(squared) * (1 - 1 / 255) ** 2, rel=1e-5)
    nearly = one.clamp(1e-4, 1 - 1e-4).requires_grad_()
    (gradient,) = torch.autograd.grad(
        b.kl(task.responses({"stylised": nearly}, inputs, nn.Identity())["painting"]), nearly
    )
    assert gradient.isfinite().all()
    assert (gradient[one != other] != 0).all(), "a black pixel can become white"


class Sepia(nn.Module):
    """Paints in browns, pale on dark."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.tensor([0.9, 0.6, 0.4]).view(3, 1, 1) * (1 - 0.8 * images.mean(1, keepdim=True))


def test_a_student_of_paintings_alone_learns_to_paint_like_its_teacher(style: TaskOf) -> None:
    student = style().settings.student
    task, teacher = style(student=student.model_copy(update={"steps": 60})), Sepia()
    before = task.evaluate(read_only(initial(task, "student", 5)), teacher, "validation").metrics["teacher_psnr"]
    trained = train_students(task, {"trained": teacher}, PAINTINGS_ALONE, seed=5)
    for name, outcome in trained.items():
        after = task.evaluate(outcome.model, teacher, "validation").metrics["teacher_psnr"]
        assert after > before + 1, (name, before, after)
