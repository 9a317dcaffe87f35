"""Training curves: where their points are, what stands there, and that looking changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from distillbench.bench.store.weights import digest
from distillbench.bench.training.curves import POINTS, CurveRecorder
from distillbench.bench.training.loop import initial, train_students
from distillbench.methods.scratch import Scratch
from distillbench.methods.temperature import Temperature
from distillbench.tasks.base import Task, read_only
from distillbench.tasks.feature_extractors.classifier import FeatureClassifier
from distillbench.tasks.metrics.distributions import Precomputed, frechet_distance
from support.tasks import TASK_NAMES

TaskOf = Callable[[str], Task]


class Silent:
    """A task that has nothing to say."""

    def validation_metric(self, model: nn.Module) -> float | None:
        return None


@given(st.integers(1, 5000))
def test_points_are_spread_over_the_whole_training(steps: int) -> None:
    recorder = CurveRecorder(steps)
    for step in range(steps):
        recorder.note(Silent(), nn.Identity(), torch.tensor(1.0), step, 0.0)  # type: ignore[arg-type]
    found = recorder.curve().steps
    assert len(found) == min(POINTS, steps)
    assert found[-1] == steps
    gaps = [b - a for a, b in zip((0, *found), found, strict=False)]
    assert max(gaps) - min(gaps) <= 1
    assert recorder.curve().validation == (None,) * len(found)


def test_a_loss_is_the_mean_since_the_point_before_and_none_where_it_is_not_finite() -> None:
    recorder = CurveRecorder(100)
    for step in range(100):
        loss = torch.tensor(float(step if step < 98 else "nan"))
        recorder.note(Silent(), nn.Identity(), loss, step, 0.0)  # type: ignore[arg-type]
    assert recorder.curve().loss[:3] == (0.5, 2.5, 4.5)
    assert recorder.curve().loss[-1] is None


@pytest.mark.parametrize("name", TASK_NAMES)
def test_looking_at_validation_data_changes_no_bit_of_the_student(
    task_of: TaskOf, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(name)
    teacher = read_only(initial(task, "teacher", 0))
    methods = {"scratch": Scratch(), "temperature": Temperature()}
    watched = train_students(task, {"trained": teacher}, methods, 0)
    monkeypatch.setattr(type(task), "validation_metric", lambda *_: None)
    alone = train_students(task, {"trained": teacher}, methods, 0)
    for method in methods:
        assert digest(watched[method].model) == digest(alone[method].model)
        assert None not in watched[method].curve.validation
        assert set(alone[method].curve.validation) == {None}


@pytest.mark.parametrize("name", TASK_NAMES)
def test_the_validation_metric_is_the_same_every_time_and_reads_no_test_data(
    task_of: TaskOf, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(name)
    assert task.validation_part
    model = read_only(initial(task, "student", 0))
    first = task.validation_metric(model)
    fresh = type(task)(task.settings)
    fresh.feature_extractor = task.feature_extractor
    splits = fresh.splits
    monkeypatch.setattr(fresh, "splits", type(splits)(splits.train, splits.validation, None))
    assert fresh.validation_metric(model) == first
    assert fresh.validation_metric(read_only(initial(task, "student", 1))) != first


def test_the_frechet_distance_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    torch.manual_seed(0)
    extractor = FeatureClassifier((1, 8, 8), 10).eval()
    with torch.no_grad():
        real, fake = (extractor.features(x) for x in (torch.rand(400, 1, 8, 8), torch.rand(300, 1, 8, 8) ** 2))
    reference = FrechetInceptionDistance(feature=Precomputed(real.shape[1]), normalize=True)
    reference.update(real, real=True)
    reference.update(fake, real=False)
    assert frechet_distance(real, fake) == pytest.approx(float(reference.compute()), rel=1e-4)
