"""What a suite runs: teacher-student pairs, and cells of the matrix, each with the hash of what decides its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.fingerprint import code_digest, described
from distillbench.bench.store.records import record_path, weights_path
from distillbench.bench.store.terms import Kind
from distillbench.bench.store.weights import extractor_path, load_weights, teacher_path
from distillbench.bench.suite.registry import TASKS
from distillbench.tasks.base import read_only
from distillbench.tasks.networks.interfaces import ROLES

if TYPE_CHECKING:
    from distillbench.methods.base import Method
    from distillbench.tasks.base import ExtractorRecipe, Metric, Task, TaskSettings

CONFIG_VERSION = 2
OF_TEACHERS, OF_TRANSFER = ("teacher", "teacher_data"), ("transfer", "transfer_batch")
"""Settings that decide nothing of a student alone, and nothing of whoever learns from ground truth alone."""

TeacherKind = Literal["trained", "self"]
"""What is trained before the students: the pair's teacher, or a network equal to its student."""


@dataclass(frozen=True)
class Pair:
    """A teacher-student pair: one task with two networks, and all that their runs share.

    Attributes:
        task: the name of the task.
        pair: the name of the pair, one of its task's.
        settings: of the task, with the recipes of teacher and student.
        device: "cpu", "cuda" or "cuda:N".
    """

    task: str
    pair: str
    settings: TaskSettings
    device: str

    def __getstate__(self) -> dict[str, Any]:
        """The state for another process, without the extractor, which holds the task and with it the data."""
        return {key: value for key, value in self.__dict__.items() if key != "feature_extractor"}

    def build(
        self,
        cache: Path | None = None,
        extractor: Literal["none", "untrained", "trained"] = "none",
        device: str | None = None,
    ) -> Task:
        """A new task, whose data are loaded when they are first used.

        Args:
            cache: where decoded images are kept, and the weights of trained feature extractors.
            extractor: the task's feature extractor, where it needs one. "none": not there, for what measures nothing.
                "untrained": with weights that are drawn, always the same: enough for shapes and costs. "trained": with
                its weights from the cache, which must be there.
            device: "cpu", "cuda" or "cuda:N"; default: the pair's.

        Raises:
            DamagedError: the trained weights are not there, or cannot be used.
        """
        task = TASKS.get(self.task)(self.settings, device or self.device, cache)
        recipe = None if extractor == "none" else task.extractor_recipe()
        if recipe is None:
            return task
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            network = recipe.build()
        if extractor == "trained":
            assert cache is not None
            load_weights(self.extractor_path(cache), network, str(self.extractor_hash))
        task.feature_extractor = read_only(network).to(task.device)
        return task

    def described(self) -> dict[str, Any]:
        """The settings in JSON terms, with the digests of files and of the code of networks as they are now."""
        settings = described(self.settings, leave={*self.settings.locations, "steps", *ROLES})
        return settings | {role: described(self.settings.recipe(role), role) for role in ROLES}

    @cached_property
    def config(self) -> dict[str, Any]:
        """Everything that decides the results of the pair's runs, and is not of one teacher or student alone."""
        cls = TASKS.get(self.task)
        return {
            "version": CONFIG_VERSION,
            "task": self.task,
            "code": code_digest(cls),
            "data": cls.data_identity(self.settings),
            "settings": self.described(),
            "device": self.device.partition(":")[0],
        }

    @property
    def baseline_config(self) -> dict[str, Any]:
        """Everything that the baselines share: nothing of a training."""
        return self._config_without(*OF_TEACHERS, *OF_TRANSFER, "student", "batch_size")

    @cached_property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics of its task, by name."""
        return TASKS.get(self.task).metrics

    @cached_property
    def feature_extractor(self) -> ExtractorRecipe | None:
        """The recipe of the task's feature extractor; None where its metrics need none."""
        return self.build().extractor_recipe()

    @cached_property
    def extractor_hash(self) -> str | None:
        """The hash of all that decides the feature extractor's weights; None where there is none."""
        if self.feature_extractor is None:
            return None
        return canonical_hash(self.feature_extractor.config | {"code": self.config["code"]})

    def teacher_config(self, seed: int) -> dict[str, Any]:
        """Everything that decides a teacher's weights and its evaluation: nothing of the student."""
        learns = "transfer" in self.settings.teacher_splits
        config = self._config_without("student", "transfer_batch", *(() if learns else ("transfer",)))
        return config | {"feature_extractor": self.extractor_hash, "role": "teacher", "seed": seed}

    def _config_without(self, *settings: str) -> dict[str, Any]:
        """The configuration of what some settings do not reach; without ``transfer``, that set's images neither."""
        kept = {key: value for key, value in self.config["settings"].items() if key not in settings}
        data = self._data_without_transfer if "transfer" in settings else self.config["data"]
        return self.config | {"settings": kept, "data": data}

    @cached_property
    def _data_without_transfer(self) -> Any:
        """What identifies the data of the other splits."""
        if not self.settings.data.has_transfer:
            return self.config["data"]
        others = self.settings.model_copy(update={"data": self.settings.data.without_transfer()})
        return TASKS.get(self.task).data_identity(others)

    def teacher_hash(self, seed: int, kind: TeacherKind = "trained") -> str:
        """The hash of a teacher's configuration: of the pair's teacher, or of a network equal to its student."""
        if kind == "trained":
            return canonical_hash(self.teacher_config(seed))
        config = self._config_without(*OF_TEACHERS, *OF_TRANSFER)
        return canonical_hash(config | {"role": "self teacher", "seed": seed})

    def teacher_path(self, cache: Path, seed: int, kind: TeacherKind = "trained") -> Path:
        """Where a cache keeps the weights of the teacher of this seed."""
        return teacher_path(cache, self.teacher_hash(seed, kind))

    def extractor_path(self, cache: Path) -> Path:
        """Where a cache keeps the weights of the feature extractor."""
        return extractor_path(cache, str(self.extractor_hash))


@dataclass(frozen=True)
class Cell:
    """One run, of which a record comes: a student, a teacher or a baseline.

    Attributes:
        label: the name of its row in tables: of the method or the baseline, or 'teacher'.
        seed: of its initial weights, batches and draws.
        teacher_seed: of the teacher that a student learns from.
        method: of a student.
        trial: the number of a trial of tuning; None where it is not one.
    """

    kind: Kind
    pair: Pair
    label: str
    seed: int
    teacher_seed: int
    method: Method | None = None
    trial: int | None = None

    @property
    def control(self) -> bool:
        """Whether it is of a control."""
        return self.method is not None and self.method.control

    @cached_property
    def path(self) -> Path:
        """Where its record lies in a results folder."""
        return record_path(self.kind, self.pair.task, self.pair.pair, self.label, self.seed, self.trial)

    @property
    def weights_path(self) -> Path:
        """Where a student's weights lie in a results folder."""
        return weights_path(self.path)

    @property
    def package(self) -> str | None:
        """The package that it alone needs; None: none."""
        return TASKS.get(self.pair.task).baseline_packages.get(self.label) if self.kind == "baseline" else None

    @property
    def needs(self) -> str:
        """Why it cannot be made here, as 'needs the package bm3d (…)'; '' where it can."""
        if self.package is None or find_spec(self.package) is not None:
            return ""
        return f"needs the package {self.package} (pip install 'distillbench[{self.package}]')"

    @cached_property
    def config(self) -> dict[str, Any]:
        """Everything that decides its result."""
        if self.kind == "teacher":
            return self.pair.teacher_config(self.seed)
        shared = {"feature_extractor": self.pair.extractor_hash, "role": self.kind}
        if self.kind == "baseline":
            return self.pair.baseline_config | shared | {"baseline": self.label}
        assert self.method is not None
        of_method = {
            "method": self.label,
            "hyperparameters": self.method.model_dump(mode="json"),
            "method_code": code_digest(type(self.method)),
            "teacher": self.pair.teacher_hash(self.teacher_seed),
            "seed": self.seed,
        }
        if self.method.teacher == "self":
            of_method["self_teacher"] = self.pair.teacher_hash(self.teacher_seed, "self")
        return self.pair.config | shared | of_method

    @cached_property
    def hash(self) -> str:
        """The hash of its configuration, by which a finished run is recognised."""
        return canonical_hash(self.config)

    def __str__(self) -> str:
        trial = "" if self.trial is None else f"trial {self.trial}/"
        return f"{self.pair.task}/{self.pair.pair}/{self.label}/{trial}seed {self.seed}"
