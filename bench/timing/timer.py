"""From pairs to timings, and from finished students to exports: what is missing, measured alone on the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillbench.bench.export.trained_network import pair_of
from distillbench.bench.machine.environment import environment, revision
from distillbench.bench.machine.limits import cores
from distillbench.bench.machine.load import look
from distillbench.bench.machine.processor import same_processor
from distillbench.bench.measure.backends import PRECISIONS, obstacle
from distillbench.bench.measure.interleaving import half_width
from distillbench.bench.statistics import Ratio
from distillbench.bench.store import exports, timings
from distillbench.bench.store.configurations import ABSENT, flat, order
from distillbench.bench.store.records import Record, Store
from distillbench.bench.store.terms import FORMS, Form
from distillbench.bench.store.timings import Condition, Timing
from distillbench.bench.suite.cells import Pair
from distillbench.bench.timing import launch
from distillbench.bench.timing.launch import LaunchJob, Networks, Taken
from distillbench.bench.training.determinism import one_thread
from distillbench.bench.workers import local
from distillbench.bench.workers.messages import Done
from distillbench.common.errors import UserError
from distillbench.tasks.networks.interfaces import ROLES

Say = Callable[[str], None]
NOT_YET = "not timed yet"
PRECISE = 0.025
"""Half-width of a speedup's interval, relative: two such runs can be told equal within what `compare` tolerates."""
QUANTISED = {form for form in FORMS if form != "float32"}


@dataclass(frozen=True)
class Target:
    """A pair whose two networks are to be timed; another pair of the same architectures needs no timing of its own."""

    pair: Pair
    teacher: str
    student: str
    input_shape: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.pair.task}/{self.pair.pair}"


@dataclass(frozen=True)
class Todo:
    """finished: what is there. missing: conditions of a target, with what is there of each so far.

    other: why timings that lie in the place of missing ones are of something else.
    """

    finished: int
    missing: tuple[tuple[Target, tuple[tuple[Condition, Timing | None], ...]], ...]
    other: tuple[str, ...]

    @property
    def conditions(self) -> int:
        return sum(len(mine) for _, mine in self.missing)


@dataclass(frozen=True)
class Launches:
    """Processes that each time is taken in: the fewest, and where the speedup varies, up to the most."""

    least: int = 3
    most: int = 9

    def suffice(self, count: int, speedup: Ratio | None) -> bool:
        """speedup: over these launches. One launch has no interval, and nothing to be made narrower."""
        precise = speedup is None or not half_width(speedup) > PRECISE
        return count >= self.most or (count >= self.least and precise)

    def __str__(self) -> str:
        return f"{self.least} launches each" + (
            f", up to {self.most} where they vary" if self.most > self.least else ""
        )


def conditions(
    backends: Sequence[str], precisions: Sequence[str], batch_sizes: Sequence[int], threads: int, device: str
) -> list[Condition]:
    """Every combination that there is: a backend has precisions of its own. Raises UserError where there is none."""
    found = [
        Condition.model_validate(
            {
                "backend": backend,
                "precision": precision,
                "batch_size": size,
                "threads": threads,
                "device": device.partition(":")[0],
            }
        )
        for size in batch_sizes
        for backend in backends
        for precision in PRECISIONS[backend]
        if precision in precisions
    ]
    if not found:
        raise UserError(f"--precisions: {', '.join(backends)} has none of {', '.join(precisions)}")
    return found


def pairs_of(records: Iterable[Record], locations: Mapping[str, Any]) -> tuple[list[Pair], list[str]]:
    """The pairs of a results folder's students, and why some cannot be built here, one line each.

    Where students of one pair are of several configurations it is that of the first row of its table.
    """
    chosen: dict[tuple[str, str], Record] = {}
    for record in sorted(records, key=lambda r: (order(r.kind, r.label), r.seed)):
        if record.kind == "student" and record.status == "finished" and record.trial is None:
            chosen.setdefault((record.task, record.pair), record)
    pairs, problems = [], []
    for record in chosen.values():
        try:
            pairs.append(pair_of(record, locations))
        except UserError as error:
            problems.append(str(error.within(record.path)))
    return sorted(pairs, key=lambda pair: (pair.task, pair.pair)), problems


@one_thread()
def targets(pairs: Iterable[Pair], cache: Path) -> list[Target]:
    """One a pair of architectures."""
    found: dict[tuple[str, str], Target] = {}
    for pair in pairs:
        networks = Networks(pair, cache)
        its = networks.architectures
        shape = tuple(networks.task.example_input(1).shape)
        found.setdefault((its["teacher"], its["student"]), Target(pair, its["teacher"], its["student"], shape))
    return list(found.values())


def plan(
    wanted: Sequence[Target], under: Sequence[Condition], launches: Launches, out: Path, again: bool = False
) -> Todo:
    """What is there and what is not: a timing is finished when it is of this machine and has launches enough.

    again: try once more what could not be timed.
    """
    there = {timing.path: timing for timing in timings.scan(out).documents}
    finished, missing, other = 0, [], []
    for target in wanted:
        mine: list[tuple[Condition, Timing | None]] = []
        for condition in under:
            kept = there.get(_empty(target, condition).path)
            if kept is not None and (difference := _difference(kept, target)):
                other.append(f"{out / kept.path}: {difference}")
                kept = None
            if kept is not None and kept.unavailable is not None and (again or not _tried(kept, target)):
                kept = None
            if kept is not None and (kept.unavailable is not None or _finished(kept, launches)):
                finished += 1
            else:
                mine.append((condition, kept))
        if mine:
            missing.append((target, tuple(mine)))
    return Todo(finished, tuple(missing), tuple(other))


def _difference(kept: Timing, target: Target) -> str:
    """Why a timing cannot be gone on with; '' where it can."""
    if (kept.teacher, kept.student) != (target.teacher, target.student):
        return "is of other networks, or of another code"
    if kept.quantisation != exports.quantisation(kept.condition.precision):
        return "is of a file that was quantised in another way"
    mine, its = flat(environment()), flat(kept.environment)
    for field in sorted(mine.keys() | its.keys()):
        if mine.get(field, ABSENT) != its.get(field, ABSENT):
            return f"timed elsewhere: {field} was {its.get(field, ABSENT)}, here it is {mine.get(field, ABSENT)}"
    return ""


def _tried(kept: Timing, target: Target) -> bool:
    """Whether the reason why there are no times still stands: a compiler may have been installed."""
    reason = obstacle(kept.condition.backend, kept.condition.precision, target.pair.device)
    return reason == kept.unavailable or kept.unavailable.startswith(ROLES)  # type: ignore[union-attr]


def measure(todo: Todo, launches: Launches, out: Path, cache: Path, say: Say) -> list[str]:
    """Take the launches that are missing, each target's in turn, so that minutes lie between two of one target.

    What is measured is kept after each. Returns why some could not be taken, one line each.
    """
    problems: list[str] = []
    state: dict[tuple[Target, Condition], Timing] = {
        (target, condition): kept or _empty(target, condition)
        for target, mine in todo.missing
        for condition, kept in mine
    }
    given_up: set[Target] = set()
    for number in range(launches.most):
        for target, mine in todo.missing:
            short = tuple(
                condition
                for condition, _ in mine
                if len(state[target, condition].launches) <= number
                and not _finished(state[target, condition], launches)
                and state[target, condition].unavailable in (None, NOT_YET)
            )
            if not short or target in given_up:
                continue
            start, before = time.monotonic(), look()
            job = LaunchJob(f"{target.name}: launch {number + 1}", target.pair, short, number, cache.resolve())
            found, reason = _launched(job)
            if reason is not None:
                problems.append(f"{job.id} failed: {reason}")
                given_up.add(target)
                continue
            notes = before.notes(after=look())
            for taken in found:
                state[target, taken.condition] = _with(state[target, taken.condition], taken, notes)
                timings.write(out, state[target, taken.condition])
            say(f"{job.id}: {len(short)} conditions, {time.monotonic() - start:.0f} s")
    return problems


def _finished(timing: Timing, launches: Launches) -> bool:
    return launches.suffice(len(timing.launches), timing.speedup())


def _launched(job: LaunchJob) -> tuple[list[Taken], str | None]:
    """In a fresh process, which is gone afterwards."""
    for event in local.run([job], launch.execute, 1):
        if isinstance(event, Done):
            return event.result or [], None if event.error is None else f"{type(event.error).__name__}: {event.error}"
    return [], "it did not end"


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


def _with(kept: Timing, taken: Taken, notes: Sequence[str]) -> Timing:
    launches = (*kept.launches, *([taken.launch] if taken.launch else []))
    return kept.model_copy(
        update={
            "launches": launches,
            "unavailable": None if launches else taken.unavailable,
            "memory": taken.memory or kept.memory,
            "energy": taken.energy or kept.energy,
            "notes": tuple(dict.fromkeys((*kept.notes, *notes))),
            "environment": environment(),
            "revision": revision(),
        }
    )


def forms(under: Iterable[Condition]) -> list[Form]:
    """What the conditions need of each student: nothing where none of them is of a quantised network, here."""
    wanted = {c.precision for c in under if obstacle(c.backend, c.precision, c.device) is None}
    return [form for form in FORMS if form == "float32" or form in wanted] if wanted & QUANTISED else []


def convertible(pairs: Iterable[Pair], wanted: Sequence[Form], out: Path) -> list[Record]:
    """Finished students of these pairs whose export is not there yet, of this processor and in one of these forms."""
    if not wanted or not (out / "records").is_dir():
        return []
    mine = {(pair.task, pair.pair) for pair in pairs}
    there = {export.path: export for export in exports.scan(out).documents}
    found = []
    for record in Store(out).scan().records:
        student = record.kind == "student" and record.status == "finished" and record.trial is None
        if not student or (record.task, record.pair) not in mine:
            continue
        kept = there.get(exports.path_of(record))
        whole = kept is not None and kept.is_of(record) and kept.has(wanted)
        if kept is None or not whole or not same_processor(kept.environment, environment()):
            found.append(record)
    return found


def convert(
    records: Sequence[Record], wanted: Sequence[Form], out: Path, cache: Path, locations: Mapping[str, Any], say: Say
) -> list[str]:
    """Export and quantise students, and measure what that costs in quality; why some came to nothing, a line each."""
    from distillbench.bench.export import conversion  # needs ONNX Runtime, which timing does without

    rows: dict[str, list[Record]] = {}
    for record in records:
        rows.setdefault(f"{record.task}/{record.pair}/{record.label}", []).append(record)
    jobs = [
        conversion.ConversionJob(name, tuple(mine), tuple(wanted), out.resolve(), cache.resolve(), dict(locations))
        for name, mine in rows.items()
    ]
    problems = []
    for event in local.run(jobs, conversion.execute, cores()):
        if not isinstance(event, Done):
            continue
        if event.error is not None:
            problems.append(f"{event.id}: {type(event.error).__name__}: {event.error}")
        made = event.result.exports if event.result else ()
        problems += event.result.problems if event.result else ()
        for export in made:
            exports.write(out, export)
            problems += [
                f"{export.path}: {form}: {artefact.failure}"
                for form, artefact in export.artefacts.items()
                if artefact.failure is not None
            ]
        say(f"{event.id}: {len(made)} exports")
    return problems
