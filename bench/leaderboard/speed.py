"""How fast the entries of a board are: ranked only among what was timed on one machine, never across machines."""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Mapping, Sequence, Set

from distillbench.bench.analysis.notes import machine_name
from distillbench.bench.leaderboard.entries import Entry
from distillbench.bench.leaderboard.model import Speed, tidy
from distillbench.bench.statistics import Ratio
from distillbench.bench.store.architecture import architecture_of
from distillbench.bench.store.timings import Condition, Timing
from distillbench.common.text import visible

Machines = dict[str, str]
"""Descriptions by letter."""
Architectures = Mapping[Entry, str]
TimingsByMachine = Mapping[str, Mapping[str, Timing]]
"""By the machine's fingerprint and the student's architecture."""


def speeds(
    entries: Sequence[Entry], teachers: Sequence[Entry], timings: Sequence[Timing], device: str
) -> tuple[dict[Entry, Speed], Machines]:
    """The times of the entries' architectures, whoever timed them: one input, eager PyTorch, one thread.

    Args:
        entries: Of one board. Of an entry that was timed on several machines, the one with most of the board counts.
        teachers: The board's, over which a speedup counts.
        timings: Of all folders.
        device: The board's kind of device.

    Returns:
        The speed of each timed entry (entries of one architecture share a rank; controls have none), and the machines
        used.
    """
    of_teachers = {_architecture(teacher) for teacher in teachers}
    architectures = {entry: name for entry in entries if (name := _architecture(entry)) is not None}
    by_machine = _by_machine(timings, device)
    machines = _by_coverage(by_machine, architectures)
    letters = {fingerprint: _letter(place) for place, fingerprint in enumerate(machines)}
    speed_of: dict[Entry, Speed] = {}
    used: set[str] = set()
    for entry, architecture in architectures.items():
        fingerprint = next((name for name in machines if architecture in by_machine[name]), None)
        if fingerprint is not None:
            timing, same_machine = by_machine[fingerprint][architecture], by_machine[fingerprint]
            ranked = {name for other, name in architectures.items() if not other.control}
            speed = _speed(timing, _seconds(same_machine, ranked), letters[fingerprint], timing.teacher in of_teachers)
            speed_of[entry] = speed.model_copy(update={"rank": None}) if entry.control else speed
            used.add(fingerprint)
    described = {letters[name]: _description(by_machine[name]) for name in machines if name in used}
    return speed_of, described


def _by_machine(timings: Sequence[Timing], device: str) -> dict[str, dict[str, Timing]]:
    """The usable timings of the usual condition, the first one of each machine and architecture."""
    by_machine: dict[str, dict[str, Timing]] = {}
    for timing in timings:
        usual = timing.condition == Condition(device=device)
        if usual and _times(timing) is not None and (fingerprint := _fingerprint(timing)) is not None:
            by_machine.setdefault(fingerprint, {}).setdefault(timing.student, timing)
    return by_machine


def _by_coverage(by_machine: TimingsByMachine, architectures: Architectures) -> list[str]:
    """Fingerprints of the machines that timed any of the entries, those with most of them first."""
    covered = Counter(
        {
            name: sum(architecture in timings for architecture in architectures.values())
            for name, timings in by_machine.items()
        }
    )
    return sorted((name for name in by_machine if covered[name]), key=lambda name: (-covered[name], name))


def _seconds(timings: Mapping[str, Timing], architectures: Set[str]) -> list[float]:
    """Seconds of a call of each of these architectures that was timed."""
    times = [_times(timings[architecture]) for architecture in architectures & timings.keys()]
    return [time[0].value for time in times if time is not None]


def _speed(timing: Timing, seconds: Sequence[float], letter: str, of_teacher: bool) -> Speed:
    """seconds: of all architectures on the same machine. of_teacher: whether it was timed with the board's teacher."""
    times = _times(timing)
    assert times is not None
    latency, speedup = times
    return Speed(
        machine=letter,
        seconds=tidy(latency.value) or 0.0,
        low=tidy(latency.low),
        high=tidy(latency.high),
        speedup=tidy(speedup.value) if of_teacher else None,
        rank=1 + sum(other < latency.value for other in seconds),
    )


def _times(timing: Timing) -> tuple[Ratio, Ratio] | None:
    """Seconds of the student, and its speedup; None where they are missing or not finite."""
    try:
        latency, speedup = timing.times("student"), timing.speedup()
    except ValueError:
        return None
    return (latency, speedup) if latency and speedup and math.isfinite(latency.value) else None


def _architecture(entry: Entry) -> str | None:
    architectures = (architecture_of(record) for record in entry.finished.values())
    return next((architecture for architecture in architectures if architecture), None)


def _fingerprint(timing: Timing) -> str | None:
    try:
        return timing.environment_hash
    except ValueError:  # the environment holds a number that is not finite
        return None


def _description(timings: Mapping[str, Timing]) -> str:
    timing = next(iter(timings.values()))
    text = machine_name(timing.environment)
    return visible(text if timing.condition.device == "cpu" else f"{text}, {timing.condition.device}")


def _letter(place: int) -> str:
    return string.ascii_uppercase[place] if place < 26 else f"machine {place + 1}"
