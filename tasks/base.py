"""The contract of a task: images, models, and what is good.

A task is made from its settings, and nothing in it changes afterwards but ``judge``. Models are ordinary modules that
map what ``example_input`` shows to what the user deploys; a model with further trained parts names them in ``parts``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from distillbench.common.paths import expanded_setting
from distillbench.tasks.feature_extractors.answers import Answers
from distillbench.tasks.figures.kinds import FigureData
from distillbench.tasks.networks.interfaces import OTHER, Ends, Interface
from distillbench.tasks.response import Events, Response
from distillbench.tasks.views.precision import Precision

Role = Literal["teacher", "student"]
Split = Literal["train", "validation", "test"]
Inputs = Mapping[str, Tensor]
Outputs = Mapping[str, Any]
Rate = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Channels = Literal[1, 3]
T = TypeVar("T")
MOST_BATCH = 2**16
MOST_LATENT = 4096
"""Dimensions of a latent code: 100,000 of them are 1.6 GB."""


class Frozen(BaseModel):
    """Settings: immutable, unknown keys refused, every default visible in the record. A path may begin with ``~``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    _home = field_validator("*")(expanded_setting)


class Folders(Frozen):
    """Where the images come from: a standard set by name, or folders.

    What is not given is embedded, or the set's own, or carved out of ``train`` (docs/data.md).
    """

    name: str | None = Field(None, description="a standard set, in place of folders (distillbench data list)")
    test_name: str | None = Field(None, description="a standard set to report on, in place of test")
    train: Path | None = Field(None, description="folder of training images")
    validation: Path | None = Field(None, description="folder to fit and choose on; default: a tenth of train")
    test: Path | None = Field(None, description="folder to report on; default: a tenth of train, or the set's own")
    channels: Channels | None = Field(
        None, description="of class folders: 1 grey, 3 colour; default: colour where any image has it"
    )

    @model_validator(mode="after")
    def _one_source_a_split(self) -> Self:
        for named, split in (("name", "train"), ("name", "validation"), ("test_name", "test")):
            if getattr(self, named) and getattr(self, split):
                raise ValueError(f"{named} and {split} exclude each other: a set by name brings its own images")
        if self.channels and not self.train:
            raise ValueError("channels is of class folders, and needs train")
        return self


class Recipe(Frozen):
    """How one role is trained. By default Adam, and a cosine decay to zero.

    Fractions of the training are of its steps, so that they mean the same for steps and for epochs.
    """

    steps: int | None = Field(None, ge=1, description="optimiser steps; default: the task's")
    epochs: float | None = Field(
        None, gt=0, le=1e6, strict=True, description="passes over the training data, in place of steps"
    )
    optimiser: Literal["adam", "sgd"] = Field("adam", description="AdamW, or SGD with momentum")
    learning_rate: float = Field(1e-3, gt=0, description="at its highest")
    weight_decay: float = Field(0.0, ge=0, description="of adam decoupled (AdamW), of sgd added to the gradient (L2)")
    betas: tuple[Rate, Rate] = Field((0.9, 0.999), description="adam's decay rates of the moments, each in [0, 1)")
    momentum: Rate = Field(0.9, description="of sgd")
    nesterov: bool = Field(False, description="of sgd")
    schedule: Literal["cosine", "step", "constant"] = Field("cosine", description="of the learning rate")
    milestones: tuple[Share, ...] = Field((0.5, 0.75), description="of schedule step: fractions of the training")
    gamma: float = Field(0.1, gt=0, le=1, description="of schedule step: factor at each milestone")
    warmup: Rate = Field(0.0, description="fraction of the training in which the rate rises linearly")
    precision: Precision = Field("float32", description="of its passes in training; bfloat16: mixed (autocast)")
    augment: bool = Field(False, description="random shifts or flips in training")
    weights: Path | None = Field(None, description="of a teacher: trained weights, a file (docs/bring-your-own.md)")
    weights_key: str | None = Field(None, min_length=1, description="of weights: which set, where a file has several")

    @model_validator(mode="after")
    def _momentum(self) -> Recipe:
        if self.optimiser == "sgd" and self.nesterov and self.momentum == 0:
            raise PydanticCustomError("nesterov", "nesterov needs a momentum above 0")
        return self


class TaskSettings(Frozen):
    """What every task lets a suite set; a task's own settings extend it with ``teacher`` and ``student`` recipes."""

    data: Folders = Folders()
    steps: int = Field(500, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(32, ge=1, le=MOST_BATCH, description="images a step")

    locations: ClassVar[frozenset[str]] = frozenset({"data"})
    """Fields that are paths: the digest of what is there identifies a run, not where it lies."""

    def recipe(self, role: Role) -> Recipe:
        """The recipe of one role, its number of steps filled in where it has no epochs."""
        recipe: Recipe = getattr(self, role)
        return recipe if recipe.steps or recipe.epochs else recipe.model_copy(update={"steps": self.steps})

    @property
    def pretrained(self) -> bool:
        """Whether the teacher comes from a file, and is not trained here."""
        recipe = self.recipe("teacher")
        return recipe.weights is not None or not getattr(getattr(recipe, "network", None), "trainable", True)


@dataclass(frozen=True)
class Metric:
    """direction: which way is better. unit: as printed. decimals: as printed. note: what a reader must know of it."""

    direction: Literal["higher", "lower"]
    unit: str = ""
    decimals: int = 2
    note: str = ""


@dataclass(frozen=True)
class Evaluation:
    """metrics: one number a name. examples: per-example results where they exist, {metric: {item: value}}.

    A metric with examples is their mean, in the same unit; all metrics that have examples have the same ones.
    """

    metrics: dict[str, float]
    examples: dict[str, dict[str, float]] = field(default_factory=dict)


def evaluation_of(
    names: Sequence[str], examples: Mapping[str, Sequence[float]], others: Mapping[str, float] | None = None
) -> Evaluation:
    """Per-example results, {metric: one value a name}, whose means are the metrics; others: metrics without any."""
    if len(set(names)) < len(names):
        raise ValueError("two examples have one name")
    means = {metric: math.fsum(values) / len(values) for metric, values in examples.items()}
    by_name = {metric: dict(zip(names, values, strict=True)) for metric, values in examples.items()}
    return Evaluation(means | dict(others or {}), by_name)


@dataclass(frozen=True)
class Splits(Generic[T]):
    """Three disjoint parts of one data set."""

    train: T
    validation: T
    test: T


class ExtractorRecipe(ABC):
    """A frozen network that the project trains itself, and a metric or a loss looks through.

    ``config`` is everything that decides its weights, in JSON terms: its hash names the cached file.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]: ...

    @abstractmethod
    def build(self) -> nn.Module: ...

    @abstractmethod
    def train(self) -> nn.Module:
        """Train from the config's own seed; the result depends on nothing else."""


class Task(ABC):
    """See the module's docstring; docs/writing-a-task.md walks through one."""

    Settings: ClassVar[type[TaskSettings]]
    metrics: ClassVar[Mapping[str, Metric]]
    primary_metric: ClassVar[str]
    baselines: ClassVar[tuple[str, ...]]
    """The classical baselines and floors in every table; the first is what a teacher must beat to be sound."""
    interface: ClassVar[Interface] = OTHER
    """What kind of network it takes, and what that takes and gives."""
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}}
    """Network pairs that ship: name -> settings that differ from the defaults."""

    def __init__(self, settings: TaskSettings, device: str = "cpu", cache: Path | None = None) -> None:
        """cache: a folder where what is slow to read may be kept for the next process."""
        self.settings = settings
        self.device = torch.device(device)
        self.cache = cache
        self.feature_extractor: nn.Module | None = None
        self.answers = Answers()

    # -- data ---------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        """What identifies the data, in JSON terms: a set's name and digest, or digests of her files."""

    @cached_property
    @abstractmethod
    def splits(self) -> Splits[Any]:
        """The data, loaded on first use."""

    def outline(self) -> Any:
        """The splits without their examples, as far as ``network`` looks at them; None where only reading tells."""
        return None

    def check(self) -> None:
        """Raise DataError where the data do not fit the settings; called once, before anything is trained.

        The message begins with the setting, and names the picture where there is one.
        """
        _ = self.splits

    @property
    @abstractmethod
    def training_examples(self) -> int:
        """How many training examples there are to draw batches from."""

    def steps(self, role: Role) -> int:
        """Of a role's training. An epoch is as many steps as there are batches in the training examples."""
        recipe = self.settings.recipe(role)
        batches = (recipe.epochs or 0) * self.training_examples / self.settings.batch_size
        return recipe.steps or math.ceil(round(batches, 6))

    @abstractmethod
    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        """Everything a step needs that is random or read (crop, flip, noise, latent code), for all models alike."""

    # -- models -------------------------------------------------------------------------------------------------

    @property
    def ends(self) -> Ends:
        """What a network is built between; looked at before any data are read, with ``outline`` for the splits."""
        raise NotImplementedError(f"{type(self).__name__} says neither ends nor network")

    def load(self, role: Role) -> None:
        """Import what ``network`` builds from."""
        if (network := getattr(self.settings.recipe(role), "network", None)) is not None:
            network.load()

    def network(self, role: Role) -> nn.Module:
        """A new network on the CPU, its weights drawn from torch's global generator: the recipe's, between the ends."""
        model: nn.Module = getattr(self.settings, role).network.build(self.ends)
        return model

    def parts(self, model: nn.Module) -> Mapping[str, nn.Module]:
        """What is optimised, each by its own loss: first what is distilled and deployed, then its adversaries."""
        return {"model": model}

    def learning_rate(self, part: str, rate: float) -> float:
        """The learning rate of one part, from the recipe's."""
        return rate

    def deployed(self, model: nn.Module) -> nn.Module:
        """What a user ships: its size and speed count."""
        return next(iter(self.parts(model).values()))

    @abstractmethod
    def example_input(self, batch_size: int) -> Tensor:
        """A batch for ``deployed`` on the CPU, for latency, compute and export."""

    def extractor_recipe(self) -> ExtractorRecipe | None:
        """The frozen network this task needs in ``judge`` before ``forward`` or ``evaluate``."""
        return None

    # -- learning -----------------------------------------------------------------------------------------------

    @abstractmethod
    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        """One pass; ``loss`` and ``responses`` both read its outputs."""

    @abstractmethod
    def loss(
        self, model: nn.Module, inputs: Inputs, outputs: Outputs, part: str, recipe: Recipe | None = None
    ) -> Tensor:
        """The ground-truth objective of one part. Scalar. recipe: that of the model, where it is being trained."""

    @abstractmethod
    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        """What the outputs say. ``teacher`` is there where it judges both models (a GAN's discriminator)."""

    @abstractmethod
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        """The teacher's responses on validation data beside binary ground truth, for the responses that have one."""

    # -- judgement ----------------------------------------------------------------------------------------------

    @abstractmethod
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        """Every metric of ``metrics`` that is defined; ``teacher`` for the metrics of agreement with it."""

    validation_part: ClassVar[str] = ""
    """What of the validation split ``validation_metric`` looks at, in words."""

    def validation_metric(self, model: nn.Module) -> float | None:
        """The primary metric on a small, fixed part of the validation split, for training curves; None: there is none.

        It is asked for fifty times in a training, and should take no longer than a step or two do. The model is in eval
        mode; whatever is random is the same every time.
        """
        return None

    @abstractmethod
    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        """One of ``baselines``: a row that no student made. Metrics that it does not define are left out."""

    @abstractmethod
    def figures(self, models: Mapping[str, nn.Module]) -> Mapping[str, FigureData]:
        """What to look at, of the test split: {name of small letters, digits and hyphens: panel}.

        models: the teacher, by this name, and students.
        """


def read_only(model: nn.Module) -> nn.Module:
    """The model in eval mode with no gradient for its weights (gradients still pass through it)."""
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model
