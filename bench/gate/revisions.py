"""Two git revisions measured in one job: living processes that take turns, with the baseline against itself as control.

The launch is the statistical unit: what a process draws once (where its memory lies) is the same in all its samples.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np

from bench.gate.checkouts import commit, install
from bench.gate.findings import Change, Finding, Outcome, Report
from bench.gate.processes import Process, Turns
from bench.measure.lock import alone_on_the_machine
from bench.measure.timing import WARM_UP, balanced_orders, enough_loops
from bench.statistics import Ratio, Verdict, geometric_mean, ratio_verdict

Side = Literal["base", "head", "control"]
SIDES: tuple[Side, ...] = ("base", "head", "control")
LEVEL = 0.99
FAMILY = "family"
Launch = Callable[[], AbstractContextManager[Mapping[Side, Turns]]]


@dataclass(frozen=True)
class Plan:
    """launches: from ``least`` to ``most``, none begun after ``seconds``. rounds: of each subject, in each launch.

    On two virtual cores, the denoising student: medians of 60 rounds vary by 0.6% within a launch, and launches by as
    much again. With 240 rounds a launch's own noise is small against that.
    """

    least: int = 5
    most: int = 20
    rounds: int = 240
    seconds: float = 600.0


@dataclass(frozen=True)
class Times:
    """Of one subject, a value a launch. head, control: ratio to base, median over rounds. base: seconds of a call."""

    head: tuple[float, ...]
    control: tuple[float, ...]
    base: tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """opened: what each side said that it has. times: of the subjects that all have."""

    opened: Mapping[Side, Mapping[str, Any]]
    times: Mapping[str, Times]
    launches: int


def compare_revisions(
    base: str,
    head: str,
    suite: str,
    *,
    repository: Path = Path(),
    set_: tuple[str, ...] = (),
    tasks: tuple[str, ...] = (),
    backends: tuple[str, ...] = ("eager",),
    speed_margin: float = 0.01,
    least_seconds: float = 2e-6,
    plan: Plan = Plan(),
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """What changed in size and speed of the students from base to head. least_seconds: a difference that never matters.

    suite: a shipped name, as each revision has it, or a file, which is taken from the working tree for both. UserError
    for a revision that is not there, does not install, or cannot load the suite.
    """
    commits = {"base": commit(base, repository), "head": commit(head, repository)}
    with alone_on_the_machine(), tempfile.TemporaryDirectory(prefix="distillbench-") as name:
        folder = Path(name)
        installed: dict[str, Path] = {}
        for revision, its in ((base, commits["base"]), (head, commits["head"])):
            if its not in installed:
                say(f"installing {revision} ({its[:12]})")
                installed[its] = install(revision, its, repository, folder)
        notes = [f"{base} is {commits['base'][:12]}, {head} is {commits['head'][:12]}"]
        if suite.endswith(".toml"):
            suite = str(Path(suite).absolute())
            notes.append(f"{suite} is the working tree's, for both revisions")
        cache = folder / "cache"
        cache.mkdir()
        request = {"suite": suite, "set": set_, "tasks": tasks, "backends": backends, "cache": str(cache)}
        rng = Random(0)

        @contextmanager
        def launch() -> Iterator[Mapping[Side, Turns]]:
            """Which side starts first is random, and with it which of the two alike is base."""
            with ExitStack() as stack:
                team: dict[Side, Turns] = {}
                for side in rng.sample(SIDES, len(SIDES)):
                    revision = "head" if side == "head" else "base"
                    shown = head if side == "head" else base
                    process = Process(shown, installed[commits[revision]], request, folder)
                    stack.callback(process.close)
                    team[side] = process
                yield team

        return judge(base, head, launch, speed_margin, least_seconds, plan, say, notes=tuple(notes))


def judge(
    base: str,
    head: str,
    launch: Launch,
    margin: float,
    absolute: float,
    plan: Plan,
    say: Callable[[str], None] = lambda line: None,
    *,
    notes: tuple[str, ...] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Measure, and measure once more in fresh processes where something changed: only what both find is reported."""
    rng, start = Random(1), clock()
    first = measure(launch, plan, margin, rng, say, clock)
    found = _verdicts(first, margin, absolute)
    again: dict[str, Verdict] = {}
    second = None
    if any(verdict in ("regressed", "improved") for verdict in found.values()):
        say(f"a change is found: {first.launches} launches more, to confirm it")
        second = measure(launch, Plan(first.launches, first.launches, plan.rounds), margin, rng, say, clock)
        again = _verdicts(second, margin, absolute)
    notes += tuple(_other_teachers(first))
    findings = [*_structure(first), *(_timed(k, first, found, again, margin, absolute) for k in _subjects(first))]
    launches = first.launches + (second.launches if second else 0)
    notes += (f"{launches} launches of 3 processes, {plan.rounds} rounds each, {clock() - start:.0f} s",)
    notes += tuple(
        f"noise floor, {_shown(subject)}: {base} against itself {_said(geometric_mean(times.control, LEVEL))}"
        for subject, times in first.times.items()
    )
    return Report(base, head, tuple(findings), notes)


def measure(
    launch: Launch,
    plan: Plan,
    margin: float,
    rng: Random,
    say: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Measured:
    """Launches until every ratio's interval is within ± half the margin, or a cap: by width, never by the verdict."""
    start, taken, opened = clock(), dict[str, list[tuple[float, float, float]]](), dict[Side, Any]()
    for count in range(1, plan.most + 1):
        with launch() as team:
            opened = {side: team[side].open() for side in SIDES}
            common = [s for s in opened["base"]["subjects"] if all(s in o["subjects"] for o in opened.values())]
            for subject in common:
                taken.setdefault(subject, []).append(_rounds(subject, team, plan.rounds, rng))
        say(f"launch {count} of at most {plan.most}")
        if not common:
            break
        if count < plan.least:
            continue
        ratios = [geometric_mean([one[0] for one in values], LEVEL) for values in taken.values()]
        if all(math.log(ratio.high / ratio.low) / 2 <= margin / 2 for ratio in ratios):
            break
        if clock() - start >= plan.seconds:
            break
    times = {subject: Times(*map(tuple, zip(*values, strict=True))) for subject, values in taken.items()}
    return Measured(opened, times, count)


def _rounds(subject: str, team: Mapping[Side, Turns], rounds: int, rng: Random) -> tuple[float, float, float]:
    """One launch: head / base, control / base (medians over rounds), and seconds of a call of base.

    All three make as many calls as the slowest to fill a sample needs, and one of them computes at a time.
    """

    def time_of(side: Side) -> Callable[[int], float]:
        return lambda loops: team[side].sample(subject, loops, 0)

    loops = max(enough_loops(time_of(side)) for side in SIDES)
    taken: dict[Side, list[float]] = {side: [] for side in SIDES}
    for _, order in zip(range(rounds), balanced_orders(SIDES, rng), strict=False):
        for side in order:
            taken[side].append(team[side].sample(subject, loops, math.ceil(WARM_UP * loops)) / loops)  # type: ignore[index]
    base = np.array(taken["base"])
    head, control = (float(np.exp(np.median(np.log(np.array(taken[side]) / base)))) for side in ("head", "control"))
    return head, control, float(np.median(base))


def _verdicts(measured: Measured, margin: float, absolute: float) -> dict[str, Verdict]:
    """Of each subject, and of the family where it has more than one member."""
    found = {k: ratio_verdict(geometric_mean(t.head, LEVEL), _base(t), margin, absolute) for k, t in _each(measured)}
    # What the machine cannot tell of the baseline against itself, it cannot tell of another revision.
    for subject, times in _each(measured):
        if ratio_verdict(geometric_mean(times.control, LEVEL), _base(times), margin) in ("regressed", "improved"):
            found[subject] = "inconclusive"
    return found


def _each(measured: Measured) -> list[tuple[str, Times]]:
    """The subjects, and the family's times: in each launch the geometric mean over subjects."""
    each = list(measured.times.items())
    if len(each) < 2:
        return each
    head, control, base = (
        np.exp(np.log([getattr(times, name) for _, times in each]).mean(axis=0)) for name in ("head", "control", "base")
    )
    return [*each, (FAMILY, Times(tuple(head), tuple(control), tuple(base)))]


def _subjects(measured: Measured) -> list[str]:
    return [subject for subject, _ in _each(measured)]


def _timed(
    subject: str,
    first: Measured,
    found: Mapping[str, Verdict],
    again: Mapping[str, Verdict],
    margin: float,
    absolute: float,
) -> Finding:
    times = dict(_each(first))[subject]
    ratio, control = geometric_mean(times.head, LEVEL), geometric_mean(times.control, LEVEL)
    outcome: Outcome = found[subject]
    floor = f"base against itself {_said(control)}"
    if ratio_verdict(control, _base(times), margin) in ("regressed", "improved"):
        reason = f"the control differs from itself by more than {margin:.1%}: this machine cannot tell ({floor})"
    elif outcome in ("regressed", "improved") and again.get(subject) != outcome:
        reason, outcome = f"{outcome} in the first launches, not confirmed by as many others ({floor})", "inconclusive"
    elif outcome in ("regressed", "improved"):
        way = "slower" if outcome == "regressed" else "faster"
        reason = f"{way} by more than {margin:.1%} in {len(times.head)} launches, and in as many others ({floor})"
    elif outcome == "pass":
        reason = f"not slower by more than {margin:.1%} ({floor})"
    else:
        reason = f"the interval includes the margin of {margin:.1%} ({floor})"
    cell, _, backend = subject.partition("\t")
    metric = f"time, {backend}" if backend else "time"
    return Finding(
        cell,
        metric,
        outcome,
        reason,
        baseline=_base(times),
        candidate=_base(times) * ratio.value,
        unit="s",
        change=Change("ratio", ratio.value, ratio.low, ratio.high),
    )


def _structure(measured: Measured) -> Iterator[Finding]:
    """What needs no clock: sizes, and what one side has and the other has not."""
    base, head = measured.opened["base"], measured.opened["head"]
    for network, sizes in base["sizes"].items():
        cell, _, role = network.rpartition("/")
        if role != "student":
            continue
        if network not in head["sizes"]:
            yield Finding(cell, "size", "missing", "the candidate has no such pair")
            continue
        for metric, before in sizes.items():
            after = head["sizes"][network][metric]
            outcome: Outcome = "pass" if after == before else "regressed" if after > before else "improved"
            reason = "equal" if after == before else "more" if after > before else "fewer"
            yield Finding(cell, metric, outcome, reason, baseline=float(before), candidate=float(after))
    for subject in base["subjects"]:
        if subject not in head["subjects"] and f"{subject.partition(chr(9))[0]}/student" in head["sizes"]:
            cell, _, backend = subject.partition("\t")
            why = head["unavailable"].get(subject, "no such subject")
            yield Finding(cell, f"time, {backend}", "missing", f"not at the candidate: {why}")
    for subject, why in base["unavailable"].items():
        cell, _, backend = subject.partition("\t")
        yield Finding(cell, f"time, {backend}", "incomparable", f"not at the baseline: {why}")


def _other_teachers(measured: Measured) -> Iterator[str]:
    """A teacher is not deployed: what it weighs is no finding."""
    base, head = (measured.opened[side]["sizes"] for side in ("base", "head"))
    for network in base:
        if network.endswith("/teacher") and network in head and base[network] != head[network]:
            yield f"{network}: another size, {base[network]['parameters']} and {head[network]['parameters']} parameters"


def _base(times: Times) -> float:
    return float(np.exp(np.mean(np.log(times.base))))


def _said(ratio: Ratio) -> str:
    return f"{ratio.value:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]"


def _shown(subject: str) -> str:
    return subject.replace("\t", ", ")
