"""Logistic distillation: match the teacher through readouts fitted to the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from distillbench.methods.base import Distillation, Method, total
from distillbench.tasks.response import Events, Response, Responses, floored


@dataclass(frozen=True)
class Readout:
    """A fitted readout π = σ(W·evidence + b) of K binary outcomes.

    Attributes:
        weight: W, (K, features); (K,) where each outcome is read from one feature alone.
        bias: b, (K,).
        thresholds: those of the evidence, as in ``Events``.
        pooled: whether the evidence is pooled, as in ``Events``.
    """

    weight: Tensor
    bias: Tensor
    thresholds: Tensor | None = None
    pooled: bool = False

    def logits(self, response: Response) -> Tensor:
        """Return the logits of the outcomes for a response: (rows, K)."""
        evidence = response.evidence(self.thresholds, self.pooled)
        if self.weight.dim() == 1:
            return evidence * self.weight + self.bias
        return evidence @ self.weight.T + self.bias


class Logistic(Method):
    """Match probabilities π = σ(W·response + b), W and b fitted once to ground-truth events: BCE(π_t, π_s).

    Fitted on validation data with an L2 penalty: on the training data, or on separable features, W would run to
    infinity. For classes this is vector scaling of log-probabilities, one against the rest (Platt 1999; Guo et al.
    2017); its use as a distillation loss, and every form outside classification, is this project's own extension.
    """

    l2: float = Field(1e-2, gt=0, description="penalty on W², evidence standardised, loss averaged over rows")

    def prepare(self, events: Callable[[], Mapping[str, Events]]) -> Distillation:
        readouts = {name: fit(event, self.l2) for name, event in events().items()}

        def distillation_loss(student: Responses, teacher: Responses) -> Tensor:
            return total({name: _cross_entropy(r, student[name], teacher[name]) for name, r in readouts.items()})

        return distillation_loss


def _cross_entropy(readout: Readout, student: Response, teacher: Response) -> Tensor:
    """BCE(π_t, π_s) less the entropy of π_t, which has no gradient: zero when the two agree."""
    target = readout.logits(teacher)
    probability = torch.sigmoid(target)
    loss = F.binary_cross_entropy_with_logits(readout.logits(student), probability, reduction="none")
    entropy = F.binary_cross_entropy_with_logits(target, probability, reduction="none")
    return (loss - entropy.detach()).sum(-1).mean()


def fit(events: Events, l2: float) -> Readout:
    """Fit W and b by L2-penalised logistic regression (convex; L-BFGS in double precision).

    Args:
        events: the teacher's responses beside the outcomes, on the validation split.
        l2: the penalty on W², with standardised evidence and the loss averaged over rows.
    """
    evidence = events.response.detach().evidence(events.thresholds, events.pooled).double()
    outcomes = events.outcomes.double()
    if evidence.shape[0] != outcomes.shape[0]:
        raise ValueError(f"{evidence.shape[0]} rows of evidence, but {outcomes.shape[0]} rows of outcomes")
    # A nearly silent feature would get an enormous slope, and with it drown the others in the student's loss.
    mean, scale = evidence.mean(0), floored(evidence.std(0, correction=0))
    evidence = (evidence - mean) / scale
    shape = (outcomes.shape[1],) if events.elementwise else (outcomes.shape[1], evidence.shape[1])
    weight = torch.zeros(shape, dtype=torch.double, device=evidence.device, requires_grad=True)
    bias = torch.zeros(outcomes.shape[1], dtype=torch.double, device=evidence.device, requires_grad=True)
    # To the optimum, as far as double precision goes: W must not depend on where a machine's rounding stops the search.
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=1000, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        logits = (evidence * weight if events.elementwise else evidence @ weight.T) + bias
        loss = F.binary_cross_entropy_with_logits(logits, outcomes, reduction="none").sum(-1).mean()
        # The slightest pull on b as well: an outcome that never happens would send it to −infinity.
        loss = loss + l2 * weight.square().sum() + 1e-6 * bias.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    slope = weight.detach() / scale
    offset = bias.detach() - (slope * mean if events.elementwise else slope @ mean)
    return Readout(slope.float(), offset.float(), events.thresholds, events.pooled)
