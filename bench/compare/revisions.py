"""Two git revisions measured in one job: living processes that take turns, with the baseline against itself as control.

The launch is the statistical unit: what a process draws once (where its memory lies) is the same in all its samples.

A student takes part in launch after launch until it is decided, by intervals that hold however often they are looked at
(``bench/statistics/sequences.py``): what is blatant is told at once, and only what is doubtful takes time. Two levels:
a change is claimed where the interval of 99%, shared among the students (Bonferroni), is wholly beyond the margins, for
with many students in every run of continuous integration a false alarm is what costs most. A student passes where its
interval of 95% is wholly on this side of them, as stored times do (``bench/compare/results.py``).
"""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np

from distillbench.bench.compare.checkouts import commit, install
from distillbench.bench.compare.findings import Change, Finding, Report, exact
from distillbench.bench.compare.processes import Process, Turns
from distillbench.bench.machine.lock import alone_on_the_machine
from distillbench.bench.measure.interleaving import WARM_UP, balanced_orders, enough_loops
from distillbench.bench.statistics import Ratio, Verdict, anytime_ratio, ratio_verdict
from distillbench.common.errors import UserError
from distillbench.common.paths import expanded

Side = Literal["base", "head", "control"]
SIDES: tuple[Side, ...] = ("base", "head", "control")
CLAIM, PASS = 0.99, 0.95
"""Levels of the intervals that a change of any student is claimed by, and that a student passes by."""
CHANGED = ("regressed", "improved")
LEAST_LAUNCHES = 5
"""Before anything is decided: so few may all have drawn the same, and vary by less than launches do."""
LEAST_ROUNDS = 30
SHARES = 20
"""Launches that there is to be time for: where rounds take long, a student has fewer of them in each."""
Launch = Callable[[bool], AbstractContextManager[Mapping[Side, Turns]]]
"""Of whether sizes are asked for."""


@dataclass(frozen=True)
class Plan:
    """rounds: of a student in a launch, at most. seconds: for all of it; no launch begins that would not end by then.

    On two virtual cores, the denoising student: medians of 60 rounds vary by 0.6% within a launch, and launches by as
    much again. With 240 rounds a launch's own noise is small against that.
    """

    rounds: int = 240
    seconds: float = 600.0


@dataclass(frozen=True)
class Times:
    """Of one subject, a value a launch. head, control: ratio to base, median over rounds. base: seconds of a call."""

    head: tuple[float, ...] = ()
    control: tuple[float, ...] = ()
    base: tuple[float, ...] = ()

    def after(self, head: float, control: float, base: float) -> Times:
        """With one launch more."""
        return Times((*self.head, head), (*self.control, control), (*self.base, base))


@dataclass(frozen=True)
class Rule:
    """margin: relative. absolute: seconds that never matter. subjects: among how many a change is claimed."""

    margin: float
    absolute: float
    subjects: int = 1

    @property
    def claim(self) -> float:
        """The level of each interval, so that those of all subjects hold at ``CLAIM`` (Bonferroni)."""
        return 1 - (1 - CLAIM) / self.subjects

    def __str__(self) -> str:
        return f"the margins of {self.margin:.3g} and {self.absolute * 1e6:g} us"


@dataclass(frozen=True)
class Judgement:
    """ratio: of head to base, with the interval that decides. final: further launches are of no use."""

    outcome: Verdict
    ratio: Ratio
    why: str
    final: bool


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
    start = time.monotonic()
    if suite.endswith(".toml") and not expanded(suite).is_file():
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
            suite = str(expanded(suite).absolute())
            notes.append(f"{suite} is the working tree's, for both revisions")
        cache = folder / "cache"
        cache.mkdir()
        request = {"suite": suite, "set": set_, "tasks": tasks, "backends": backends, "cache": str(cache)}
        rng = Random(0)

        @contextmanager
        def launch(sizes: bool) -> Iterator[Mapping[Side, Turns]]:
            """Which side starts first is random, and with it which of the two alike is base."""
            with ExitStack() as stack:
                team: dict[Side, Turns] = {}
                for side in rng.sample(SIDES, len(SIDES)):
                    revision = "head" if side == "head" else "base"
                    shown = head if side == "head" else base
                    process = Process(shown, installed[commits[revision]], request | {"sizes": sizes}, folder)
                    stack.callback(process.close)
                    team[side] = process
                yield team

        plan = replace(plan, seconds=plan.seconds - (time.monotonic() - start))
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
    """Measure until every subject is decided, or time is out, and say of each what is known of it."""
    start = clock()
    measured, rule = measure(launch, Rule(margin, absolute), plan, Random(1), say, clock)
    timed = (_timed(subject, times, rule) for subject, times in measured.times.items())
    findings = (*_structure(measured), *timed)
    notes += (*other_teachers(measured), *_new(measured))
    notes += (f"{measured.launches} launches of 3 processes, {plan.rounds} rounds at most, {clock() - start:.0f} s",)
    notes += tuple(
        f"noise floor, {_shown(subject)}: {base} against itself {_said(anytime_ratio(times.control, rule.claim))}"
        for subject, times in measured.times.items()
    )
    return Report(base, head, findings, notes)


def measure(
    launch: Launch,
    rule: Rule,
    plan: Plan,
    rng: Random,
    say: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Measured, Rule]:
    """Launches, in each of which all that are undecided are timed; all of them in the first, whatever the time.

    Which comes first is random: it is the last that time may not suffice for. The rule comes back for as many as
    there are.
    """
    start = clock()
    times: dict[str, Times] = {}
    opened: Mapping[Side, Any] = {}
    undecided: list[str] = []
    for count in itertools.count(1):
        began = clock()
        with launch(count == 1) as team:
            answers = {side: team[side].open() for side in SIDES}
            if count == 1:
                opened = answers
                undecided = [
                    s for s in answers["base"]["subjects"] if all(s in a["subjects"] for a in answers.values())
                ]
                times, rule = dict.fromkeys(undecided, Times()), replace(rule, subjects=max(1, len(undecided)))
            for subject in rng.sample(undecided, len(undecided)):
                share = plan.seconds / SHARES / len(undecided)
                if count == 1 or clock() - start < plan.seconds:
                    times[subject] = times[subject].after(*_rounds(subject, team, plan.rounds, rng, share, clock))
        undecided = [subject for subject in undecided if not judgement(times[subject], rule).final]
        now = clock()
        say(f"launch {count}: {len(times) - len(undecided)} of {len(times)} decided, {now - start:.0f} s")
        if not undecided or 2 * now - began > start + plan.seconds:
            break
    return Measured(opened, times, count), rule


def _rounds(
    subject: str,
    team: Mapping[Side, Turns],
    rounds: int,
    rng: Random,
    seconds: float,
    clock: Callable[[], float],
) -> tuple[float, float, float]:
    """One launch: head / base, control / base (medians over rounds), and seconds of a call of base.

    All three make as many calls as the slowest to fill a sample needs, and one of them computes at a time. There are
    ``LEAST_ROUNDS``, and more for so many seconds.
    """

    def time_of(side: Side) -> Callable[[int], float]:
        return lambda loops: team[side].sample(subject, loops, 0)

    start = clock()
    loops = max(enough_loops(time_of(side)) for side in SIDES)
    taken: dict[Side, list[float]] = {side: [] for side in SIDES}
    for number, order in zip(range(rounds), balanced_orders(SIDES, rng), strict=False):
        if number >= LEAST_ROUNDS and number % len(SIDES) == 0 and clock() - start >= seconds:
            break
        for side in order:
            taken[side].append(team[side].sample(subject, loops, math.ceil(WARM_UP * loops)) / loops)  # type: ignore[index]
    base = np.array(taken["base"])
    head, control = (float(np.exp(np.median(np.log(np.array(taken[side]) / base)))) for side in ("head", "control"))
    return head, control, float(np.median(base))


def judgement(times: Times, rule: Rule) -> Judgement:
    """Of the launches so far. What has changed has, against base and against control alike.

    Where the baseline seems to differ from itself, nothing can be told of another.
    """
    head, control = (anytime_ratio(ratios, rule.claim) for ratios in (times.head, times.control))
    to_control = anytime_ratio(np.divide(times.head, times.control), rule.claim)
    likely = anytime_ratio(times.head, PASS)

    def against(ratio: Ratio) -> Verdict:
        return ratio_verdict(ratio, float(np.median(times.base)), rule.margin, rule.absolute)

    if len(times.head) < LEAST_LAUNCHES:
        return Judgement("inconclusive", likely, "too few to tell", False)
    if against(control) in CHANGED:
        return Judgement("inconclusive", head, f"this machine cannot tell: base against itself is beyond {rule}", True)
    if (claimed := against(head)) in CHANGED and against(to_control) == claimed:
        return Judgement(claimed, head, f"beyond {rule}", True)
    if (plain := against(likely)) in ("pass", "improved"):  # faster, if not surely, is not slower; it may become sure
        return Judgement("pass", likely, f"within {rule}", plain == "pass")
    return Judgement("inconclusive", likely, f"not clear of {rule}", False)


def _timed(subject: str, times: Times, rule: Rule) -> Finding:
    judged, before = judgement(times, rule), float(np.median(times.base))
    ratio, after = judged.ratio, before * judged.ratio.value
    late = "" if judged.final or judged.outcome == "pass" else ", when time ran out"
    figures = f"{before * 1e6:.2f} us -> {after * 1e6:.2f} us, times {_said(ratio)}"
    launches = f"{len(times.head)} launch{'es' if len(times.head) > 1 else ''}"
    floor = f"base against itself {_said(anytime_ratio(times.control, rule.claim))}"
    return Finding(
        *_named(subject),
        judged.outcome,
        f"{figures}, {judged.why} in {launches}{late} ({floor})",
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


def other_teachers(measured: Measured) -> Iterator[str]:
    """A teacher is not deployed: what it weighs is no finding."""
    base, head = (measured.opened[side]["sizes"] for side in ("base", "head"))
    for network in base:
        if network.endswith("/teacher") and network in head and base[network] != head[network]:
            sizes = [(metric, old, head[network][metric]) for metric, old in base[network].items()]
            changes = ", ".join(f"{old:,} and {new:,} {metric}" for metric, old, new in sizes if old != new)
            yield f"{network}: another size, {changes}"


def _new(measured: Measured) -> Iterator[str]:
    base, head = (measured.opened[side]["sizes"] for side in ("base", "head"))
    for network in head:
        if network.endswith("/student") and network not in base:
            yield f"{network.removesuffix('/student')}: in the candidate only"


def _named(subject: str) -> tuple[str, str]:
    """Its cell and metric."""
    cell, _, backend = subject.partition("\t")
    return cell, f"time, {backend}" if backend else "time"


def _said(ratio: Ratio) -> str:
    interval = "no interval" if math.isnan(ratio.low) else f"{ratio.low:.4f}, {ratio.high:.4f}"
    return f"{ratio.value:.4f} [{interval}]"


def _shown(subject: str) -> str:
    return subject.replace("\t", ", ")
