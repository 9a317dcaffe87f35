"""Losses and distances on fixed tensors against the values that their authors' formulas give there.

Each formula is written out once more in plain Python, with its number beside it, so that neither side can drift alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from distillbench.methods.base import Method
from distillbench.methods.cross_model import CrossModel
from distillbench.methods.hard_labels import HardLabels
from distillbench.methods.label_smoothing import LabelSmoothing
from distillbench.methods.temperature import Temperature
from distillbench.tasks import style_transfer, vae
from distillbench.tasks.gan import hinge_discriminator_loss
from distillbench.tasks.metrics.distributions import distances, frechet_distance
from distillbench.tasks.response import Categorical, Feature

TEACHER = [[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]]
STUDENT = [[1.0, 0.0, -0.5], [0.5, 1.0, 0.0]]
LABELS = [0, 1]
Row = Sequence[float]


def softmax(row: Row, temperature: float = 1.0) -> list[float]:
    powers = [math.exp(x / temperature) for x in row]
    return [p / sum(powers) for p in powers]


def divergence(p: Row, q: Row) -> float:
    """KL(p ‖ q)."""
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def cross_entropy(logits: Sequence[Row]) -> float:
    return mean([-math.log(softmax(row)[label]) for row, label in zip(logits, LABELS, strict=True)])


def mean_divergence(p: Sequence[Row], q: Sequence[Row], temperature: float = 1.0) -> float:
    """The mean over rows of KL(softmax(p/T) ‖ softmax(q/T)), of logits."""
    return mean([divergence(softmax(a, temperature), softmax(b, temperature)) for a, b in zip(p, q, strict=True)])


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.double)


def responses(logits: Sequence[Row]) -> dict[str, Categorical]:
    return {"logits": Categorical(double(logits))}


def own_cross_entropy(logits: Sequence[Row]) -> Tensor:
    return F.cross_entropy(double(logits), torch.tensor(LABELS))


def of_student(method: Method) -> Tensor:
    """What a student minimises by a method."""
    distillation = method.distillation_loss(responses(STUDENT), responses(TEACHER))
    return method.student_loss(own_cross_entropy(STUDENT), distillation)


# -- categorical ----------------------------------------------------------------------------------------------------


def hinton() -> float:
    """Hinton et al. 2015, section 2, as RepDistiller has it: (1 − α)·CE + α·T²·KL at T = 4, α = 0.9."""
    return 0.1 * cross_entropy(STUDENT) + 0.9 * 4.0**2 * mean_divergence(TEACHER, STUDENT, 4.0)


def szegedy() -> float:
    """Szegedy et al. 2016, section 7: H(q′, p) with q′(k) = (1 − ε)·δ(k, y) + ε/K, ε = 0.1."""
    rows = []
    for row, label in zip(STUDENT, LABELS, strict=True):
        target = [0.9 * (k == label) + 0.1 / 3 for k in range(3)]
        rows.append(-sum(q * math.log(p) for q, p in zip(target, softmax(row), strict=True)))
    return mean(rows)


def mutual_of_student() -> float:
    """Zhang et al. 2018, eq. 5: L_Θ2 = CE + KL(p₁ ‖ p₂)."""
    return cross_entropy(STUDENT) + mean_divergence(TEACHER, STUDENT)


def mutual_of_teacher() -> float:
    """Zhang et al. 2018, eq. 5: L_Θ1 = CE + KL(p₂ ‖ p₁)."""
    return cross_entropy(TEACHER) + mean_divergence(STUDENT, TEACHER)


def kdcl_naive() -> float:
    """Guo et al. 2020, KDCL-Naive: CE + λ·T²·KL(z_t ‖ z_i), z_t the logits of least cross-entropy; T = 1, λ = 0.5."""
    target = min((TEACHER, STUDENT), key=cross_entropy)
    return cross_entropy(STUDENT) + 0.5 * mean_divergence(target, STUDENT)


def lee() -> float:
    """Lee 2013: the class that is held most likely taken as a label; here beside the labels, with equal weight."""
    labels = [max(range(3), key=row.__getitem__) for row in TEACHER]
    pseudo = [-math.log(softmax(row)[label]) for row, label in zip(STUDENT, labels, strict=True)]
    return cross_entropy(STUDENT) + mean(pseudo)


def of_mutual_teacher() -> Tensor:
    return CrossModel(mutual=True).teacher_loss(own_cross_entropy(TEACHER), responses(STUDENT), responses(TEACHER))


# -- maps -----------------------------------------------------------------------------------------------------------

# Of two channels, each with a deviation of 1, the unit that maps are compared in.
TEACHER_MAP = [[[1.0, -1.0], [-1.0, 1.0]], [[math.sqrt(2.0), 0.0], [-math.sqrt(2.0), 0.0]]]
STUDENT_MAP = [[[0.5, 0.0], [-0.5, 1.0]], [[1.0, 0.2], [-0.3, 0.4]]]


def flat(maps: Any) -> list[list[float]]:
    return [[x for row in channel for x in row] for channel in maps]


def shu() -> float:
    """Shu et al. 2021, eq. 4 and 5: T²/C · Σ_c Σ_i φ(t_ci)·log(φ(t_ci)/φ(s_ci)), T = 4."""
    return 4.0**2 * mean_divergence(flat(TEACHER_MAP), flat(STUDENT_MAP), 4.0)


def gatys() -> float:
    """The Gram matrix's entry of two channels (Gatys et al. 2016, eq. 3), over the positions: Σ_k F_1k·F_2k / M."""
    one, two = flat(STUDENT_MAP)
    return sum(a * b for a, b in zip(one, two, strict=True)) / 4


# -- generative -----------------------------------------------------------------------------------------------------

REAL, FAKE = [0.3, 1.7, -0.4, 2.0], [-1.5, 0.2, -0.7, 0.9]
MEAN, LOG_VARIANCE, NOISE = [0.5, -1.0], [-0.3, 0.4], [0.7, -0.2]
PIXELS, PIXEL_LOGITS = [1.0, 0.0, 1.0], [0.8, -0.5, -1.2]


def lim_and_ye() -> float:
    """Lim & Ye 2017: E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))]."""
    return mean([max(0.0, 1 - x) for x in REAL]) + mean([max(0.0, 1 + x) for x in FAKE])


def rate() -> float:
    """Kingma & Welling 2014, appendix B: −½·Σ(1 + log σ² − μ² − σ²)."""
    return -0.5 * sum(1 + v - m**2 - math.exp(v) for m, v in zip(MEAN, LOG_VARIANCE, strict=True))


def distortion() -> float:
    """Kingma & Welling 2014, appendix C.1: −Σ x·log y + (1 − x)·log(1 − y)."""
    probabilities = [1 / (1 + math.exp(-x)) for x in PIXEL_LOGITS]
    return -sum(math.log(p if x else 1 - p) for x, p in zip(PIXELS, probabilities, strict=True))


def importance() -> float:
    """Burda et al. 2016, eq. 8: log p(x given z) + log p(z) − log q(z given x) at z = μ + σ·ε."""

    def density(x: float, m: float, variance: float) -> float:
        return math.exp(-((x - m) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)

    log_ratio = 0.0
    for m, v, noise in zip(MEAN, LOG_VARIANCE, NOISE, strict=True):
        z = m + math.exp(v / 2) * noise
        log_ratio += math.log(density(z, 0, 1) / density(z, m, math.exp(v)))
    return log_ratio - distortion()


def autoencoded() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    outputs = {"pixels": double([PIXEL_LOGITS]), "mean": double([MEAN]), "log_variance": double([LOG_VARIANCE])}
    return outputs, {"images": double([PIXELS]), "noise": double([NOISE])}


# -- distances of sets ----------------------------------------------------------------------------------------------

# Means (0, 0) and (1, 2); variances 4/3·(1, 4) and 4/3·(9, 1); uncorrelated.
ONE = [[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]]
OTHER = [[4.0, 3.0], [4.0, 1.0], [-2.0, 3.0], [-2.0, 1.0]]


def heusel() -> float:
    """Heusel et al. 2017, eq. 6: |m − m′|² + Tr(C + C′ − 2·(C·C′)^½), of diagonal C: |m − m′|² + Σ(σ − σ′)²."""
    unit = math.sqrt(4 / 3)
    return 1.0**2 + 2.0**2 + (unit * (3 - 1)) ** 2 + (unit * (2 - 1)) ** 2


def binkowski() -> float:
    """Bińkowski et al. 2018: the unbiased MMD² with the kernel (x·y/d + 1)³."""

    def kernel(x: Row, y: Row) -> float:
        return (sum(a * b for a, b in zip(x, y, strict=True)) / 2 + 1) ** 3

    def within(rows: Sequence[Row]) -> float:
        return sum(kernel(rows[i], rows[j]) for i, j in product(range(4), range(4)) if i != j) / (4 * 3)

    return within(ONE) + within(OTHER) - 2 * mean([kernel(x, y) for x, y in product(ONE, OTHER)])


def between() -> dict[str, float]:
    return distances({"classifier": torch.tensor(ONE)}, {"classifier": torch.tensor(OTHER)})


# -- the table ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A formula of the authors' and its value, and what this project computes in its place."""

    formula: Callable[[], float]
    value: float
    ours: Callable[[], Tensor | float]


CASES = {
    "knowledge distillation": Case(hinton, 0.825632706, lambda: of_student(Temperature(alpha=0.9, temperature=4.0))),
    "label smoothing": Case(szegedy, 0.638985894, lambda: of_student(LabelSmoothing(weight=0.1))),
    "mutual learning, student": Case(mutual_of_student, 0.885718423, lambda: of_student(CrossModel(mutual=True))),
    "mutual learning, teacher": Case(mutual_of_teacher, 0.711843506, of_mutual_teacher),
    "collaborative learning": Case(kdcl_naive, 0.729018825, lambda: of_student(CrossModel(weight=0.5))),
    "pseudo-labels": Case(lee, 1.14463845, lambda: of_student(HardLabels())),
    "channel-wise distillation": Case(
        shu,
        0.147077666,
        lambda: Temperature(temperature=4.0).distillation_loss(
            {"maps": Feature(double([STUDENT_MAP]))}, {"maps": Feature(double([TEACHER_MAP]))}
        ),
    ),
    "Gram matrix": Case(gatys, 0.2625, lambda: style_transfer.gram(double([STUDENT_MAP]))[0, 0, 1]),
    "hinge loss": Case(lim_and_ye, 1.375, lambda: hinge_discriminator_loss(double(REAL), double(FAKE))),
    "rate of a VAE": Case(rate, 0.691321459, lambda: vae._rate(autoencoded()[0])),
    "distortion of a VAE": Case(distortion, 2.30846012, lambda: vae._distortion(*autoencoded())),
    "importance weight of a VAE": Case(
        importance, -3.37532542, lambda: vae._log_weight(*autoencoded(), vae._distortion(*autoencoded()))
    ),
    "FID": Case(heusel, 11.6666667, lambda: between()["classifier_fid"]),
    "FID of a curve": Case(heusel, 11.6666667, lambda: frechet_distance(double(ONE), double(OTHER))),
    "KID": Case(binkowski, 162.0, lambda: between()["classifier_kid"] / 1000),
}


@pytest.mark.parametrize("name", CASES)
def test_a_loss_has_the_value_of_its_authors_formula(name: str) -> None:
    case = CASES[name]
    assert case.formula() == pytest.approx(case.value, rel=1e-6, abs=1e-6)
    assert float(case.ours()) == pytest.approx(case.value, rel=1e-6, abs=1e-6)
