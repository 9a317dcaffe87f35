"""What a model puts out for one batch, in a form in which two models can be compared.

A task turns a model's output into named responses; a method compares the student's with the teacher's. Neither
needs to know the other. Reduction everywhere: sum over the event axis, mean over the rest, in nats. The factor that
keeps the gradients of a tempered divergence on one scale belongs to the kind of response and is applied here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6


@dataclass(frozen=True)
class Response(ABC):
    """Parameters of a distribution over outcomes, or features, for one batch.

    Args:
        values: Logits, means or feature values, (batch, ...).
    """

    values: Tensor

    @abstractmethod
    def tempered_kl(self, approximation: Response, temperature: float) -> Tensor:
        """KL(self ‖ approximation), both softened, times the kind's gradient factor.

        Args:
            approximation: The same response of the other model; in distillation self is the teacher's.
            temperature: Above 0; 1 softens nothing.

        Returns:
            A scalar, in nats.
        """

    def kl(self, approximation: Response) -> Tensor:
        """KL(self ‖ approximation): a scalar, in nats."""
        return self.tempered_kl(approximation, 1.0)

    def mse(self, approximation: Response) -> Tensor:
        """Squared error of the outputs: a scalar, summed over the event axes, mean over the rest."""
        return (self.values - approximation.values).square().flatten(1).sum(1).mean()

    @abstractmethod
    def evidence(self, thresholds: Tensor | None = None, pooled: bool = False) -> Tensor:
        """The inputs of a logistic readout, differentiable.

        Args:
            thresholds: (K,) ordinal thresholds of a real-valued response (``Events.thresholds``).
            pooled: Whether a row is an image's mean feature, and not one position.

        Returns:
            (rows, features).
        """

    def detach(self) -> Response:
        """The same response behind a stop-gradient."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{k: v.detach() if isinstance(v, Tensor) else v for k, v in values.items()})


Responses = Mapping[str, Response]


def floored(deviation: Tensor) -> Tensor:
    """Standard deviations to divide by, each raised to at least a tenth of their root mean square.

    Else a nearly silent channel would drown all others.

    Args:
        deviation: Of any shape, which the result has too.
    """
    return deviation.clamp_min(0.1 * deviation.square().mean().sqrt().item()).clamp_min(EPSILON)


@dataclass(frozen=True)
class Categorical(Response):
    """Logits over classes, on the last axis: (batch, ..., classes). Gradient factor T² (Hinton et al. 2015, §2.1)."""

    def scale(self) -> Tensor:
        """Standard deviation of all logits of the batch, floored: a scalar."""
        return self.values.std(correction=0).clamp_min(EPSILON)

    def tempered_kl(self, approximation: Response, temperature: float) -> Tensor:
        p = F.log_softmax(self.values / temperature, dim=-1)
        q = F.log_softmax(approximation.values / temperature, dim=-1)
        return temperature**2 * (p.exp() * (p - q)).sum(-1).mean()

    def mse(self, approximation: Response) -> Tensor:
        """Squared error in units of the teacher's variance, summed over classes: a sure teacher's logits are large."""
        return ((self.values - approximation.values) / self.scale()).square().sum(-1).mean()

    def evidence(self, thresholds: Tensor | None = None, pooled: bool = False) -> Tensor:
        return F.log_softmax(self.values, dim=-1).flatten(0, -2)


@dataclass(frozen=True)
class Bernoulli(Response):
    """Logits of independent binary events: (batch, ...); every axis but the first is an event axis. Factor T²."""

    def tempered_kl(self, approximation: Response, temperature: float) -> Tensor:
        p, q = self.values / temperature, approximation.values / temperature
        # KL(σ(p) ‖ σ(q)) = σ(p)·(p − q) − softplus(p) + softplus(q), which never takes the log of a probability.
        divergence = torch.sigmoid(p) * (p - q) - F.softplus(p) + F.softplus(q)
        return temperature**2 * divergence.flatten(1).sum(1).mean()

    def mse(self, approximation: Response) -> Tensor:
        """Squared error of the probabilities: a confident teacher's logits have no scale to match."""
        return (torch.sigmoid(self.values) - torch.sigmoid(approximation.values)).square().flatten(1).sum(1).mean()

    def evidence(self, thresholds: Tensor | None = None, pooled: bool = False) -> Tensor:
        """(batch, events); the channels' mean logits of maps (batch, channels, height, width) when pooled."""
        return self.values.mean(dim=(2, 3)) if pooled else self.values.flatten(1)


@dataclass(frozen=True)
class Normal(Response):
    """Diagonal Gaussian: ``values`` is the mean, (batch, dimensions); tempering scales the variance. Factor T.

    p(z)^(1/T) of a Gaussian is the Gaussian with T times the variance, so T softens nothing here. With the factor T
    the mean's term and its gradient do not depend on T at all, the variance's grow with it: T is a weight on matching
    the variance. (Any other factor rescales both.) With a fixed variance it would do nothing whatever, so
    ``log_variance`` is the model's own output; a task that learns it clamps it.
    """

    log_variance: Tensor

    def tempered_kl(self, approximation: Response, temperature: float) -> Tensor:
        if not isinstance(approximation, Normal):
            raise TypeError(f"a Normal response cannot be compared with a {type(approximation).__name__}")
        ratio = self.log_variance - approximation.log_variance
        distance = (self.values - approximation.values).square() / (temperature * approximation.log_variance.exp())
        return temperature * 0.5 * (ratio.exp() - 1 - ratio + distance).flatten(1).sum(1).mean()

    def mse(self, approximation: Response) -> Tensor:
        if not isinstance(approximation, Normal):
            raise TypeError(f"a Normal response cannot be compared with a {type(approximation).__name__}")
        variances = (self.log_variance - approximation.log_variance).square().flatten(1).sum(1).mean()
        return super().mse(approximation) + variances

    def evidence(self, thresholds: Tensor | None = None, pooled: bool = False) -> Tensor:
        return self.values.flatten(1)


@dataclass(frozen=True)
class Feature(Response):
    """Real-valued maps, (batch, channels, height, width), compared channel by channel over positions. Factor T².

    Each channel becomes a distribution over positions, softmax(v / (s·T)), with s the standard deviation of the
    channel in *self* (the teacher) over batch and positions (Shu et al. 2021, with the standardisation that makes T
    mean the same for every map). A spatial softmax cannot see a constant offset: the task loss has to.
    """

    def scale(self) -> Tensor:
        """Standard deviation of each channel over batch and positions, floored: (1, channels, 1, 1)."""
        return floored(self.values.std(dim=(0, 2, 3), keepdim=True, correction=0))

    def tempered_kl(self, approximation: Response, temperature: float) -> Tensor:
        scale = self.scale() * temperature
        p = F.log_softmax((self.values / scale).flatten(2), dim=-1)
        q = F.log_softmax((approximation.values / scale).flatten(2), dim=-1)
        return temperature**2 * (p.exp() * (p - q)).sum(-1).mean()

    def mse(self, approximation: Response) -> Tensor:
        """Mean squared error in units of the teacher's variance: positions are elements of a map, not events."""
        return ((self.values - approximation.values) / self.scale()).square().mean()

    def evidence(self, thresholds: Tensor | None = None, pooled: bool = False) -> Tensor:
        """(batch · positions, channels); one row an image when pooled; distances to the thresholds when given.

        With K thresholds each value v becomes the K distances v − τ_k: (batch · channels · positions, K).
        """
        if thresholds is not None:
            return self.values.reshape(-1, 1) - thresholds
        if pooled:
            return self.values.mean(dim=(2, 3))
        return self.values.permute(0, 2, 3, 1).flatten(0, 2)


@dataclass(frozen=True)
class Events:
    """Binary ground-truth outcomes beside a teacher's response, for a logistic readout to be fitted to.

    Args:
        response: The teacher's response on validation data.
        outcomes: (rows, K) in {0, 1}; rows as in ``response.evidence(thresholds, pooled)``.
        thresholds: (K,) ordinal thresholds τ_k, for a real-valued response.
        pooled: Whether the readout reads each image's mean feature.
        elementwise: Whether outcome k is read from evidence k alone (a slope and an offset for each k) or from all.
    """

    response: Response
    outcomes: Tensor
    thresholds: Tensor | None = None
    pooled: bool = False
    elementwise: bool = False


def ordinal_events(response: Response, truth: Tensor, levels: int) -> Events:
    """Events 1[truth > τ_k] of a real-valued response, at equally spaced quantiles τ_k of the truth.

    Args:
        response: The teacher's response.
        truth: What a perfect response would be, of the same shape.
        levels: The number K of quantiles.
    """
    flat = truth.flatten()
    stride = max(1, flat.numel() // 100_000)  # torch.quantile takes at most 16 million values, and needs far fewer
    quantiles = torch.linspace(0, 1, levels + 2, device=truth.device)[1:-1]
    thresholds = torch.quantile(flat[::stride], quantiles)
    return Events(response, (flat.unsqueeze(1) > thresholds).float(), thresholds, elementwise=True)
