"""Two git revisions compared in one job: installed side by side, and their students timed interleaved.

Base is timed twice, by two processes: the A/A control shows what this machine makes of two revisions that are equal.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from distillbench.bench.compare.checkouts import commit, install
from distillbench.bench.compare.decisions import SIDES, Rule, Side, Times, control_ratio, decide
from distillbench.bench.compare.findings import Change, Finding, Report, compare_counts
from distillbench.bench.compare.launches import Budget, Clock, Launcher, Measurements, Progress, Samplers, measure
from distillbench.bench.compare.revision_process import RevisionProcess, Sampler
from distillbench.bench.machine.lock import alone_on_the_machine
from distillbench.bench.statistics import Ratio
from distillbench.common.errors import UserError
from distillbench.common.paths import expanded

SEPARATOR = "\t"
"""Between cell and backend in the name of a subject."""


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
    budget: Budget,
    progress: Progress = lambda line: None,
) -> Report:
    """Compare size and speed of a suite's students at two revisions.

    Args:
        base: A branch, tag or commit.
        head: Another one.
        suite: A shipped name, as each revision has it, or a file, which is the working tree's for both.
        repository: A folder inside the git repository.
        set_: Settings of the suite to override.
        tasks: Only these tasks; empty for all.
        backends: What to time the students with.
        speed_margin: How much slower a student may be, relative.
        least_seconds: A difference in seconds that never matters.
        budget: How long it may take.
        progress: Called with a line at each step.

    Returns:
        A report with findings for each student's sizes and times.

    Raises:
        UserError: A revision is unknown, does not install, or cannot load the suite.
    """
    start = time.monotonic()
    if suite.endswith(".toml") and not expanded(suite).is_file():
        raise UserError("no such suite file", suite)
    commits = {revision: commit(revision, repository) for revision in (base, head)}
    notes = [f"{base} is {commits[base][:12]}, {head} is {commits[head][:12]}"]
    with alone_on_the_machine(), tempfile.TemporaryDirectory(prefix="distillbench-") as name:
        folder = Path(name)
        installed = _install_all(commits, repository, folder, progress)
        if suite.endswith(".toml"):
            suite = str(expanded(suite).absolute())
            notes.append(f"{suite} is the working tree's, for both revisions")
        cache = folder / "cache"
        cache.mkdir()
        request = {"suite": suite, "set": set_, "tasks": tasks, "backends": backends, "cache": str(cache)}
        launch = _launcher({"base": base, "head": head, "control": base}, installed, request, folder)
        budget = replace(budget, seconds=budget.seconds - (time.monotonic() - start))
        rule = Rule(speed_margin, least_seconds)
        return compare_interleaved(base, head, launch, rule, budget, progress, notes=tuple(notes))


def _install_all(commits: Mapping[str, str], repository: Path, folder: Path, progress: Progress) -> dict[str, Path]:
    """The folder of each revision's installation; equal commits share one."""
    folders: dict[str, Path] = {}
    for revision, full_name in commits.items():
        if full_name not in folders:
            progress(f"installing {revision} ({full_name[:12]})")
            folders[full_name] = install(revision, full_name, repository, folder)
    return {revision: folders[full_name] for revision, full_name in commits.items()}


def _launcher(
    revisions: Mapping[Side, str], installed: Mapping[str, Path], request: Mapping[str, Any], folder: Path
) -> Launcher:
    rng = Random(0)

    @contextmanager
    def launch(sizes: bool) -> Iterator[Samplers]:
        """Which side starts first is random, and with it which of the two equal ones is base."""
        with ExitStack() as stack:
            samplers: dict[Side, Sampler] = {}
            for side in rng.sample(SIDES, len(SIDES)):
                revision = revisions[side]
                process = RevisionProcess(revision, installed[revision], {**request, "sizes": sizes}, folder)
                stack.callback(process.close)
                samplers[side] = process
            yield samplers

    return launch


def compare_interleaved(
    base: str,
    head: str,
    launch: Launcher,
    rule: Rule,
    budget: Budget,
    progress: Progress = lambda line: None,
    *,
    notes: tuple[str, ...] = (),
    clock: Clock = time.monotonic,
) -> Report:
    """Measure until every subject is decided or the budget is used up, and report what is known about each.

    Args:
        base: The revision's name.
        head: The other revision's name.
        launch: Starts the processes of one launch.
        rule: What a change must exceed.
        budget: How long it may take.
        progress: Called with a line after each launch.
        notes: For the report.
        clock: Seconds.
    """
    start = clock()
    measured, rule = measure(launch, rule, budget, Random(1), progress, clock)
    notes += (*teacher_notes(measured), *_new_pairs(measured))
    notes += (f"{measured.launches} launches of 3 processes, at most {budget.rounds} rounds, {clock() - start:.0f} s",)
    notes += tuple(
        f"A/A control of {subject.replace(SEPARATOR, ', ')}: {_ratio_text(control_ratio(times, rule))}"
        for subject, times in measured.times.items()
    )
    timed = (_time_finding(subject, times, rule) for subject, times in measured.times.items())
    return Report(base, head, (*_structural_findings(measured), *timed), notes)


def _time_finding(subject: str, times: Times, rule: Rule) -> Finding:
    decision, before = decide(times, rule), float(np.median(times.base))
    ratio, after = decision.ratio, before * decision.ratio.value
    timeout = "" if decision.final or decision.outcome == "pass" else ", when time ran out"
    launches = f"{len(times.head)} launch{'es' if len(times.head) > 1 else ''}"
    control = _ratio_text(control_ratio(times, rule))
    values = f"{before * 1e6:.2f} us -> {after * 1e6:.2f} us, ratio {_ratio_text(ratio)}"
    return Finding(
        *_cell_and_metric(subject),
        decision.outcome,
        f"{values}, {decision.reason} after {launches}{timeout} (A/A control: {control})",
        baseline=before,
        candidate=after,
        unit="s",
        change=Change("ratio", ratio.value, ratio.low, ratio.high),
    )


def _structural_findings(measured: Measurements) -> Iterator[Finding]:
    """What needs no clock: sizes, and what one side has and the other lacks."""
    base, head = measured.opened["base"], measured.opened["head"]
    for network, sizes in base["sizes"].items():
        cell, _, role = network.rpartition("/")
        if role == "student":
            yield from _size_findings(cell, sizes, head["sizes"].get(network))
    for subject in base["subjects"]:
        student = f"{subject.partition(SEPARATOR)[0]}/student"
        if subject not in head["subjects"] and student in head["sizes"]:
            reason = head["unavailable"].get(subject, "no such subject")
            yield Finding(*_cell_and_metric(subject), "missing", f"not available in the candidate: {reason}")
    for subject, reason in base["unavailable"].items():
        yield Finding(*_cell_and_metric(subject), "incomparable", f"not available in the baseline: {reason}")


def _size_findings(cell: str, old: Mapping[str, int], new: Mapping[str, int] | None) -> Iterator[Finding]:
    if new is None:
        yield Finding(cell, "size", "missing", "the candidate lacks this pair")
    else:
        yield from (compare_counts(cell, metric, size, new[metric]) for metric, size in old.items())


def teacher_notes(measured: Measurements) -> Iterator[str]:
    """Notes on teachers whose size changed: a teacher is not deployed, so its size is no finding."""
    base, head = (measured.opened[side]["sizes"] for side in ("base", "head"))
    for network, sizes in base.items():
        if network.endswith("/teacher") and network in head and sizes != head[network]:
            pairs = [(metric, old, head[network][metric]) for metric, old in sizes.items()]
            changes = ", ".join(f"{old:,} -> {new:,} {metric}" for metric, old, new in pairs if old != new)
            yield f"{network}: size changed, {changes}"


def _new_pairs(measured: Measurements) -> Iterator[str]:
    base, head = (measured.opened[side]["sizes"] for side in ("base", "head"))
    for network in head:
        if network.endswith("/student") and network not in base:
            yield f"{network.removesuffix('/student')}: only in the candidate"


def _cell_and_metric(subject: str) -> tuple[str, str]:
    cell, _, backend = subject.partition(SEPARATOR)
    return cell, f"time, {backend}" if backend else "time"


def _ratio_text(ratio: Ratio) -> str:
    interval = "no interval" if math.isnan(ratio.low) else f"{ratio.low:.4f}, {ratio.high:.4f}"
    return f"{ratio.value:.4f} [{interval}]"
