"""Documents of timings, one for a pair of architectures and a condition: ``timings/TASK/PAIR/CONDITION.json``.

A timing belongs to every record of the same architecture (``distillbench.bench.store.architecture``).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from distillbench.bench.statistics import Ratio, geometric_mean, paired_ratio
from distillbench.bench.store import documents
from distillbench.bench.store.documents import Filed, Part, Scan, Table, canonical_hash, contradiction
from distillbench.bench.store.terms import Backend, Precision, TimedNetwork

SCHEMA_VERSION = 1
FOLDER = "timings"
P90_FROM, P99_FROM = 64, 662
"""The fewest samples for a percentile: the rule of MLPerf Inference for 99% confidence (Reddi et al. 2020)."""


class Condition(Part):
    """What decides a time beside the architecture and the machine; device is its kind, "cpu" or "cuda"."""

    backend: Backend = "eager"
    precision: Precision = "float32"
    batch_size: int = Field(1, ge=1)
    threads: int = Field(1, ge=1)
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The name of its file, one for each condition: 'onnxruntime-int8-static-batch-64'."""
        precision = "" if self.precision == "float32" else f"-{self.precision}"
        threads = "" if self.threads == 1 else f"-threads-{self.threads}"
        device = "" if self.device == "cpu" else f"-{self.device}"
        return f"{self.backend}{precision}-batch-{self.batch_size}{threads}{device}"

    @property
    def way(self) -> str:
        """Backend and precision: 'onnxruntime int8-static'."""
        return self.backend if self.precision == "float32" else f"{self.backend} {self.precision}"

    @property
    def resources(self) -> str:
        """Threads and device where they are not one and the CPU, to follow other words: ', 4 threads, cuda'."""
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return threads + (f", {self.device}" if self.device != "cpu" else "")


class Launch(Part):
    """The samples of one process.

    Attributes:
        seconds: of one call with the whole batch, a value a sample; samples of equal index are paired.
        loops: calls that each sample is the mean of.
        stopped_by: "width" where the interval of every ratio over the pairs became as narrow as was asked, "cap" where
            pairs or seconds ran out before.
    """

    seconds: dict[TimedNetwork, tuple[float, ...]]
    loops: dict[TimedNetwork, int]
    stopped_by: Literal["width", "cap"]

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len({len(values) for values in self.seconds.values()}) != 1 or not all(self.seconds.values()):
            raise contradiction("seconds", "not as many samples of each subject, or none")
        if any(value <= 0 for values in self.seconds.values() for value in values):
            raise contradiction("seconds", "not positive")
        return self

    def median(self, subject: TimedNetwork) -> float:
        """Seconds of a call, the median of the samples."""
        return float(np.median(self.seconds[subject]))

    def ratio(self, numerator: TimedNetwork, denominator: TimedNetwork) -> float:
        """How many times as long the numerator takes as the denominator, from the paired samples."""
        return paired_ratio(self.seconds[numerator], self.seconds[denominator]).value


class Timing(Filed):
    """Interleaved times of a teacher and its student. A launch is one process; intervals are over launches.

    Attributes:
        teacher: its architecture.
        student: its architecture.
        quantisation: the way of quantising (``distillbench.bench.store.exports``); None in other precisions.
        unavailable: why there is nothing to time, in a line.
        memory: bytes by which the peak of the resident set (on CUDA: of what is allocated) grew in a fresh process.
        energy: joules for one example.
    """

    schema_version: Literal[1] = 1
    task: str
    pair: str
    condition: Condition
    teacher: str
    student: str
    input_shape: tuple[int, ...]
    quantisation: int | None = None
    launches: tuple[Launch, ...] = ()
    unavailable: str | None = None
    memory: dict[TimedNetwork, int] = {}
    energy: dict[TimedNetwork, float] = {}
    notes: tuple[str, ...] = Field((), description="of the machine meanwhile: loaded, throttled")
    environment: Table = {}
    revision: str = ""
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if bool(self.launches) == (self.unavailable is not None):
            raise contradiction("launches", "some, or the reason why there are none (unavailable), not both")
        if any(not {"teacher", "student"} <= launch.seconds.keys() for launch in self.launches):
            raise contradiction("launches.seconds", "teacher and student are needed")
        return self

    @property
    def path(self) -> Path:
        """Where it lies in a results folder."""
        return Path(FOLDER, self.task, self.pair, f"{self.condition.name}.json")

    @property
    def environment_hash(self) -> str:
        """The hash of machine and libraries: stored times can be compared where it is equal."""
        return canonical_hash(self.environment)

    def times(self, subject: TimedNetwork) -> Ratio | None:
        """Seconds of one call with the whole batch: geometric mean of the launches' medians, with its 95% interval.

        The ends are NaN for a single launch. None where the subject was not timed.
        """
        if not self.launches or any(subject not in launch.seconds for launch in self.launches):
            return None
        return geometric_mean([launch.median(subject) for launch in self.launches])

    def speedup(self, over: TimedNetwork = "teacher") -> Ratio | None:
        """How many times as fast as another network the student is: paired in each launch, 95% over launches."""
        if not self.launches or any(over not in launch.seconds for launch in self.launches):
            return None
        return geometric_mean([launch.ratio(over, "student") for launch in self.launches])

    def percentile(self, subject: TimedNetwork, q: Literal[90, 99]) -> float | None:
        """A percentile of all samples, seconds of a call; None where there are too few samples for it."""
        samples = [value for launch in self.launches for value in launch.seconds.get(subject, ())]
        return float(np.percentile(samples, q)) if len(samples) >= {90: P90_FROM, 99: P99_FROM}[q] else None


def scan(results: Path, tasks: Collection[str] | None = None) -> Scan[Timing]:
    """Every timing of a results folder, or those of some tasks."""
    return documents.scan(results, FOLDER, read, "timing", tasks)


def read(path: Path) -> Timing:
    """One timing. Raises UserError for a file that is not a timing, or contradicts itself."""
    return documents.read(path, Timing, SCHEMA_VERSION, "timing")


def write(results: Path, timing: Timing) -> None:
    """Write a timing, whole or not at all."""
    documents.write(results / timing.path, timing)
