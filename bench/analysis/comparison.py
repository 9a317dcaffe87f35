"""What a row may be compared with: scratch and the teacher of its own configuration; and the times of its networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from distillbench.bench.analysis.series import Series, Split, beats_all, series_of
from distillbench.bench.statistics import Ratio
from distillbench.bench.store.architecture import architecture_of
from distillbench.bench.store.configurations import SCRATCH, Group, differing, named
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Record
from distillbench.bench.store.timings import Condition, Timing


@dataclass(frozen=True)
class Way:
    """From a scratch row to the teachers of its seeds. lead: teacher less scratch. worth: it is beyond its interval."""

    scratch: Group
    series: Series
    lead: Series | None
    worth: bool


@dataclass(frozen=True)
class Times:
    """latency: seconds of one input, eagerly, one thread. speedup: over the teacher, in turns with it."""

    latency: float | None = None
    speedup: Ratio | None = None


class Comparison:
    """The rows of one pair on the primary metric. sign: 1 where higher is better, else −1."""

    def __init__(
        self, rows: Sequence[Group], primary_metric: str, split: Split, sign: int, timings: Sequence[Timing] = ()
    ) -> None:
        self.rows, self.sign, self.timings = rows, sign, timings
        self.series = {row: s for row in rows if (s := series_of(row.finished, primary_metric, split))}
        self.students = [row for row in self.series if row.kind == "student"]
        self.teachers = {r.config_hash: r for row in rows if row.kind == "teacher" for r in row.finished.values()}
        self.ways = [self._way(row, primary_metric, split) for row in self.students if row.label == SCRATCH]
        self.alike = len({canonical_hash(row.surroundings) for row in self.students}) <= 1

    def _way(self, scratch: Group, primary_metric: str, split: Split) -> Way:
        goal, series = series_of(self._teachers(scratch), primary_metric, split), self.series[scratch]
        lead = goal.minus(series) if goal else None
        interval = lead.estimate().interval if lead else None
        return Way(scratch, series, lead, bool(interval and interval.excludes_zero and self.sign * interval.mean > 0))

    def _teachers(self, row: Group) -> dict[int, Record]:
        """The teacher that each seed of a row had, where its record is there."""
        had = {seed: str(record.config.get("teacher")) for seed, record in row.finished.items()}
        return {seed: self.teachers[hash_] for seed, hash_ in had.items() if hash_ in self.teachers}

    def _ways(self, row: Group) -> list[Way]:
        """Those of a row's own configuration."""
        if row.kind == "student":
            return [way for way in self.ways if way.scratch.surroundings == row.surroundings]
        mine = {record.config_hash for record in row.records}
        return [way for way in self.ways if mine & {t.config_hash for t in self._teachers(way.scratch).values()}]

    def way(self, row: Group) -> Way | None:
        """The one of a row's own configuration; None where there is none, or more than one."""
        found = self._ways(row)
        return found[0] if len(found) == 1 else None

    def difference(self, row: Group) -> Series | None:
        """A method, or the teacher, less scratch."""
        way = self.way(row)
        if way is None or row.kind == "teacher":
            return way.lead if way else None
        return self.series[row].minus(way.series) if row in self.series and row.label != SCRATCH else None

    def best(self, row: Group) -> bool:
        """Whether it is better than every other student; nobody can tell where these are of several configurations."""
        series = {student.name: self.series[student] for student in self.students}
        return self.alike and row in self.students and beats_all(row.name, series, self.sign)

    def times(self, row: Group) -> Times:
        """Of the row's architecture, as it was timed on its own device."""
        mine, device = _architectures(row.finished.values()), row.config.get("device")
        teachers = _architectures(self._teachers(row).values()) if row.kind == "student" else set()
        for timing in self.timings:
            if timing.unavailable or timing.condition != Condition(device=str(device)):
                continue
            if row.kind == "teacher" and timing.teacher in mine and (times := timing.times("teacher")):
                return Times(times.value, Ratio(1.0, 1.0, 1.0))
            if row.kind == "student" and timing.student in mine and (times := timing.times("student")):
                beside = not teachers or timing.teacher in teachers
                return Times(times.value, timing.speedup() if beside else None)
        return Times()

    def remarks(self) -> list[str]:
        """Why something stands empty in these rows."""
        found = [f"no Δ for {row.name}: {reason}" for row in self.series if (reason := self._why_not(row))]
        if not self.alike:
            found.append("none is marked as the best: the students are of several configurations")
        found += [
            f"no gap to recover: the teacher does not beat {way.scratch.name} outside the interval"
            for way in self.ways
            if way.lead and not way.worth
        ]
        return found

    def _why_not(self, row: Group) -> str:
        """Why a row is not compared with a scratch row that is there; '' where it is."""
        if row.kind == "baseline" or row.label == SCRATCH or not self.ways or self.way(row):
            return ""
        if self._ways(row):
            return "there are several scratch rows"
        if row.kind == "teacher":
            return "no scratch row had this teacher"
        fields = min((differing([row.surroundings, way.scratch.surroundings]) for way in self.ways), key=len)
        return f"no scratch row has the same {named(fields)}"


def _architectures(records: Iterable[Record]) -> set[str | None]:
    return {architecture_of(record) for record in records} - {None}
