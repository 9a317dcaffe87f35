"""How fast the entries of a board are: ranked among what was timed on one machine, never across machines."""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Mapping, Sequence, Set

from distillbench.bench.analysis.notes import machine
from distillbench.bench.leaderboard.entries import Entry
from distillbench.bench.leaderboard.model import Speed, tidy
from distillbench.bench.statistics import Ratio
from distillbench.bench.store.architecture import architecture_of
from distillbench.bench.store.timings import Condition, Timing
from distillbench.common.text import visible

Machines = dict[str, str]


def speeds(
    entries: Sequence[Entry], teachers: Sequence[Entry], timings: Sequence[Timing], device: str
) -> tuple[dict[Entry, Speed], Machines]:
    """The times of the entries' architectures, whoever timed them, and the machines by their letter.

    One input, eager PyTorch, one thread, on this kind of device. Of an entry that was timed on several machines the
    time on that which timed most of the board counts. Entries of one architecture share a rank. A speedup is that over
    the board's own teachers.
    """
    over = {_architecture(teacher) for teacher in teachers}
    of = {entry: architecture for entry in entries if (architecture := _architecture(entry)) is not None}
    known: dict[str, dict[str, Timing]] = {}
    for timing in timings:
        usual = timing.condition == Condition(device=device)
        if usual and _times(timing) is not None and (fingerprint := _fingerprint(timing)) is not None:
            known.setdefault(fingerprint, {}).setdefault(timing.student, timing)
    covers = Counter({mark: sum(a in its for a in of.values()) for mark, its in known.items()})
    marks = sorted((mark for mark in known if covers[mark]), key=lambda mark: (-covers[mark], mark))
    letters = {mark: _letter(place) for place, mark in enumerate(marks)}
    chosen: dict[Entry, tuple[str, Timing]] = {}
    for entry, architecture in of.items():
        mark = next((mark for mark in marks if architecture in known[mark]), None)
        if mark is not None:
            chosen[entry] = mark, known[mark][architecture]
    used = {mark for mark, _ in chosen.values()}
    return (
        {entry: _speed(timing, known[mark], of, over, letters[mark]) for entry, (mark, timing) in chosen.items()},
        {letters[mark]: _described(next(iter(known[mark].values()))) for mark in marks if mark in used},
    )


def _speed(
    timing: Timing, same_machine: Mapping[str, Timing], of: Mapping[Entry, str], over: Set[str | None], letter: str
) -> Speed:
    both = _times(timing)
    assert both is not None
    time, speedup = both
    others = [_times(same_machine[architecture]) for architecture in set(of.values()) & same_machine.keys()]
    return Speed(
        machine=letter,
        seconds=tidy(time.value) or 0.0,
        low=tidy(time.low),
        high=tidy(time.high),
        speedup=tidy(speedup.value) if timing.teacher in over else None,
        rank=1 + sum(other is not None and other[0].value < time.value for other in others),
    )


def _times(timing: Timing) -> tuple[Ratio, Ratio] | None:
    """Seconds of the student, and its speedup; None where there are none, or they are no numbers."""
    try:
        time, speedup = timing.times("student"), timing.speedup()
    except ValueError:
        return None
    return (time, speedup) if time and speedup and math.isfinite(time.value) else None


def _architecture(entry: Entry) -> str | None:
    return next((found for record in entry.finished.values() if (found := architecture_of(record))), None)


def _fingerprint(timing: Timing) -> str | None:
    try:
        return timing.environment_hash
    except ValueError:  # its environment holds what is no number
        return None


def _described(timing: Timing) -> str:
    text = machine(timing.environment)
    return visible(text if timing.condition.device == "cpu" else f"{text}, {timing.condition.device}")


def _letter(place: int) -> str:
    return string.ascii_uppercase[place] if place < 26 else f"machine {place + 1}"
