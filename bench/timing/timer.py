"""From pairs to timings: what is missing is measured alone on the machine, each launch in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillbench.bench.export.trained_network import pair_of
from distillbench.bench.machine.environment import environment, revision
from distillbench.bench.machine.load import look
from distillbench.bench.measure.backends import obstacle
from distillbench.bench.measure.interleaving import half_width
from distillbench.bench.statistics import Ratio
from distillbench.bench.store import exports, timings
from distillbench.bench.store.configurations import ABSENT, flat, order
from distillbench.bench.store.records import Record
from distillbench.bench.store.terms import BACKEND_PRECISIONS
from distillbench.bench.store.timings import Condition, Timing
from distillbench.bench.suite.cells import Pair
from distillbench.bench.timing import timing_job
from distillbench.bench.timing.timing_job import Measurement, Networks, TimingJob
from distillbench.bench.training.determinism import one_thread
from distillbench.bench.workers.executor import JobEnd
from distillbench.bench.workers.local import LocalExecutor
from distillbench.common.errors import UserError

NOT_YET = "not timed yet"
PRECISE = 0.025
"""Half-width of a speedup's interval, relative: two such runs can be told equal within what `compare` tolerates."""


@dataclass(frozen=True)
class Target:
    """A pair to time; another pair of the same two architectures needs no timing of its own.

    Attributes:
        pair: Of networks.
        teacher: The digest of the teacher's architecture.
        student: The digest of the student's architecture.
        input_shape: Of one input, with its batch axis.
    """

    pair: Pair
    teacher: str
    student: str
    input_shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """The names of task and pair: 'denoising/dncnn'."""
        return f"{self.pair.task}/{self.pair.pair}"


@dataclass(frozen=True)
class TimingPlan:
    """The timings of some targets, against a results folder.

    Attributes:
        finished: How many have launches enough.
        missing: The others by target and condition, each with the timing to continue; None where there is none.
        stale: Why stored timings in the places of missing ones are of something else, one line each.
    """

    finished: int
    missing: Mapping[Target, Mapping[Condition, Timing | None]]
    stale: tuple[str, ...]

    @property
    def conditions(self) -> int:
        """How many timings are missing."""
        return sum(map(len, self.missing.values()))


@dataclass(frozen=True)
class LaunchLimits:
    """How many launches a timing has.

    Attributes:
        least: The fewest.
        most: Where the speedup varies, up to as many.
    """

    least: int = 3
    most: int = 9

    def suffice(self, count: int, speedup: Ratio | None) -> bool:
        """Return whether a number of launches is enough.

        Args:
            count: How many there are.
            speedup: Over these launches; None, or without an interval, for one launch: nothing could be made narrower.
        """
        precise = speedup is None or not half_width(speedup) > PRECISE
        return count >= self.most or (count >= self.least and precise)

    def __str__(self) -> str:
        more = f", up to {self.most} where they vary" if self.most > self.least else ""
        return f"{self.least} launch{'es' * (self.least > 1)} each{more}"


def conditions(
    backends: Sequence[str], precisions: Sequence[str], batch_sizes: Sequence[int], threads: int, device: str
) -> list[Condition]:
    """Return every combination of backends, their precisions and batch sizes.

    Args:
        backends: Names of backends.
        precisions: Names of precisions, of which each backend has some.
        batch_sizes: Numbers of examples.
        threads: Threads of a network.
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        UserError: No backend has any of these precisions.
    """
    combinations = [
        Condition(
            backend=backend,
            precision=precision,
            batch_size=batch_size,
            threads=threads,
            device=device.partition(":")[0],
        )
        for batch_size in batch_sizes
        for backend, supported in BACKEND_PRECISIONS.items()
        for precision in supported
        if backend in backends and precision in precisions
    ]
    if not combinations:
        raise UserError(f"--precisions: {', '.join(backends)} supports none of {', '.join(precisions)}")
    return combinations


def pairs_of(records: Iterable[Record], locations: Mapping[str, Any]) -> tuple[list[Pair], list[str]]:
    """Return the pairs of finished students, and why some cannot be built from here, one line each.

    Where students of one pair are of several configurations, it is the pair of the first row of its table.

    Args:
        records: Of a results folder.
        locations: Settings that say where the data lie.
    """
    students = [r for r in records if r.kind == "student" and r.status == "finished" and r.trial is None]
    first: dict[tuple[str, str], Record] = {}
    for record in sorted(students, key=lambda r: (order(r.kind, r.control, r.label), r.seed)):
        first.setdefault((record.task, record.pair), record)
    pairs, problems = [], []
    for record in first.values():
        try:
            pairs.append(pair_of(record, locations))
        except UserError as error:
            problems.append(str(error.within(record.path)))
    return sorted(pairs, key=lambda pair: (pair.task, pair.pair)), problems


@one_thread()
def targets(pairs: Iterable[Pair], cache: Path) -> list[Target]:
    """Return one target for each two architectures.

    Args:
        pairs: Of networks.
        cache: Folder of decoded images.
    """
    by_architecture: dict[tuple[str, str], Target] = {}
    for pair in pairs:
        networks = Networks(pair, cache)
        teacher, student = networks.architectures["teacher"], networks.architectures["student"]
        shape = tuple(networks.task.example_input(1).shape)
        by_architecture.setdefault((teacher, student), Target(pair, teacher, student, shape))
    return list(by_architecture.values())


def places(targets: Iterable[Target], conditions: Iterable[Condition]) -> list[Path]:
    """Return where the timings of some targets lie in a results folder."""
    conditions = list(conditions)
    return [_empty(target, condition).path for target in targets for condition in conditions]


def timing_plan(
    targets: Sequence[Target], conditions: Sequence[Condition], limits: LaunchLimits, results: Path, again: bool = False
) -> TimingPlan:
    """Compare what is to be timed with what is stored.

    Args:
        targets: Pairs to time.
        conditions: Under which each is timed.
        limits: How many launches a timing has.
        results: The results folder.
        again: Whether to try once more what could not be timed.
    """
    stored = {timing.path: timing for timing in timings.scan(results).documents}
    finished, missing, stale = 0, dict[Target, dict[Condition, Timing | None]](), list[str]()
    for target in targets:
        for condition in conditions:
            timing = stored.get(_empty(target, condition).path)
            if timing is not None and (difference := _difference(timing, target)):
                stale.append(f"{results / timing.path}: {difference}")
                timing = None
            if timing is not None and timing.unavailable is not None and (again or not _still_unavailable(timing)):
                timing = None
            if timing is not None and (timing.unavailable is not None or _finished(timing, limits)):
                finished += 1
            else:
                missing.setdefault(target, {})[condition] = timing
    return TimingPlan(finished, missing, tuple(stale))


def _difference(timing: Timing, target: Target) -> str:
    """Why a stored timing cannot be continued; '' where it can."""
    if (timing.teacher, timing.student) != (target.teacher, target.student):
        return "its networks, or the code, were different"
    if timing.quantisation != exports.quantisation(timing.condition.precision):
        return "its file was quantised in another way"
    present, past = flat(environment()), flat(timing.environment)
    for field in sorted(present.keys() | past.keys()):
        if present.get(field, ABSENT) != past.get(field, ABSENT):
            return f"timed on another machine: {field} was {past.get(field, ABSENT)}, is {present.get(field, ABSENT)}"
    return ""


def _still_unavailable(timing: Timing) -> bool:
    """Whether the reason why there are no times still holds: a compiler may have been installed."""
    condition, reason = timing.condition, timing.unavailable or ""
    return obstacle(condition.backend, condition.precision, condition.device) == reason or reason.startswith(
        timing_job.ROLES
    )


def measure(
    plan: TimingPlan, limits: LaunchLimits, results: Path, cache: Path, log: Callable[[str], None]
) -> list[str]:
    """Make the launches that are missing, and store the timings after each.

    The first launch of every target comes before the second of any, so that minutes lie between two of one target.

    Args:
        plan: What is missing.
        limits: How many launches a timing has.
        results: The results folder.
        cache: Folder of exports.
        log: Called with a line for each launch.

    Returns:
        Why some launches failed, one line each.
    """
    problems: list[str] = []
    state = {
        (target, condition): timing or _empty(target, condition)
        for target, missing in plan.missing.items()
        for condition, timing in missing.items()
    }
    failed: set[Target] = set()
    for number in range(limits.most):
        for target, missing in plan.missing.items():
            due = tuple(condition for condition in missing if _due(state[target, condition], number, limits))
            if not due or target in failed:
                continue
            start, load = time.monotonic(), look()
            job = TimingJob(f"{target.name}: launch {number + 1}", target.pair, due, number, cache.resolve())
            measurements, failure = _run(job)
            if failure is not None:
                problems.append(f"{job.id} failed: {failure}")
                failed.add(target)
                continue
            notes = load.notes(after=look())
            for measurement in measurements:
                key = target, measurement.condition
                state[key] = _extended(state[key], measurement, notes)
                timings.write(results, state[key])
            log(f"{job.id}: {len(due)} conditions, {time.monotonic() - start:.0f} s")
    return problems


def _due(timing: Timing, number: int, limits: LaunchLimits) -> bool:
    """Whether a timing lacks this launch, counted from 0."""
    open_ = timing.unavailable in (None, NOT_YET) and not _finished(timing, limits)
    return open_ and len(timing.launches) <= number


def _finished(timing: Timing, limits: LaunchLimits) -> bool:
    return limits.suffice(len(timing.launches), timing.speedup())


def _run(job: TimingJob) -> tuple[list[Measurement], str | None]:
    """Run a job in a fresh process, which is gone afterwards: its measurements, or why it failed."""
    ends = [e for e in LocalExecutor(1).run([job], timing_job.execute) if isinstance(e, JobEnd)]
    error = ends[0].error
    return ends[0].result or [], None if error is None else f"{type(error).__name__}: {error}"


def _empty(target: Target, condition: Condition) -> Timing:
    return Timing(
        task=target.pair.task,
        pair=target.pair.pair,
        condition=condition,
        quantisation=exports.quantisation(condition.precision),
        teacher=target.teacher,
        student=target.student,
        input_shape=target.input_shape,
        unavailable=NOT_YET,
    )


def _extended(timing: Timing, measurement: Measurement, notes: Sequence[str]) -> Timing:
    launches = (*timing.launches, *([measurement.launch] if measurement.launch else []))
    return timing.model_copy(
        update={
            "launches": launches,
            "unavailable": None if launches else measurement.unavailable,
            "memory": measurement.memory or timing.memory,
            "energy": measurement.energy or timing.energy,
            "notes": tuple(dict.fromkeys((*timing.notes, *notes))),
            "environment": environment(),
            "revision": revision(),
        }
    )
