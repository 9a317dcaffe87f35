"""Loss values against the published formulas, written out in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distillbench.tasks.response import Bernoulli, Categorical, Feature, Normal, Response

TEACHER = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]], dtype=torch.double)
STUDENT = torch.tensor([[1.0, 0.0, -0.5], [0.5, 1.0, 0.0]], dtype=torch.double)


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(x) for x in row]
    return [p / sum(powers) for p in powers]


@pytest.mark.parametrize("temperature", [1.0, 4.0, 8.0])
def test_categorical_is_the_formula_of_repdistiller_and_torchdistill(temperature: float) -> None:
    # RepDistiller, DistillKL: KLDiv(log_softmax(s/T), softmax(t/T), sum) · T² / batch;
    # torchdistill, KDLoss: the same with reduction="batchmean", times α·T².
    expected = 0.0
    for t, s in zip(TEACHER.tolist(), STUDENT.tolist(), strict=True):
        p, q = softmax([x / temperature for x in t]), softmax([x / temperature for x in s])
        expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) * temperature**2 / len(TEACHER)
    loss = Categorical(TEACHER).tempered_kl(Categorical(STUDENT), temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_bernoulli_is_the_sum_over_events_and_the_mean_over_the_batch(temperature: float) -> None:
    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x / temperature))

    expected = 0.0
    for t, s in zip(TEACHER.flatten().tolist(), STUDENT.flatten().tolist(), strict=True):
        p, q = sigmoid(t), sigmoid(s)
        expected += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    loss = Bernoulli(TEACHER).tempered_kl(Bernoulli(STUDENT), temperature)
    assert loss.item() == pytest.approx(temperature**2 * expected / 2, rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_normal_is_the_kl_of_torch_distributions_with_tempered_variance(temperature: float) -> None:
    log_t, log_s = 0.3 * TEACHER - 1, 0.2 * STUDENT
    p = torch.distributions.Normal(TEACHER, (temperature * log_t.exp()).sqrt())
    q = torch.distributions.Normal(STUDENT, (temperature * log_s.exp()).sqrt())
    expected = temperature * torch.distributions.kl_divergence(p, q).sum(1).mean()
    loss = Normal(TEACHER, log_t).tempered_kl(Normal(STUDENT, log_s), temperature)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_feature_is_channel_wise_distillation_of_standardised_maps() -> None:
    # Shu et al. 2021, eq. 4 and 5: T²/C · Σ_c Σ_i φ(t)·log(φ(t)/φ(s)), on maps in units of the teacher's deviation.
    generator = torch.Generator().manual_seed(0)
    t, s = torch.randn(2, 3, 2, 4, 4, dtype=torch.double, generator=generator)
    expected, temperature = 0.0, 4.0
    for channel in range(t.shape[1]):
        deviation = t[:, channel].flatten().std(correction=0).item()
        for item in range(len(t)):
            p = softmax([x / deviation / temperature for x in t[item, channel].flatten().tolist()])
            q = softmax([x / deviation / temperature for x in s[item, channel].flatten().tolist()])
            expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    expected *= temperature**2 / (t.shape[1] * len(t))
    assert Feature(t).tempered_kl(Feature(s), temperature).item() == pytest.approx(expected, rel=1e-9)


def test_spatial_softmax_cannot_see_an_offset_so_the_task_loss_has_to() -> None:
    maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert Feature(maps).kl(Feature(maps + 1)).item() == pytest.approx(0, abs=1e-6)
    assert Feature(maps).mse(Feature(maps + 1)).item() > 0.5


def test_a_silent_channel_does_not_drown_the_others() -> None:
    teacher = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    teacher[:, 0] = 0.0
    student = teacher + 0.1
    assert Feature(teacher).mse(Feature(student)).item() < 1
    assert Feature(teacher).tempered_kl(Feature(student), 4.0).item() < 1


def test_a_normal_with_fixed_variance_makes_temperature_a_no_op() -> None:
    # Trap: that is why the posterior's variance is learned, and clamped.
    fixed = torch.zeros_like(TEACHER)
    one = Normal(TEACHER, fixed).tempered_kl(Normal(STUDENT, fixed), 1.0)
    eight = Normal(TEACHER, fixed).tempered_kl(Normal(STUDENT, fixed), 8.0)
    assert one.item() == pytest.approx(eight.item())


numbers = st.floats(-5, 5, allow_nan=False, width=32)
logits = st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=2, max_size=3)


def of_kind(kind: str, values: Tensor) -> Response:
    if kind == "categorical":
        return Categorical(values)
    if kind == "bernoulli":
        return Bernoulli(values)
    if kind == "normal":
        return Normal(values, 0.3 * values)
    return Feature(values.unsqueeze(2).expand(-1, -1, 3).unsqueeze(1) * torch.tensor([1.0, -1.0, 0.5]))


@pytest.mark.parametrize("kind", ["categorical", "bernoulli", "normal", "feature"])
@settings(max_examples=30)
@given(values=logits, other=logits, temperature=st.floats(1, 20))
def test_divergences_are_non_negative_and_zero_at_equality(
    kind: str, values: list[list[float]], other: list[list[float]], temperature: float
) -> None:
    rows = min(len(values), len(other))
    teacher = of_kind(kind, torch.tensor(values[:rows], dtype=torch.double))
    student = of_kind(kind, torch.tensor(other[:rows], dtype=torch.double))
    assert teacher.tempered_kl(student, temperature).item() >= -1e-9
    assert teacher.tempered_kl(teacher, temperature).item() == pytest.approx(0, abs=1e-9)
    assert teacher.mse(teacher).item() == 0
    assert teacher.mse(student).item() >= 0


def test_temperature_softens_no_normal_but_weighs_its_variance() -> None:
    # p^(1/T) of a Gaussian has T times the variance: the mean's gradient does not depend on T, the variance's grows.
    gradients = {}
    for temperature in (1.0, 4.0):
        mean, log_variance = STUDENT.clone().requires_grad_(), (0.2 * STUDENT).requires_grad_()
        loss = Normal(TEACHER, 0.3 * TEACHER).tempered_kl(Normal(mean, 0.2 * STUDENT), temperature)
        loss = loss + Normal(TEACHER, 0.3 * TEACHER).tempered_kl(Normal(TEACHER, log_variance), temperature)
        gradients[temperature] = torch.autograd.grad(loss, (mean, log_variance))
    assert torch.allclose(gradients[4.0][0], gradients[1.0][0])
    assert torch.allclose(gradients[4.0][1], 4 * gradients[1.0][1])
