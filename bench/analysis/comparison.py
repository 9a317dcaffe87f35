"""What a row is compared with: scratch and the teacher of its own configuration; and how fast its network is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from distillbench.bench.analysis.series import Series, Split, beats, beats_all, series_of
from distillbench.bench.statistics import Ratio
from distillbench.bench.store.architecture import architecture_of
from distillbench.bench.store.configurations import SCRATCH, Group, differing, named
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Record
from distillbench.bench.store.timings import Condition, Timing
from distillbench.common.text import listed


@dataclass(frozen=True)
class TeacherGap:
    """The gap on the primary metric between a scratch row and the teachers of its seeds."""

    scratch: Group
    series: Series
    """Of the scratch row."""
    difference: Series | None
    """Teacher minus scratch; None where no teacher has a record."""
    significant: bool
    """Whether the teacher is better beyond the interval of the difference."""


@dataclass(frozen=True)
class InferenceTime:
    """How fast a row's network is on one input, in eager PyTorch on one thread."""

    latency: float | None = None
    """Seconds; None where that was not timed."""
    speedup: Ratio | None = None
    """Over the teacher, interleaved with it; None where that was not timed."""


class Comparison:
    """The rows of one teacher-student pair, compared on the primary metric.

    Args:
        rows: The configurations of the pair.
        primary_metric: Its name.
        split: Where the metric was measured.
        sign: 1 where higher is better, else −1.
        timings: Those of the results folder.
    """

    def __init__(
        self, rows: Sequence[Group], primary_metric: str, split: Split, sign: int, timings: Sequence[Timing] = ()
    ) -> None:
        self.sign, self.timings = sign, timings
        self.series = {row: series for row in rows if (series := series_of(row.finished, primary_metric, split))}
        self.students = [row for row in self.series if row.kind == "student"]
        self.methods = [row for row in self.students if not row.control]
        self.teachers = {r.config_hash: r for row in rows if row.kind == "teacher" for r in row.finished.values()}
        self.gaps = [self._gap(row, primary_metric, split) for row in self.students if row.label == SCRATCH]
        self.one_configuration = len({canonical_hash(row.surroundings) for row in self.methods}) <= 1

    def _gap(self, scratch: Group, primary_metric: str, split: Split) -> TeacherGap:
        teacher, series = series_of(self._teachers(scratch), primary_metric, split), self.series[scratch]
        difference = teacher.minus(series) if teacher else None
        interval = difference.estimate().interval if difference else None
        significant = bool(interval and interval.excludes_zero and self.sign * interval.mean > 0)
        return TeacherGap(scratch, series, difference, significant)

    def _teachers(self, row: Group) -> dict[int, Record]:
        """The teacher of each seed of a student's row, where it has a record."""
        hashes = {seed: str(record.config.get("teacher")) for seed, record in row.finished.items()}
        return {seed: self.teachers[hash_] for seed, hash_ in hashes.items() if hash_ in self.teachers}

    def _gaps_of(self, row: Group) -> list[TeacherGap]:
        """The gaps of a row's own configuration."""
        if row.kind == "student":
            return [gap for gap in self.gaps if gap.scratch.surroundings == row.surroundings]
        hashes = {record.config_hash for record in row.records}
        return [gap for gap in self.gaps if hashes & {t.config_hash for t in self._teachers(gap.scratch).values()}]

    def gap(self, row: Group) -> TeacherGap | None:
        """Return the gap of a row's own configuration; None where there is none, or more than one.

        Of the trials of scratch it is that of the default: scratch by the pair's recipe, as all other trials are.
        """
        gaps = self._gaps_of(row)
        defaults = [gap for gap in gaps if all(record.trial in (None, 0) for record in gap.scratch.records)]
        return defaults[0] if len(defaults) == 1 else None

    def difference(self, row: Group) -> Series | None:
        """Return a method, or the teacher, minus scratch; None where they cannot be compared."""
        gap = self.gap(row)
        if gap is None or row.kind == "teacher":
            return gap.difference if gap else None
        return self.series[row].minus(gap.series) if row in self.series and row.label != SCRATCH else None

    def is_best(self, row: Group) -> bool:
        """Tell whether a row is a method better than every other; never where these have several configurations."""
        series = self._series_of_methods
        return self.one_configuration and row in self.methods and beats_all(row.name, series, self.sign)

    @cached_property
    def _series_of_methods(self) -> dict[str, Series]:
        return {method.name: self.series[method] for method in self.methods}

    @cached_property
    def leader(self) -> Group | None:
        """The method with the best mean; None without one, or where methods have several configurations."""
        if not (self.methods and self.one_configuration):
            return None
        return max(self.methods, key=lambda row: self.sign * self.series[row].estimate().interval.mean)

    def unbeaten_controls(self, row: Group) -> tuple[str, ...]:
        """Name the controls that the best method is not known to be better than, on seeds of both; none for other rows.

        Scratch is not among them: its difference has a column of its own.
        """
        if row is not self.leader:
            return ()
        controls = [
            control
            for control in self.students
            if control.control and control.label != SCRATCH and control.surroundings == row.surroundings
        ]
        comparable = [c for c in controls if self.series[row].minus(self.series[c]) is not None]
        return tuple(c.name for c in comparable if not beats(self.series[row], self.series[c], self.sign))

    def inference_time(self, row: Group) -> InferenceTime:
        """Return the times of a row's architecture, as it was timed on the row's own kind of device."""
        condition = Condition(device=str(row.config.get("device")))
        timings = [timing for timing in self.timings if not timing.unavailable and timing.condition == condition]
        if not timings:
            return InferenceTime()
        architectures = _architectures(row.finished.values())
        if row.kind == "teacher":
            return _teacher_time(timings, architectures)
        if row.kind == "student":
            return _student_time(timings, architectures, _architectures(self._teachers(row).values()))
        return InferenceTime()

    def remarks(self) -> list[str]:
        """Say why something is missing from these rows."""
        remarks = [f"no Δ for {row.name}: {reason}" for row in self.series if (reason := self._obstacle(row))]
        if not self.one_configuration:
            remarks.append("no row is marked as the best method: the methods have several configurations")
        if self.leader and (names := self.unbeaten_controls(self.leader)):
            controls = f"the control{'s' * (len(names) > 1)} {listed(names)}"
            remarks.append(f"the best method, {self.leader.name}, is not significantly better than {controls}")
        return remarks + [
            f"no gap to recover: the teacher does not beat {gap.scratch.name} outside the interval"
            for gap in self.gaps
            if gap.difference and not gap.significant
        ]

    def _obstacle(self, row: Group) -> str:
        """Why a row is not compared with a scratch row that is there; '' where it is."""
        if row.kind == "baseline" or row.label == SCRATCH or not self.gaps or self.gap(row):
            return ""
        if self._gaps_of(row):
            return "there are several scratch rows"
        if row.kind == "teacher":
            return "no scratch row had this teacher"
        fields = min((differing([row.surroundings, gap.scratch.surroundings]) for gap in self.gaps), key=len)
        return f"no scratch row has the same {named(fields)}"


def _teacher_time(timings: Sequence[Timing], architectures: set[str]) -> InferenceTime:
    for timing in timings:
        if timing.teacher in architectures and (seconds := timing.times("teacher")):
            return InferenceTime(seconds.value, Ratio(1.0, 1.0, 1.0))
    return InferenceTime()


def _student_time(timings: Sequence[Timing], architectures: set[str], teachers: set[str]) -> InferenceTime:
    """teachers: The architectures of the student's own teachers; a speedup over another one does not count."""
    for timing in timings:
        if timing.student in architectures and (seconds := timing.times("student")):
            own_teacher = not teachers or timing.teacher in teachers
            return InferenceTime(seconds.value, timing.speedup() if own_teacher else None)
    return InferenceTime()


def _architectures(records: Iterable[Record]) -> set[str]:
    return {architecture for record in records if (architecture := architecture_of(record)) is not None}
