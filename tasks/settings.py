"""What a suite sets of every task: where its images come from, and how its teacher and its student are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from distillbench.common.settings import Frozen
from distillbench.tasks.networks.base import Network, refusal
from distillbench.tasks.networks.interfaces import Role as Role
from distillbench.tasks.views.precision import Precision

Rate = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Channels = Literal[1, 3]
Split = Literal["train", "fit", "validation", "test", "transfer", "withheld"]
"""fit: the half of the validation data that methods fit to; transfer: examples without ground truth; withheld: those
of whose ground truth students know nothing (``Splits``)."""
MOST_BATCH = 2**16
MOST_LATENT = 4096
"""Dimensions of a latent code: 100,000 of them are 1.6 GB."""


class Folders(Frozen):
    """Where the images come from: a standard set by name, or folders.

    A split without a source is embedded, or the set's own, or carved out of ``train`` (docs/data.md). A transfer set
    without a source is what the setting ``transfer`` takes of the training images.
    """

    name: str | None = Field(None, description="a standard set, in place of folders (distillbench data list)")
    test_name: str | None = Field(None, description="a standard set to report on, in place of test")
    train: Path | None = Field(None, description="folder of training images")
    validation: Path | None = Field(None, description="folder to fit and choose on; default: a tenth of train")
    test: Path | None = Field(None, description="folder to report on; default: a tenth of train, or the set's own")
    transfer: Path | None = Field(None, description="folder of the transfer set: images without ground truth")
    transfer_name: str | None = Field(None, description="a standard set whose training images are the transfer set")
    channels: Channels | None = Field(
        None, description="of class folders: 1 grey, 3 colour; default: colour where any image has it"
    )

    @model_validator(mode="after")
    def _one_source_a_split(self) -> Self:
        sources = (("name", "train"), ("name", "validation"), ("test_name", "test"), ("transfer_name", "transfer"))
        for name, split in sources:
            if getattr(self, name) and getattr(self, split):
                raise ValueError(f"{name} and {split} exclude each other: a set by name brings its own images")
        if self.channels and not self.train:
            raise ValueError("channels is of class folders, and needs train")
        return self

    @property
    def has_transfer(self) -> bool:
        """Whether the transfer set has a source of its own."""
        return self.transfer is not None or self.transfer_name is not None

    def without_transfer(self) -> Folders:
        """The sources of the other splits."""
        return self.model_copy(update={"transfer": None, "transfer_name": None})


def _undeclared(value: Any) -> Any:
    if value is not None:
        raise refusal("this task has no network to set: it builds its own")
    return value


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
    network: Annotated[Network | None, BeforeValidator(_undeclared)] = Field(None, exclude=True)
    """The network that is trained. A task's own recipe narrows this to a kind, as ``network: Classifier``."""

    @model_validator(mode="after")
    def _momentum(self) -> Recipe:
        if self.optimiser == "sgd" and self.nesterov and self.momentum == 0:
            raise PydanticCustomError("nesterov", "nesterov needs a momentum above 0")
        return self

    @property
    def trainable(self) -> bool:
        """Whether the network has weights to train; one that the task builds itself has."""
        return self.network is None or self.network.trainable


def _amount(value: Any) -> Any:
    """A number of examples, or 'rest': in one message what pydantic says in two."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 1
    if value in (None, "rest") or (number and float(value).is_integer()):
        return value
    raise refusal("input should be a whole number from 1 on, or 'rest'", says_all=False)


class TaskSettings(Frozen):
    """What every task lets a suite set; a task's own settings add the recipes ``teacher`` and ``student``."""

    data: Folders = Folders()
    steps: int = Field(500, ge=1, description="optimiser steps of a student, and of a teacher that sets none")
    batch_size: int = Field(32, ge=1, le=MOST_BATCH, description="images a step")

    transfer: Annotated[int | Literal["rest"] | None, BeforeValidator(_amount)] = Field(
        None,
        description="transfer set: so many examples, or 'rest': all, of which students see the teacher's responses "
        "alone; default: all of data.transfer, else none",
    )
    transfer_batch: int | None = Field(
        None, ge=1, le=MOST_BATCH, description="examples of the transfer set a step; default: batch_size"
    )

    locations: ClassVar[frozenset[str]] = frozenset({"data"})
    """Fields that are paths: a run is identified by the digest of what they point to, not by where it lies."""

    @property
    def teacher_splits(self) -> tuple[Split, ...]:
        """The splits that a teacher learns from, as far as they are there."""
        return ("train",)

    def recipe(self, role: Role) -> Recipe:
        """The recipe of one role, its number of steps filled in where it has no epochs."""
        recipe: Recipe = getattr(self, role)
        return recipe if recipe.steps or recipe.epochs else recipe.model_copy(update={"steps": self.steps})

    @property
    def trains_on_validation(self) -> bool:
        """Whether the validation examples are trained on, so that nothing can be chosen by them."""
        return False

    @property
    def has_transfer(self) -> bool:
        """Whether students learn from a transfer set as well."""
        return self.transfer is not None or self.data.has_transfer

    @property
    def transfer_rows(self) -> int:
        """Examples of the transfer set in a step."""
        return (self.transfer_batch or self.batch_size) if self.has_transfer else 0

    @property
    def pretrained(self) -> bool:
        """Whether the teacher comes from a file, and is not trained here."""
        recipe = self.recipe("teacher")
        return recipe.weights is not None or not recipe.trainable


class WithheldTruth(TaskSettings):
    """What a task lets a suite set whose students may be given the ground truth of a part of the training data."""

    teacher_data: Literal["train", "all"] = Field(
        "train",
        description="what a teacher learns from: 'train': what its students' own objective sees; 'all': all training "
        "data with their ground truth, as a teacher that comes from elsewhere has",
    )

    @property
    def teacher_splits(self) -> tuple[Split, ...]:
        return ("train", "withheld") if self.teacher_data == "all" else ("train",)
