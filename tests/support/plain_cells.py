"""Every cell written out a second time, in plain PyTorch, from the formulas in docs/methods.md: for ``plain_loop``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from distillbench.tasks.data.crops import grid_crops
from distillbench.tasks.metrics.images import downscale, upscale

Inputs = dict[str, Tensor]
Outputs = dict[str, Any]


@dataclass(frozen=True)
class Response:
    """What a model puts out for a batch: logits, means or maps, and what kind they are."""

    kind: str
    values: Tensor
    log_variance: Tensor | None = None

    def detach(self) -> Response:
        return replace(
            self,
            values=self.values.detach(),
            log_variance=None if self.log_variance is None else self.log_variance.detach(),
        )


@dataclass(frozen=True)
class Readout:
    """π = σ(W·(evidence − τ) + b); a W in one dimension reads each outcome from its own evidence."""

    weight: Tensor
    bias: Tensor
    thresholds: Tensor | None = None

    def logits(self, evidence: Tensor) -> Tensor:
        if self.thresholds is not None:
            evidence = evidence - self.thresholds
        return (evidence * self.weight if self.weight.dim() == 1 else evidence @ self.weight.T) + self.bias


@dataclass(frozen=True)
class Truth:
    """What a teacher says on the data to fit to, with binary outcomes and, where they are ordinal, their thresholds."""

    response: Response
    outcomes: Tensor
    thresholds: Tensor | None = None


# -- distillation -------------------------------------------------------------------------------------------------


def unit(deviation: Tensor) -> Tensor:
    """Deviations to divide by: none less than a tenth of their root mean square."""
    return deviation.clamp_min(max(0.1 * float(deviation.pow(2).mean().sqrt()), 1e-6))


def channel_unit(maps: Tensor) -> Tensor:
    """The deviation of each channel over batch and positions."""
    return unit(maps.detach().transpose(0, 1).flatten(1).std(1, correction=0)).view(1, -1, 1, 1)


def tempered_kl(teacher: Response, student: Response, temperature: float) -> Tensor:
    """KL(sg teacher ‖ student), both softened, with the factor of docs/methods.md."""
    teacher, t = teacher.detach(), temperature
    if teacher.kind == "categorical":
        log_p, log_q = F.log_softmax(teacher.values / t, 1), F.log_softmax(student.values / t, 1)
        return t**2 * F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
    if teacher.kind == "bernoulli":
        p, q = Bernoulli(logits=teacher.values / t), Bernoulli(logits=student.values / t)
        return t**2 * kl_divergence(p, q).sum() / len(teacher.values)
    if teacher.kind == "normal":
        assert teacher.log_variance is not None
        assert student.log_variance is not None
        gaussian = Normal(teacher.values, (t * teacher.log_variance.exp()).sqrt())
        return (
            t * kl_divergence(gaussian, Normal(student.values, (t * student.log_variance.exp()).sqrt())).sum(1).mean()
        )
    c = channel_unit(teacher.values)
    log_p, log_q = (F.log_softmax((s.values / (c * t)).flatten(2).flatten(0, 1), 1) for s in (teacher, student))
    return t**2 * F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")


def squared_error(teacher: Response, student: Response) -> Tensor:
    """Of probabilities, of mean and log variance, or of logits and maps in units of the teacher's deviation."""
    teacher = teacher.detach()
    batch = len(teacher.values)
    if teacher.kind == "bernoulli":
        return F.mse_loss(student.values.sigmoid(), teacher.values.sigmoid(), reduction="sum") / batch
    if teacher.kind == "feature":
        c = channel_unit(teacher.values)
        return F.mse_loss(student.values / c, teacher.values / c)
    if teacher.kind == "categorical":
        variance = teacher.values.var(correction=0)
        return F.mse_loss(student.values, teacher.values, reduction="sum") / (batch * variance)
    error = F.mse_loss(student.values, teacher.values, reduction="sum") / batch
    if teacher.log_variance is not None:
        assert student.log_variance is not None
        error = error + F.mse_loss(student.log_variance, teacher.log_variance, reduction="sum") / batch
    return error


def readout_loss(readout: Readout, teacher: Tensor, student: Tensor) -> Tensor:
    """BCE(π_t, π_s) less the entropy of π_t, from the evidence of both."""
    p, q = Bernoulli(logits=readout.logits(teacher).detach()), Bernoulli(logits=readout.logits(student))
    return kl_divergence(p, q).sum(1).mean()


def fit(evidence: Tensor, truth: Truth, l2: float, elementwise: bool) -> Readout:
    """Logistic regression with a penalty, one outcome after another, by Newton's method in double precision.

    Minimises mean BCE + l2·‖w‖² over the standardised evidence (plus 1e-6·b²: an outcome may never happen).
    """
    x, y = evidence.detach().double(), truth.outcomes.double().numpy()
    if truth.thresholds is not None:
        x = x - truth.thresholds
    mean, scale = x.mean(0).numpy(), unit(x.std(0, correction=0)).numpy()
    z = (x.numpy() - mean) / scale
    slopes, offsets = [], []
    for k in range(y.shape[1]):
        columns = z[:, k : k + 1] if elementwise else z
        *w, b = newton(np.column_stack([columns, np.ones(len(z))]), y[:, k], np.array([l2] * columns.shape[1] + [1e-6]))
        slope = np.array(w) / (scale[k : k + 1] if elementwise else scale)
        slopes.append(slope)
        offsets.append(b - float(slope @ (mean[k : k + 1] if elementwise else mean)))
    weight = torch.tensor(np.array(slopes)).float()
    return Readout(weight[:, 0] if elementwise else weight, torch.tensor(offsets).float(), truth.thresholds)


def newton(x: NDArray[Any], y: NDArray[Any], penalty: NDArray[Any]) -> NDArray[Any]:
    """The w that minimises mean BCE(y, σ(x·w)) + Σ penalty·w²; steps that overshoot are halved."""

    def objective(w: NDArray[Any]) -> float:
        logits = x @ w
        return float((np.logaddexp(0, logits) - y * logits).mean() + (penalty * w**2).sum())

    w = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-(x @ w)))
        gradient = x.T @ (p - y) / len(x) + 2 * penalty * w
        if np.abs(gradient).max() < 1e-12:
            break
        hessian = (x.T * (p * (1 - p))) @ x / len(x) + 2 * np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        while objective(w - step) > objective(w) and np.abs(step).max() > 1e-12:
            step /= 2
        w = w - step
    return w


# -- the cells ----------------------------------------------------------------------------------------------------


class Cell(ABC):
    """One task: what a model puts out, what it minimises alone, and what is compared with a teacher."""

    elementwise: ClassVar[bool] = False

    def __init__(self, task: Any) -> None:
        self.task = task

    @property
    def settings(self) -> Any:
        return self.task.settings

    @abstractmethod
    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs: ...

    @abstractmethod
    def objective(self, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Any, progress: float) -> Tensor:
        """recipe: the model's own; progress: the share of its training that is done."""

    @abstractmethod
    def responses(self, outputs: Outputs, teacher: nn.Module) -> dict[str, Response]: ...

    @abstractmethod
    def truth(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Truth]:
        """For the responses that a readout is fitted to."""

    def evidence(self, response: Response) -> Tensor:
        """(rows, features) for a readout."""
        return response.values.flatten(1)

    def parts(self, model: nn.Module) -> dict[str, tuple[nn.Module, float]]:
        """What is trained, with the factor on its learning rate; an adversary is named ``discriminator``."""
        return {"model": (model, 1.0)}

    def adversary_objective(self, model: nn.Module, inputs: Inputs, outputs: Outputs) -> Tensor:
        raise NotImplementedError


class ClassificationCell(Cell):
    """Cross-entropy; logits."""

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        return {"logits": model(inputs["images"])}

    def objective(self, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Any, progress: float) -> Tensor:
        return F.cross_entropy(outputs["logits"], inputs["labels"])

    def responses(self, outputs: Outputs, teacher: nn.Module) -> dict[str, Response]:
        return {"logits": Response("categorical", outputs["logits"])}

    def evidence(self, response: Response) -> Tensor:
        return response.values - response.values.logsumexp(1, keepdim=True)

    def truth(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Truth]:
        data = self.task.splits.fit
        logits = teacher(data.images.float() / 255)
        outcomes = data.labels[:, None] == torch.arange(logits.shape[1])
        return {"logits": Truth(Response("categorical", logits), outcomes)}


class GANCell(Cell):
    """Hinge loss; patch logits and features of the teacher's discriminator on images from the same codes."""

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        return {"images": cast(nn.Module, model.generator)(inputs["latent"])}

    def parts(self, model: nn.Module) -> dict[str, tuple[nn.Module, float]]:
        adversary = cast(nn.Module, model.discriminator)
        return {
            "model": (cast(nn.Module, model.generator), 1.0),
            "discriminator": (adversary, self.settings.discriminator_rate),
        }

    def objective(self, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Any, progress: float) -> Tensor:
        logits: Tensor = cast(nn.Module, model.discriminator)(outputs["images"])[1]
        return -logits.mean()

    def adversary_objective(self, model: nn.Module, inputs: Inputs, outputs: Outputs) -> Tensor:
        # One pass for both: a pass in training mode is a step of the spectral normalisation.
        both = torch.cat([inputs["images"], outputs["images"].detach()])
        logits: Tensor = cast(nn.Module, model.discriminator)(both)[1]
        real, fake = logits[: len(inputs["images"])], logits[len(inputs["images"]) :]
        return (1 - real).clamp_min(0).mean() + (1 + fake).clamp_min(0).mean()

    def features_and_logits(self, images: Tensor, teacher: nn.Module) -> tuple[Tensor, Tensor]:
        discriminator = cast(nn.Module, teacher.discriminator)
        training = discriminator.training
        features, logits = discriminator.eval()(images)
        discriminator.train(training)
        return features, logits

    def responses(self, outputs: Outputs, teacher: nn.Module) -> dict[str, Response]:
        features, logits = self.features_and_logits(outputs["images"], teacher)
        # Every patch is a case of its own: one event, mean over batch and patches.
        return {"features": Response("feature", features), "patches": Response("bernoulli", logits.reshape(-1, 1))}

    def evidence(self, response: Response) -> Tensor:
        return response.values.movedim(1, -1).reshape(-1, response.values.shape[1])

    def truth(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Truth]:
        real = self.task.splits.fit.images[:1000].float() / 255
        fake = cast(nn.Module, teacher.generator)(torch.randn(len(real), self.settings.latent, generator=rng))
        features = Response("feature", self.features_and_logits(torch.cat([real, fake]), teacher)[0])
        rows = len(self.evidence(features))
        return {"features": Truth(features, torch.arange(rows)[:, None] < rows // 2)}


class VAECell(Cell):
    """−ELBO; pixels at a shared sample, and the posterior."""

    elementwise: ClassVar[bool] = True

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        network = cast(Any, model)
        mean, log_variance = network.encode(inputs["images"])
        pixels = network.decode(mean + log_variance.exp().sqrt() * inputs["noise"])
        return {"pixels": pixels, "mean": mean, "log_variance": log_variance}

    def objective(self, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Any, progress: float) -> Tensor:
        log_p = -F.binary_cross_entropy_with_logits(outputs["pixels"], inputs["images"], reduction="sum")
        posterior = Normal(outputs["mean"], outputs["log_variance"].exp().sqrt())
        share = 1.0 if progress >= recipe.kl_warmup else progress / recipe.kl_warmup
        return (share * kl_divergence(posterior, Normal(0.0, 1.0)).sum() - log_p) / len(inputs["images"])

    def responses(self, outputs: Outputs, teacher: nn.Module) -> dict[str, Response]:
        return {
            "pixels": Response("bernoulli", outputs["pixels"]),
            "posterior": Response("normal", outputs["mean"], outputs["log_variance"]),
        }

    def truth(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Truth]:
        images = (self.task.splits.fit.images >= 128).float()
        noise = torch.randn(len(images), self.settings.latent, generator=rng)
        outputs = self.forward(teacher, {"images": images, "noise": noise})
        return {"pixels": Truth(Response("bernoulli", outputs["pixels"]), images.flatten(1))}


class OrdinalCell(Cell):
    """One map of residuals: its readout sees the distance of each value to seven quantiles of the truth."""

    elementwise: ClassVar[bool] = True
    name: ClassVar[str]

    @property
    def side(self) -> int:
        return int(self.settings.patch)

    @abstractmethod
    def validation(self, crops: Tensor, rng: torch.Generator) -> tuple[Inputs, Tensor]:
        """Inputs, and the true residual."""

    def responses(self, outputs: Outputs, teacher: nn.Module) -> dict[str, Response]:
        return {self.name: Response("feature", outputs[self.name])}

    def evidence(self, response: Response) -> Tensor:
        return response.values.reshape(-1, 1)

    def truth(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Truth]:
        crops = torch.cat([grid_crops(image, self.side, 16) for image in self.task.splits.fit.images])
        inputs, residual = self.validation(crops, rng)
        thresholds = torch.quantile(residual.flatten(), torch.arange(1, 8) / 8)
        response = Response("feature", self.forward(teacher, inputs)[self.name])
        return {self.name: Truth(response, residual.reshape(-1, 1) > thresholds, thresholds)}


class DenoisingCell(OrdinalCell):
    """½ · squared error of the noise in units of σ²."""

    name: ClassVar[str] = "noise"

    @property
    def sigma(self) -> float:
        return float(self.settings.sigma) / 255

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        return {"noise": cast(Any, model).noise(inputs["noisy"])}

    def objective(self, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Any, progress: float) -> Tensor:
        return F.mse_loss(outputs["noise"] / self.sigma, inputs["noise"] / self.sigma) / 2

    def validation(self, crops: Tensor, rng: torch.Generator) -> tuple[Inputs, Tensor]:
        noise = self.sigma * torch.randn(crops.shape, generator=rng)
        return {"noisy": crops + noise}, noise


class SuperResolutionCell(OrdinalCell):
    """½ · squared error in units of the variance of what bicubic interpolation lacks on the training pictures."""

    name: ClassVar[str] = "residual"

    def __init__(self, task: Any) -> None:
        super().__init__(task)
        crops = torch.cat([grid_crops(image, self.side, 16) for image in task.splits.train.images])
        self.variance = float(self.validation(crops, torch.Generator())[1].var())

    @property
    def side(self) -> int:
        return int(self.settings.patch * self.settings.scale)

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        return {"residual": cast(Any, model).residual(inputs["low"])}

    def objective(self, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Any, progress: float) -> Tensor:
        bicubic = upscale(inputs["low"], self.settings.scale)
        return F.mse_loss(bicubic + outputs["residual"], inputs["target"]) / (2 * self.variance)

    def validation(self, crops: Tensor, rng: torch.Generator) -> tuple[Inputs, Tensor]:
        low = downscale(crops, self.settings.scale)
        return {"low": low}, crops - upscale(low, self.settings.scale)


class StyleCell(Cell):
    """Content, Gram style and total variation through random filters on a pyramid; paintings are what is compared."""

    content = (2, 3)

    def __init__(self, task: Any) -> None:
        super().__init__(task)
        picture = task.style_picture[None].float() / 255
        rng = torch.Generator().manual_seed(0)
        edges = torch.randn(48, 3, 5, 5, generator=rng)
        self.edges = F.normalize((edges - edges.flatten(1).mean(1)[:, None, None, None]).flatten(1)).view_as(edges)
        self.colours = F.normalize(torch.randn(6, 3, generator=rng))[:, :, None, None]
        self.units: list[Tensor] = [torch.ones(())] * 5
        with torch.no_grad():
            sizes = [maps.pow(2).mean((0, 2, 3), keepdim=True).sqrt() for maps in self.features(picture)]
            self.units = [torch.maximum(size, size.pow(2).mean().sqrt() / 10) for size in sizes]
            self.style = [self.gram(maps) for maps in self.features(picture)]
            crops = [self.features(grid_crops(image, self.settings.patch, 16)) for image in task.splits.train.images]
        self.energy = {
            level: sum(float(maps[level - 1].pow(2).mean()) for maps in crops) / len(crops) for level in self.content
        }

    def features(self, images: Tensor) -> list[Tensor]:
        """48 edge filters and 6 colour mixtures at up to 5 sizes, finest first, in units of the style's."""
        levels, picture = [], images * 2 - 1
        bell = torch.tensor([1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16])
        for unit in self.units:
            if min(picture.shape[2:]) < 5:
                break
            maps = torch.cat([F.conv2d(picture, self.edges), F.conv2d(picture[..., 2:-2, 2:-2], self.colours)], dim=1)
            maps = maps.clamp_min(0) / unit
            levels.append(maps if levels else maps[..., ::2, ::2])
            wide = F.pad(picture, (2, 2, 2, 2), mode="reflect").flatten(0, 1)[:, None]
            smooth = F.conv2d(F.conv2d(wide, bell.view(1, 1, 5, 1)), bell.view(1, 1, 1, 5)).view_as(picture)
            picture = smooth[..., ::2, ::2]
        return levels

    @staticmethod
    def gram(maps: Tensor) -> Tensor:
        return torch.einsum("bihw,bjhw->bij", maps, maps) / (maps.shape[2] * maps.shape[3])

    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        image = model(inputs["photographs"])
        return {"image": image}

    def objective(self, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Any, progress: float) -> Tensor:
        image, maps, originals = outputs["image"], self.features(outputs["image"]), self.features(inputs["photographs"])
        content, style = torch.zeros(()), torch.zeros(())
        for level, energy in self.energy.items():
            error = (maps[level - 1] - originals[level - 1]).flatten(1).pow(2).mean(1) / energy
            content = content + (error + 1e-8).sqrt().mean()
        for values, target in zip(maps, self.style, strict=False):
            error = (self.gram(values) - target).flatten(1).pow(2).sum(1) / target.pow(2).sum()
            style = style + (error + 1e-8).sqrt().mean()
        down = (image[:, :, 1:] - image[:, :, :-1]).pow(2).mean()
        across = (image[..., 1:] - image[..., :-1]).pow(2).mean()
        s = self.settings
        variation = (down + across + 1e-8).sqrt()
        loss: Tensor = s.content_weight * content + s.style_weight * style + s.variation_weight * variation
        return loss

    def responses(self, outputs: Outputs, teacher: nn.Module) -> dict[str, Response]:
        return {"painting": self.painting(outputs["image"])}

    @staticmethod
    def painting(images: Tensor) -> Response:
        """Intensities are probabilities; half of a grey level keeps them from 0 and 1."""
        p = (images * 254 + 0.5) / 255
        return Response("bernoulli", p.log() - (1 - p).log())

    def evidence(self, response: Response) -> Tensor:
        return response.values.flatten(2).mean(2)

    def truth(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Truth]:
        indices = (list(range(len(self.task.splits.fit))) * 16)[:256]
        photographs = self.task.shared_inputs(indices, rng, split="fit")["photographs"].contiguous()
        outcomes = torch.arange(2 * len(indices))[:, None] < len(indices)
        return {"painting": Truth(self.painting(torch.cat([teacher(photographs), photographs])), outcomes)}


CELLS: Mapping[str, type[Cell]] = {
    "classification": ClassificationCell,
    "denoising": DenoisingCell,
    "gan": GANCell,
    "style_transfer": StyleCell,
    "super_resolution": SuperResolutionCell,
    "vae": VAECell,
}
