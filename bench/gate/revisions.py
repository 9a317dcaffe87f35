"""Two git revisions measured in one job: living processes that take turns, with the baseline against itself as control.

The launch is the statistical unit: what a process draws once (where its memory lies) is the same in all its samples.
A ratio is the median over launches: now and then a process is some per cent slower for as long as it lives.

Two levels. A change is claimed where the 99% interval over launches is wholly beyond the margins, twice: with many
subjects in every run of continuous integration, a false alarm is what costs most. A subject passes where its 95%
interval is wholly on this side of them, as stored times do (``bench.gate.results``): what is slower by just the margin
then passes in 2.5% of the cases, and what is slower by far more does not. Launches go on until the 95% interval is
within ± half the margin: that of an unchanged subject then reaches the margin in about 2% of comparisons.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np

from bench.errors import UserError
from bench.gate.checkouts import commit, install
from bench.gate.findings import Change, Finding, Outcome, Report, exact
from bench.gate.processes import Process, Turns
from bench.measure.lock import alone_on_the_machine
from bench.measure.timing import WARM_UP, balanced_orders, enough_loops
from bench.statistics import Ratio, Verdict, least_pairs, paired_ratio, ratio_verdict

Side = Literal["base", "head", "control"]
SIDES: tuple[Side, ...] = ("base", "head", "control")
CLAIM, PASS = 0.99, 0.95
"""Levels of the intervals that a change is claimed by, and that a subject passes by."""
CHANGED = ("regressed", "improved")
FAMILY = "family"
Launch = Callable[[], AbstractContextManager[Mapping[Side, Turns]]]


@dataclass(frozen=True)
class Plan:
    """launches: from ``least`` to ``most``, none but these begun after ``seconds``. rounds: of a subject, in a launch.

    To confirm a change takes as many launches again, and so as long.

    least: what an interval of 99% needs. On two virtual cores, the denoising student: medians of 60 rounds vary by 0.6%
    within a launch, and launches by as much again. With 240 rounds a launch's own noise is small against that.
    """

    least: int = least_pairs(CLAIM)
    most: int = 30
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
    if suite.endswith(".toml") and not Path(suite).is_file():
        raise UserError(f"{suite}: no such suite file")
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
    found = {subject: verdict(times, margin, absolute) for subject, times in _each(first)}
    again: dict[str, Verdict] = {}
    second = None
    if any(one in CHANGED for one in found.values()):
        say(f"a change is found: {first.launches} launches more, to confirm it")
        second = measure(launch, Plan(first.launches, first.launches, plan.rounds), margin, rng, say, clock)
        again = {subject: verdict(times, margin, absolute) for subject, times in _each(second)}
    notes += (*_other_teachers(first), *_new(first))
    timed = (_timed(k, times, found[k], again.get(k), margin, absolute) for k, times in _each(first))
    findings = [*_structure(first), *timed]
    launches = first.launches + (second.launches if second else 0)
    notes += (f"{launches} launches of 3 processes, {plan.rounds} rounds each, {clock() - start:.0f} s",)
    notes += tuple(
        f"noise floor, {_shown(subject)}: {base} against itself {_said(_over_launches(times.control, CLAIM))}"
        for subject, times in _each(first)
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
        ratios = [_over_launches([one[0] for one in values], PASS) for values in taken.values()]
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


def verdict(times: Times, margin: float, absolute: float) -> Verdict:
    """Of one batch of launches. Where the baseline seems to differ from itself, nothing can be told of another."""
    if _claimed(times.control, times, margin, absolute) in CHANGED:
        return "inconclusive"
    if (claimed := _claimed(times.head, times, margin, absolute)) in CHANGED:
        return claimed
    plain = ratio_verdict(_over_launches(times.head, PASS), _base(times), margin, absolute)
    return "pass" if plain in ("pass", "improved") else "inconclusive"  # faster, if not surely, is not slower


def _claimed(ratios: tuple[float, ...], times: Times, margin: float, absolute: float) -> Verdict:
    return ratio_verdict(_over_launches(ratios, CLAIM), _base(times), margin, absolute)


def _each(measured: Measured) -> list[tuple[str, Times]]:
    """The subjects, and the family's times: in each launch the geometric mean over subjects."""
    each = list(measured.times.items())
    if len(each) < 2:
        return each
    head, control, base = (
        np.exp(np.log([getattr(times, name) for _, times in each]).mean(axis=0)) for name in ("head", "control", "base")
    )
    return [*each, (FAMILY, Times(tuple(head), tuple(control), tuple(base)))]


def _timed(
    subject: str, times: Times, found: Verdict, again: Verdict | None, margin: float, absolute: float
) -> Finding:
    """found, again: the verdicts of the first launches, and of those that confirm. Its figures are of the first."""
    outcome: Outcome = found
    ratio = _over_launches(times.head, CLAIM if found in CHANGED else PASS)
    before, after = _base(times), _base(times) * ratio.value
    margins, launches = f"the margins of {margin:.3g} and {absolute * 1e6:g} us", len(times.head)
    if _claimed(times.control, times, margin, absolute) in CHANGED:
        why = f"this machine cannot tell: base against itself is beyond {margins}"
    elif found in CHANGED and again != found:
        outcome, why = "inconclusive", f"{found} in {launches} launches, not confirmed by as many others"
    elif found in CHANGED:
        why = f"beyond {margins} in {launches} launches, and in as many others"
    else:
        why = f"{'within' if found == 'pass' else 'not clear of'} {margins}"
    floor = f"base against itself {_said(_over_launches(times.control, CLAIM))}"
    return Finding(
        *_named(subject),
        outcome,
        f"{before * 1e6:.2f} us -> {after * 1e6:.2f} us, times {_said(ratio)}, {why} ({floor})",
        baseline=before,
        candidate=after,
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
            yield exact(cell, metric, before, head["sizes"][network][metric])
    for subject in base["subjects"]:
        if subject not in head["subjects"] and f"{subject.partition(chr(9))[0]}/student" in head["sizes"]:
            why = head["unavailable"].get(subject, "no such subject")
            yield Finding(*_named(subject), "missing", f"not available in the candidate: {why}")
    for subject, why in base["unavailable"].items():
        yield Finding(*_named(subject), "incomparable", f"not available in the baseline: {why}")


def _other_teachers(measured: Measured) -> Iterator[str]:
    """A teacher is not deployed: what it weighs is no finding."""
    base, head = (measured.opened[side]["sizes"] for side in ("base", "head"))
    for network in base:
        if network.endswith("/teacher") and network in head and base[network] != head[network]:
            yield f"{network}: another size, {base[network]['parameters']} and {head[network]['parameters']} parameters"


def _new(measured: Measured) -> Iterator[str]:
    base, head = (measured.opened[side]["sizes"] for side in ("base", "head"))
    for network in head:
        if network.endswith("/student") and network not in base:
            yield f"{network.removesuffix('/student')}: in the candidate only"


def _named(subject: str) -> tuple[str, str]:
    """Its cell and metric."""
    cell, _, backend = subject.partition("\t")
    return cell, f"time, {backend}" if backend else "time"


def _over_launches(ratios: Sequence[float], level: float) -> Ratio:
    return paired_ratio(ratios, np.ones(len(ratios)), level)


def _base(times: Times) -> float:
    return float(np.median(times.base))


def _said(ratio: Ratio) -> str:
    return f"{ratio.value:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]"


def _shown(subject: str) -> str:
    return subject.replace("\t", ", ")
