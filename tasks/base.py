"""The contract of a task: its data, its models, what they learn, and how good they are.

A task is made from its settings; nothing in it changes afterwards but ``feature_extractor``. A model is an ordinary
module, built by ``network`` and frozen where it is a teacher. What a user ships of it is ``deployed``.
docs/writing-a-task.md walks through one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from distillbench.tasks.figures.kinds import FigureData
from distillbench.tasks.networks.interfaces import OTHER, Ends, Interface
from distillbench.tasks.response import Events, Response
from distillbench.tasks.settings import MOST_BATCH as MOST_BATCH
from distillbench.tasks.settings import MOST_LATENT as MOST_LATENT
from distillbench.tasks.settings import Channels as Channels
from distillbench.tasks.settings import Folders as Folders
from distillbench.tasks.settings import Rate as Rate
from distillbench.tasks.settings import Recipe as Recipe
from distillbench.tasks.settings import Role as Role
from distillbench.tasks.settings import Split as Split
from distillbench.tasks.settings import TaskSettings as TaskSettings
from distillbench.tasks.settings import WithheldTruth as WithheldTruth
from distillbench.tasks.shared.output_cache import OutputCache

Truth = Literal["labels", "image"]
"""What a task holds right for an example: its class, or the original picture."""
Inputs = Mapping[str, Tensor]
"""What one pass reads, by name, on the task's device; the first axis of each tensor is the batch."""
Outputs = Mapping[str, Any]
"""What one pass gives, by name: tensors, or mappings of them; the first axis of each tensor is the batch."""
T = TypeVar("T")


@dataclass(frozen=True)
class Metric:
    """One number that ``Task.evaluate`` gives, and how it is printed.

    Args:
        direction: Which way is better.
        unit: As printed behind the number, such as "dB"; empty: none.
        decimals: As printed.
        note: What a reader must know of it, printed beneath its tables.
        compared: How two of its values are compared. "ratio" is for what is always positive and varies by factors, as a
            distance between two sets of images: tests, intervals, gaps and ranks are then of its logarithm. Such a
            metric has no per-example results.
        repeats: The metric that it measures again, by another feature extractor; tables say where the order differs.
        deployed: Whether it depends on a model only through what ``Task.deployed`` puts out, so that it can be measured
            of an exported file too. A VAE's ELBO is not: it looks at the posterior and the logits.
    """

    direction: Literal["higher", "lower"]
    unit: str = ""
    decimals: int = 2
    note: str = ""
    compared: Literal["difference", "ratio"] = "difference"
    repeats: str = ""
    deployed: bool = True


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one model on one split.

    Args:
        metrics: One number a name, in the metric's unit.
        examples: The results of single examples where a metric has them: {metric: {example: value}}. Such a metric is
            their mean, in the same unit; all metrics with examples have the same examples.
    """

    metrics: dict[str, float]
    examples: dict[str, dict[str, float]] = field(default_factory=dict)


def evaluation_of(
    names: Sequence[str], examples: Mapping[str, Sequence[float]], totals: Mapping[str, float] | None = None
) -> Evaluation:
    """An evaluation whose metrics are the means of per-example results.

    Args:
        names: One name an example, each once.
        examples: {metric: one value a name}.
        totals: Metrics that have no per-example results, {metric: value}.

    Raises:
        ValueError: Two examples have one name.
    """
    if len(set(names)) < len(names):
        raise ValueError("two examples have one name")
    means = {metric: math.fsum(values) / len(values) for metric, values in examples.items()}
    by_name = {metric: dict(zip(names, values, strict=True)) for metric, values in examples.items()}
    return Evaluation(means | dict(totals or {}), by_name)


@dataclass(frozen=True)
class Splits(Generic[T]):
    """Disjoint parts of the data.

    Args:
        train: What the student's own objective sees.
        validation: To choose by: hyperparameters, and whether a teacher is sound.
        test: To report on, and for nothing else.
        fit: What methods fit to: data that are chosen by are not fitted to.
        transfer: Examples on which the distillation loss alone acts; None: there is no transfer set.
        withheld: Training examples whose ground truth students are not given, and a teacher may be; None: there are
            none.
    """

    train: T
    validation: T
    test: T
    fit: T | None = None
    transfer: T | None = None
    withheld: T | None = None

    def each(self, convert: Callable[[T], T], transferred: Callable[[T], T]) -> Splits[T]:
        """Each part converted that is there; the transfer set, which has no ground truth, in its own way."""
        ways = {part.name: transferred if part.name == "transfer" else convert for part in fields(self)}
        return Splits(**{name: way(part) for name, way in ways.items() if (part := getattr(self, name)) is not None})

    @property
    def fitting(self) -> T:
        """What methods fit to: ``fit``, or the validation data where they are not divided."""
        return self.validation if self.fit is None else self.fit


class ExtractorRecipe(ABC):
    """How to make a frozen network that a metric or a loss looks through; it is made once and cached like a teacher."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Everything that decides the weights, in JSON terms: its hash names the cached file."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The network, its weights not yet those of the recipe."""

    @abstractmethod
    def train(self) -> nn.Module:
        """The network, trained from the config's own seed or loaded; the result depends on nothing but ``config``."""


class Task(ABC):
    """What a benchmark needs of a task. The abstract methods are a task's own; all others have a default.

    The harness calls them in the order in which they stand here: it reads the data, builds models, trains them on
    ``shared_inputs`` and evaluates them.
    """

    Settings: ClassVar[type[TaskSettings]]
    metrics: ClassVar[Mapping[str, Metric]]
    """Every metric that ``evaluate`` can give, in the order of the tables."""
    primary_metric: ClassVar[str]
    """The metric that students are ranked by."""
    baselines: ClassVar[tuple[str, ...]]
    """The classical baselines and floors in every table; the first is what a teacher must beat to be sound."""
    baseline_packages: ClassVar[Mapping[str, str]] = {}
    """{baseline: the package that it alone needs}; an extra of the package's name installs it. Without the package
    there is no such row."""
    interface: ClassVar[Interface] = OTHER
    """What kind of network it takes, and what that takes and gives, in words."""
    pairs: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}}
    """The teacher-student pairs that ship: {name: settings that differ from the defaults}."""
    truth: ClassVar[Truth | None] = None
    """What it holds right for an example, which some methods need; None: no single answer is right."""
    no_transfer: ClassVar[str | None] = "it defines no transfer set"
    """Why ``transfer`` cannot be set; None: it can, and ``shared_inputs`` knows the split."""

    def __init__(self, settings: TaskSettings, device: str = "cpu", cache: Path | None = None) -> None:
        """A task that has read nothing yet.

        Args:
            settings: Of the class ``Settings``.
            device: As torch names it, such as "cuda:0".
            cache: A folder where what is slow to read may be kept for the next process.
        """
        self.settings = settings
        self.device = torch.device(device)
        self.cache = cache
        self.feature_extractor: nn.Module | None = None
        """The frozen network of ``extractor_recipe``, set before anything is trained or evaluated."""
        self.output_cache = OutputCache()

    # -- data ---------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def data_identity(cls, settings: TaskSettings) -> Any:
        """What identifies the data, in JSON terms: the name and digest of a set, or digests of the user's files."""

    @cached_property
    @abstractmethod
    def splits(self) -> Splits[Any]:
        """The data, read at first use."""

    def outline(self) -> Any:
        """The splits as far as ``network`` looks at them (shapes, classes), without reading the examples.

        A suite is checked with it before any data are read: whether its networks fit into memory. None: nothing can be
        said without reading, and that check is left out.
        """
        return None

    def check(self) -> None:
        """Whether the data fit the settings; called once, before anything is trained.

        Raises:
            DataError: They do not. The message begins with the setting, and names the image where there is one.
        """
        _ = self.splits

    def examples(self, split: Split) -> int:
        """The number of examples of a split that batches are drawn from; 0 where there are none."""
        part = getattr(self.splits, split)
        return 0 if part is None else len(part)

    def training_splits(self, role: Role) -> tuple[Split, ...]:
        """The splits that a role's own objective sees."""
        splits = self.settings.teacher_splits if role == "teacher" else ("train",)
        return tuple(split for split in splits if self.examples(split))

    def steps(self, role: Role) -> int:
        """The optimiser steps of a role's training; an epoch has as many as there are batches in the examples."""
        recipe = self.settings.recipe(role)
        if recipe.steps is not None:
            return recipe.steps
        examples = sum(map(self.examples, self.training_splits(role)))
        return math.ceil(round((recipe.epochs or 0) * examples / self.settings.batch_size, 6))

    @abstractmethod
    def shared_inputs(
        self, indices: Sequence[int], rng: torch.Generator, augment: bool = False, split: Split = "train"
    ) -> Inputs:
        """Everything that is random or read in a step (crop, flip, noise, latent code), for all models alike.

        Args:
            indices: Which examples of the split, one a place in the batch.
            rng: The only source of randomness, on the CPU.
            augment: Whether to shift or flip them at random.
            split: The split that they are of.

        Returns:
            {name: (batch, ...)} on the task's device. Models must not write to these tensors: they are shared. Of the
            transfer set, all that ``forward`` and ``responses`` read, and no ground truth.
        """

    def with_targets(self, inputs: Inputs) -> Inputs:
        """The inputs with what ``loss`` alone compares with, where that costs something to compute.

        It is asked for once a step, for all models that minimise the loss. ``loss`` takes inputs without it as well.
        """
        return inputs

    # -- models -------------------------------------------------------------------------------------------------

    @property
    def ends(self) -> Ends:
        """The shapes of one input and one output that a network is built between.

        It is asked for before any data are read, with ``outline`` in the place of ``splits``.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither ends nor network")

    def load(self, role: Role) -> None:
        """Import the packages that ``network`` builds from."""
        if (network := self.settings.recipe(role).network) is not None:
            network.load()

    def network(self, role: Role) -> nn.Module:
        """A new model on the CPU, its weights drawn from torch's global generator.

        By default the network that the role's recipe names, built between ``ends``.
        """
        if (network := self.settings.recipe(role).network) is None:
            raise NotImplementedError(f"{type(self).__name__}: its recipes name no network, so it must build its own")
        return network.build(self.ends)

    def deployed(self, model: nn.Module) -> nn.Module:
        """The part of a model that is distilled and that a user ships: its size, speed and export count.

        By default all of it.
        """
        return model

    def adversaries(self, model: nn.Module) -> Mapping[str, nn.Module]:
        """The parts of a model that only its training needs, each with a loss of its own, as a GAN's discriminator.

        Returns:
            {name: part}, none of which shares weights with ``deployed``. By default there are none.
        """
        return {}

    def adversary_learning_rate(self, adversary: str, rate: float) -> float:
        """The learning rate of an adversary, where its model's recipe says ``rate``."""
        return rate

    @abstractmethod
    def example_input(self, batch_size: int) -> Tensor:
        """A batch for ``deployed`` on the CPU, (batch_size, ...): to time, count and export it with."""

    def extractor_recipe(self) -> ExtractorRecipe | None:
        """How to make the frozen network that must be in ``feature_extractor`` before ``forward`` or ``evaluate``."""
        return None

    # -- learning -----------------------------------------------------------------------------------------------

    @abstractmethod
    def forward(self, model: nn.Module, inputs: Inputs) -> Outputs:
        """One pass of a model, teacher or student; ``loss`` and ``responses`` both read its outputs."""

    @abstractmethod
    def loss(
        self,
        model: nn.Module,
        inputs: Inputs,
        outputs: Outputs,
        recipe: Recipe | None = None,
        progress: float = 1.0,
    ) -> Tensor:
        """The ground-truth objective of ``deployed``, which a method may mix with its distillation loss.

        Args:
            model: The model that ``outputs`` are of.
            inputs: What the pass read, with targets or without (``with_targets``).
            outputs: What the pass gave.
            recipe: The model's recipe in training; None outside of it, for recipes that change the loss.
            progress: The share of the training that is done, for objectives that change in it.

        Returns:
            A scalar, differentiable by the weights of ``deployed``.
        """

    def adversary_loss(
        self, model: nn.Module, inputs: Inputs, outputs: Outputs, adversary: str, recipe: Recipe | None = None
    ) -> Tensor:
        """The objective of one of ``adversaries``, which takes its step before ``deployed`` does.

        Args:
            model: The model that ``outputs`` are of.
            inputs: What the pass read.
            outputs: What the pass gave.
            adversary: The adversary's name.
            recipe: As in ``loss``.

        Returns:
            A scalar, differentiable by the adversary's weights.
        """
        raise NotImplementedError(f"{type(self).__name__} has adversaries, and defines no adversary_loss")

    @abstractmethod
    def responses(self, outputs: Outputs, inputs: Inputs, teacher: nn.Module) -> dict[str, Response]:
        """What a model's outputs say, in forms that methods can compare between teacher and student.

        Args:
            outputs: What the pass gave, the student's or the teacher's.
            inputs: What the pass read.
            teacher: The teacher of this comparison, for a task that looks at both models' outputs through it, as a GAN
                does through its discriminator.

        Returns:
            {name: response}: the same names for both models.
        """

    @abstractmethod
    def events(self, teacher: nn.Module, rng: torch.Generator) -> dict[str, Events]:
        """The teacher's responses on validation data beside binary ground truth.

        Args:
            teacher: The frozen teacher.
            rng: The only source of randomness, on the CPU.

        Returns:
            {name of a response: events}, for those responses that have a ground truth.
        """

    # -- evaluation ---------------------------------------------------------------------------------------------

    @abstractmethod
    def evaluate(self, model: nn.Module, teacher: nn.Module, split: Split = "test") -> Evaluation:
        """Every metric of ``metrics`` that is defined for a model.

        Args:
            model: A model in eval mode: a student, or the teacher itself.
            teacher: The teacher, for metrics of agreement with it, which a teacher itself does not have.
            split: The split to evaluate on.

        Returns:
            The metrics, with per-example results wherever there are any (``evaluation_of``): confidence intervals cover
            the choice of test examples only where these are given.
        """

    validation_part: ClassVar[str] = ""
    """The part of the validation split that ``validation_metric`` looks at, in words, for a caption."""

    def validation_metric(self, model: nn.Module) -> float | None:
        """The primary metric on a small, fixed part of the validation split, for training curves.

        It is asked for fifty times in a training, and should take no longer than a step or two do. Whatever is random
        is the same every time.

        Args:
            model: A model in eval mode.

        Returns:
            The metric in its unit; None: the task has no curve of it.
        """
        return None

    @abstractmethod
    def baseline(self, name: str, split: Split = "test") -> Evaluation:
        """The evaluation of one of ``baselines``; metrics that it does not define are left out."""

    @abstractmethod
    def figures(self, models: Mapping[str, nn.Module]) -> Mapping[str, FigureData]:
        """Examples of the test split to look at.

        Args:
            models: {"teacher": the teacher, name of a method: its student}, in eval mode.

        Returns:
            {name of small letters, digits and hyphens: figure}.
        """


def read_only(model: nn.Module) -> nn.Module:
    """The model in eval mode with no gradient for its weights (gradients still pass through it)."""
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model
