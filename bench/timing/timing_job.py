"""The job of one process that times: a teacher and its student, interleaved, under one condition after the other.

It trains nothing and needs no trained weights: the time of a pass does not depend on them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from distillbench.bench.measure.backends import exported, obstacle, prepare
from distillbench.bench.measure.energy import joules_per_call
from distillbench.bench.measure.evaluation_inputs import evaluation_inputs
from distillbench.bench.measure.failures import NotAvailable, failure_line
from distillbench.bench.measure.interleaving import Workload, interleave
from distillbench.bench.measure.memory import allocated_growth, keep_freed_memory, resident_growth
from distillbench.bench.measure.size import deployed_size
from distillbench.bench.store.architecture import architecture
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.exports import quantisation
from distillbench.bench.store.terms import Precision, TimedNetwork
from distillbench.bench.store.timings import Condition, Launch
from distillbench.bench.suite.cells import Pair
from distillbench.bench.training.determinism import settle_device
from distillbench.bench.training.loop import initial
from distillbench.bench.workers.executor import Whole
from distillbench.common.atomic import write_atomically
from distillbench.tasks.base import Role, Task, read_only
from distillbench.tasks.networks.onnx import OnnxModel

LEAST_PAIRS = 10
"""Fewest pairs of one launch; three launches make thirty."""
MOST_PAIRS = 300
MOST_SECONDS = 3.0
"""After these a launch takes no more than the fewest pairs."""
ROLES: tuple[Role, Role] = ("teacher", "student")
VERSIONED = ("torch", "onnx", "onnxruntime", "onnxscript")
"""Libraries that decide an exported file, beside the architecture."""


@dataclass(frozen=True)
class TimingJob(Whole):
    """One launch of a pair, in a process of its own.

    Attributes:
        id: Its name.
        pair: Of networks.
        conditions: Under which the pair is timed, all of one device.
        number: Of the launch, from 0; the first measures memory and energy as well.
        cache: Folder of exports.
        needs: Nothing.
    """

    id: str
    pair: Pair
    conditions: tuple[Condition, ...]
    number: int
    cache: Path
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """The result of one launch under one condition.

    Attributes:
        condition: The condition.
        launch: The times; None where there are none.
        unavailable: Why there are no times, in one line.
        memory: Bytes by network, of the first launch.
        energy: Joules an example by network, of the first launch on a GPU.
    """

    condition: Condition
    launch: Launch | None
    unavailable: str | None = None
    memory: dict[TimedNetwork, int] | None = None
    energy: dict[TimedNetwork, float] | None = None


@dataclass
class Networks:
    """The two networks of a pair, untrained, and their exports.

    Attributes:
        pair: Of networks.
        cache: Folder of exports.
    """

    pair: Pair
    cache: Path

    @cached_property
    def task(self) -> Task:
        """The task of the pair."""
        return self.pair.build(self.cache)

    @cached_property
    def models(self) -> dict[Role, nn.Module]:
        """What the task evaluates, by role, with initial weights."""
        return {role: initial(self.task, role, 0) for role in ROLES}

    @cached_property
    def architectures(self) -> dict[Role, str]:
        """The digests of what is deployed, by role."""
        return {
            role: architecture(self.pair.config, role, deployed_size(self.task, model))
            for role, model in self.models.items()
        }

    def example(self, condition: Condition) -> Tensor:
        """Return a batch of the condition's size on the pair's device."""
        return self.task.example_input(condition.batch_size).to(self.pair.device)

    def content(self, role: Role, precision: Precision) -> bytes | NotAvailable:
        """Return a role's ONNX file, kept in the cache folder under the hash of all that decides it."""
        key = canonical_hash([self.architectures[role], precision, quantisation(precision), *map(version, VERSIONED)])
        path = self.cache / "onnx" / f"{key}.onnx"
        if path.exists():
            return path.read_bytes()
        content = self._exported(role, precision)
        if isinstance(content, bytes):
            write_atomically(path, content)
        return content

    def _exported(self, role: Role, precision: Precision) -> bytes | NotAvailable:
        model = self.models[role]
        if isinstance(model, OnnxModel):
            return NotAvailable("it is an ONNX file itself, which ONNX Runtime runs under eager as well")
        if precision == "float32":
            return exported(self.task.deployed(model), self.task.example_input(2))
        full = self.content(role, "float32")
        if isinstance(full, NotAvailable):
            return full
        assert precision in ("int8-dynamic", "int8-static")
        from distillbench.bench.measure.quantise import quantise

        try:
            batches = [batch.numpy() for batch in evaluation_inputs(self.task, read_only(model), "validation")]
            return quantise(full, precision, batches)
        except Exception as error:  # the quantiser raises whatever its parts do
            return NotAvailable(f"cannot be quantised ({failure_line(error)})")


def execute(job: TimingJob, report: Callable[[int, int], None]) -> list[Measurement]:
    """Measure a pair under each condition of a job, in their order."""
    keep_freed_memory()
    torch.set_flush_denormal(True)
    settle_device(job.pair.device)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it reports that there is no GPU
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(job.cache / "inductor"))
    networks = Networks(job.pair, job.cache)
    measurements = []
    for count, condition in enumerate(job.conditions, start=1):
        measurements.append(_measured(networks, condition, job.number))
        report(count, len(job.conditions))
    return measurements


def _measured(networks: Networks, condition: Condition, number: int) -> Measurement:
    device = networks.pair.device
    if (reason := obstacle(condition.backend, condition.precision, device)) is not None:
        return Measurement(condition, None, reason)
    torch.set_num_threads(condition.threads)  # before compilation, which fixes them
    example = networks.example(condition)
    makers = {role: partial(_prepared, networks, condition, role, example) for role in ROLES}
    for role in ROLES if condition.backend == "onnxruntime" else ():
        if isinstance(content := networks.content(role, condition.precision), NotAvailable):
            return Measurement(condition, None, f"{role}: {content.reason}")
    memory = _memory(makers, device) if number == 0 else None
    workloads: dict[TimedNetwork, Workload] = {}
    for role, make in makers.items():
        if isinstance(workload := make(), NotAvailable):
            return Measurement(condition, None, f"{role}: {workload.reason}")
        workloads[role] = workload
    if (condition.backend, condition.precision) != ("eager", "float32"):
        eager = prepare("eager", networks.task.deployed(networks.models["student"]), example)
        assert isinstance(eager, Workload)
        workloads["eager"] = eager
    energy = _energy(workloads, condition, device) if number == 0 else None
    return Measurement(condition, _launch(workloads, condition.threads, number), None, memory, energy)


def _prepared(networks: Networks, condition: Condition, role: Role, example: Tensor) -> Workload | NotAvailable:
    """Prepare a model of its own: half precision and compilation change it."""
    model = initial(networks.task, role, 0)
    content = partial(networks.content, role, condition.precision)
    deployed = networks.task.deployed(model)
    return prepare(condition.backend, deployed, example, condition.threads, condition.precision, content)


def _launch(workloads: dict[TimedNetwork, Workload], threads: int, number: int) -> Launch:
    """Time workloads, interleaved, the student as the baseline."""
    names = sorted(workloads, key=lambda name: name != "student")
    times = interleave(
        {name: workloads[name] for name in names},
        seed=number,
        threads=threads,
        least_pairs=LEAST_PAIRS,
        most_pairs=MOST_PAIRS,
        most_seconds=MOST_SECONDS,
    )
    return Launch(
        seconds={name: tuple(float(f"{s:.4g}") for s in times.samples[name].seconds) for name in workloads},
        loops={name: times.samples[name].loops for name in workloads},
        stopped_by=times.stopped_by,
    )


def _memory(makers: Mapping[Role, Callable[[], Workload | NotAvailable]], device: str) -> dict[TimedNetwork, int]:
    def make(role: Role) -> Callable[[], object]:
        workload = makers[role]()
        if isinstance(workload, NotAvailable):
            raise RuntimeError(workload.reason)
        return workload.call

    def growth(role: Role) -> int | None:
        maker = partial(make, role)
        return resident_growth(maker) if device == "cpu" else allocated_growth(maker, device)

    return {role: size for role in makers if (size := growth(role)) is not None}


def _energy(workloads: dict[TimedNetwork, Workload], condition: Condition, device: str) -> dict[TimedNetwork, float]:
    if device == "cpu":
        return {}
    per_call = {name: joules_per_call(workload.call, device) for name, workload in workloads.items()}
    return {name: joules / condition.batch_size for name, joules in per_call.items() if joules is not None}
