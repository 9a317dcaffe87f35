"""The timing of one pair of architectures under one condition, and the folder that keeps them.

They lie beside the records of a results folder, ``timings/TASK/PAIR/CONDITION.json``, and are joined to every record of
the same architecture (``distillbench.bench.store.architecture``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from distillbench.bench.statistics import Ratio, geometric_mean, paired_ratio
from distillbench.bench.store import documents
from distillbench.bench.store.documents import Filed, Part, Scan, Table, canonical_hash
from distillbench.bench.store.terms import Backend, Precision

SCHEMA_VERSION = 1
FOLDER = "timings"
P90_FROM, P99_FROM = 64, 662
"""Fewest samples that a percentile is said from: MLPerf Inference's rule for 99% confidence (Reddi et al. 2020)."""

Subject = Literal["teacher", "student", "eager"]
"""eager: the student again, by eager PyTorch in float32, where the condition is another one."""


class Condition(Part):
    """What decides a time beside the architecture and the machine. device: its kind, "cpu" or "cuda"."""

    backend: Backend = "eager"
    precision: Precision = "float32"
    batch_size: int = Field(1, ge=1)
    threads: int = Field(1, ge=1)
    device: str = "cpu"

    @property
    def name(self) -> str:
        """'onnxruntime-int8-static-batch-64': unlike for each condition, and a file's name."""
        precision = "" if self.precision == "float32" else f"-{self.precision}"
        threads = "" if self.threads == 1 else f"-threads-{self.threads}"
        device = "" if self.device == "cpu" else f"-{self.device}"
        return f"{self.backend}{precision}-batch-{self.batch_size}{threads}{device}"

    @property
    def way(self) -> str:
        """'onnxruntime int8-static': without batch size, threads and device."""
        return self.backend if self.precision == "float32" else f"{self.backend} {self.precision}"

    @property
    def resources(self) -> str:
        """', 4 threads, cuda': what is not usual of threads and device, to follow other words; '' where all is."""
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return threads + (f", {self.device}" if self.device != "cpu" else "")


class Launch(Part):
    """One process. seconds: of one call with the whole batch, a value a sample; the subjects' samples are paired.

    loops: calls that each sample is the mean of. stopped_by: "width" where every ratio's interval over the pairs was as
    narrow as was asked, "cap" where pairs or seconds ran out before.
    """

    seconds: dict[Subject, tuple[float, ...]]
    loops: dict[Subject, int]
    stopped_by: Literal["width", "cap"]

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len({len(values) for values in self.seconds.values()}) != 1 or not all(self.seconds.values()):
            raise ValueError("seconds: not as many samples of each subject, or none")
        if any(value <= 0 for values in self.seconds.values() for value in values):
            raise ValueError("seconds: not positive")
        return self

    def median(self, subject: Subject) -> float:
        return float(np.median(self.seconds[subject]))

    def ratio(self, numerator: Subject, denominator: Subject) -> float:
        return paired_ratio(self.seconds[numerator], self.seconds[denominator]).value


class Timing(Filed):
    """Times of a teacher and its student, in turns. A launch is one process; intervals are over launches.

    teacher, student: their architectures. unavailable: why there is nothing to time, in a line. memory: bytes by which
    the peak of the resident set (on CUDA: of what is allocated) grew in a fresh process. energy: joules an item.
    quantisation: how a quantised file was made (``distillbench.bench.store.exports``); of others, and older ones, None.
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
    memory: dict[Subject, int] = {}
    energy: dict[Subject, float] = {}
    notes: tuple[str, ...] = Field((), description="of the machine meanwhile: loaded, throttled")
    environment: Table = {}
    revision: str = ""
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if bool(self.launches) == (self.unavailable is not None):
            raise ValueError("launches: some, or the reason why there are none (unavailable), not both")
        if any(not {"teacher", "student"} <= launch.seconds.keys() for launch in self.launches):
            raise ValueError("launches.seconds: teacher and student are needed")
        return self

    @property
    def path(self) -> Path:
        return Path(FOLDER, self.task, self.pair, f"{self.condition.name}.json")

    @property
    def fingerprint(self) -> str:
        """Two stored times can be compared where this is equal: one machine, one set of libraries."""
        return canonical_hash(self.environment)

    def times(self, subject: Subject) -> Ratio | None:
        """Seconds of one call with the whole batch: geometric mean of the launches' medians, with its 95% interval.

        The ends are NaN for a single launch. None where the subject was not timed.
        """
        if not self.launches or any(subject not in launch.seconds for launch in self.launches):
            return None
        return geometric_mean([launch.median(subject) for launch in self.launches])

    def speedup(self, over: Subject = "teacher") -> Ratio | None:
        """How many times as fast as another subject the student is: paired in each launch, 95% over launches."""
        if not self.launches or any(over not in launch.seconds for launch in self.launches):
            return None
        return geometric_mean([launch.ratio(over, "student") for launch in self.launches])

    def percentile(self, subject: Subject, q: Literal[90, 99]) -> float | None:
        """Of all samples, seconds of a call; None with too few samples to say."""
        samples = [value for launch in self.launches for value in launch.seconds.get(subject, ())]
        return float(np.percentile(samples, q)) if len(samples) >= {90: P90_FROM, 99: P99_FROM}[q] else None


def scan(results: Path) -> Scan[Timing]:
    """Every timing of a results folder."""
    return documents.scan(results, FOLDER, Timing, SCHEMA_VERSION, "timing")


def read(path: Path) -> Timing:
    """One timing. Raises UserError for what is none, or contradicts itself."""
    return documents.read(path, Timing, SCHEMA_VERSION, "timing")


def write(results: Path, timing: Timing) -> None:
    """Whole, or not at all."""
    documents.write(results / timing.path, timing)
