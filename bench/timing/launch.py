"""What one process times: a teacher and its student in turns, under one condition after the other.

It trains nothing and needs no trained weights: what a pass takes does not depend on them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distillbench.bench.measure.backends import NotAvailable, exported, obstacle, prepare
from distillbench.bench.measure.energy import joules_per_call
from distillbench.bench.measure.evaluation_inputs import evaluation_inputs
from distillbench.bench.measure.interleaving import Subject as Timed
from distillbench.bench.measure.interleaving import interleave
from distillbench.bench.measure.memory import allocated_growth, keep_freed_memory, resident_growth
from distillbench.bench.run.jobs import deployed_size
from distillbench.bench.store.architecture import architecture
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.exports import quantisation
from distillbench.bench.store.terms import TimedNetwork
from distillbench.bench.store.timings import Condition, Launch
from distillbench.bench.suite.cells import Pair
from distillbench.bench.training.determinism import settle_device
from distillbench.bench.training.loop import initial
from distillbench.common.atomic import write_atomically
from distillbench.tasks.base import Role, Task, read_only
from distillbench.tasks.networks.interfaces import ROLES
from distillbench.tasks.networks.onnx import OnnxModel

LEAST_PAIRS = 10
"""Of one launch; three make thirty."""
MOST_PAIRS = 300
MOST_SECONDS = 3.0
"""After which a launch takes no more pairs than the fewest."""
VERSIONED = ("torch", "onnx", "onnxruntime", "onnxscript")
"""What decides an exported file beside the architecture."""


@dataclass(frozen=True)
class LaunchJob:
    """conditions: of one device. number: of the launch, 0 for the first, which measures memory and energy as well."""

    id: str
    pair: Pair
    conditions: tuple[Condition, ...]
    number: int
    cache: Path
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Taken:
    """What a launch found under one condition: times, or the reason why there are none."""

    condition: Condition
    launch: Launch | None
    unavailable: str | None = None
    memory: dict[TimedNetwork, int] | None = None
    energy: dict[TimedNetwork, float] | None = None


@dataclass
class Networks:
    """The two networks of a pair, untrained, and their exports."""

    pair: Pair
    cache: Path

    @cached_property
    def task(self) -> Task:
        return self.pair.build(self.cache)

    @cached_property
    def models(self) -> dict[Role, nn.Module]:
        return {role: initial(self.task, role, 0) for role in ROLES}

    @cached_property
    def architectures(self) -> dict[Role, str]:
        return {
            role: architecture(self.pair.config, role, deployed_size(self.task, model))
            for role, model in self.models.items()
        }

    def example(self, condition: Condition) -> Tensor:
        return self.task.example_input(condition.batch_size).to(self.pair.device)

    def content(self, role: Role, precision: str) -> bytes | NotAvailable:
        """The ONNX file of a role, kept in the cache folder by all that decides it."""
        key = canonical_hash([self.architectures[role], precision, quantisation(precision), *map(version, VERSIONED)])
        path = self.cache / "onnx" / f"{key}.onnx"
        if path.exists():
            return path.read_bytes()
        made = self._made(role, precision)
        if isinstance(made, bytes):
            write_atomically(path, made)
        return made

    def _made(self, role: Role, precision: str) -> bytes | NotAvailable:
        model = self.models[role]
        if isinstance(model, OnnxModel):
            return NotAvailable("is an ONNX file of its own, which ONNX Runtime runs under eager as well")
        if precision == "float32":
            return exported(self.task.deployed(model), self.task.example_input(2))
        full = self.content(role, "float32")
        if isinstance(full, NotAvailable):
            return full
        from distillbench.bench.measure.quantise import quantise

        try:
            batches = [batch.numpy() for batch in evaluation_inputs(self.task, read_only(model), "validation")]
            return quantise(full, "int8-static" if precision == "int8-static" else "int8-dynamic", batches)
        except Exception as error:  # the quantiser raises whatever its parts do; that it cannot is the result
            lines = str(error).splitlines() or [""]
            return NotAvailable(f"cannot be quantised ({type(error).__name__}: {lines[0]})")


def execute(job: LaunchJob, report: Callable[[int, int], None]) -> list[Taken]:
    """One launch: what it found under each condition, in their order."""
    keep_freed_memory()
    torch.set_flush_denormal(True)
    settle_device(job.pair.device)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it tells that there is no GPU
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(job.cache / "inductor"))
    networks = Networks(job.pair, job.cache)
    found = []
    for done, condition in enumerate(job.conditions):
        found.append(_taken(networks, condition, job.number))
        report(done + 1, len(job.conditions))
    return found


def _taken(networks: Networks, condition: Condition, number: int) -> Taken:
    device = networks.pair.device
    if (reason := obstacle(condition.backend, condition.precision, device)) is not None:
        return Taken(condition, None, reason)
    torch.set_num_threads(condition.threads)  # before compilation, which fixes them
    example = networks.example(condition)
    makers = {role: partial(_prepared, networks, condition, role, example) for role in ROLES}
    for role in ROLES if condition.backend == "onnxruntime" else ():
        if isinstance(made := networks.content(role, condition.precision), NotAvailable):
            return Taken(condition, None, f"{role}: {made.reason}")
    memory = _memory(makers, device) if number == 0 else None
    subjects: dict[TimedNetwork, Timed] = {}
    for role, make in makers.items():
        if isinstance(subject := make(), NotAvailable):
            return Taken(condition, None, f"{role}: {subject.reason}")
        subjects[role] = subject
    if (condition.backend, condition.precision) != ("eager", "float32"):
        eager = prepare("eager", networks.task.deployed(networks.models["student"]), example)
        assert isinstance(eager, Timed)
        subjects["eager"] = eager
    energy = _energy(subjects, condition, device) if number == 0 else None
    return Taken(condition, timed(subjects, condition.threads, number), None, memory, energy)


def _prepared(networks: Networks, condition: Condition, role: Role, example: Tensor) -> Timed | NotAvailable:
    """With weights of its own: half precision and compilation change a model."""
    model = initial(networks.task, role, 0)
    content = partial(networks.content, role, condition.precision)
    own = networks.task.deployed(model)
    return prepare(condition.backend, own, example, condition.threads, condition.precision, content)


def timed(subjects: dict[TimedNetwork, Timed], threads: int, number: int, **options: Any) -> Launch:
    """The subjects in turns, the student the baseline."""
    ordered: dict[str, Timed] = {name: subjects[name] for name in sorted(subjects, key=lambda name: name != "student")}
    found = interleave(
        ordered,
        seed=number,
        threads=threads,
        least_pairs=LEAST_PAIRS,
        most_pairs=MOST_PAIRS,
        most_seconds=MOST_SECONDS,
        **options,
    )
    return Launch(
        seconds={name: tuple(float(f"{s:.4g}") for s in found.samples[name].seconds) for name in subjects},
        loops={name: found.samples[name].loops for name in subjects},
        stopped_by=found.stopped_by,
    )


def _memory(makers: Mapping[Role, Callable[[], Timed | NotAvailable]], device: str) -> dict[TimedNetwork, int]:
    def make(role: Role) -> Callable[[], object]:
        subject = makers[role]()
        if isinstance(subject, NotAvailable):
            raise RuntimeError(subject.reason)
        return subject.call

    found: dict[TimedNetwork, int] = {}
    for role in makers:
        maker = partial(make, role)
        grown = resident_growth(maker) if device == "cpu" else allocated_growth(maker, device)
        if grown is not None:
            found[role] = grown
    return found


def _energy(subjects: dict[TimedNetwork, Timed], condition: Condition, device: str) -> dict[TimedNetwork, float]:
    if device == "cpu":
        return {}
    found = {name: joules_per_call(subject.call, device) for name, subject in subjects.items()}
    return {name: joules / condition.batch_size for name, joules in found.items() if joules is not None}
