"""A results folder during a run: its records, and how far the run is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from distillbench.bench.analysis.results import summaries
from distillbench.bench.analysis.rows import Row, Summary
from distillbench.bench.report.charts import course
from distillbench.bench.report.summaries import difference_cell, metric_field, names, table_row
from distillbench.bench.report.table import Cell, Column, Field, Table, columns
from distillbench.bench.report.terminal import fitted, grid, notes
from distillbench.bench.run.progress import progress_line
from distillbench.bench.store import status
from distillbench.bench.store.records import Record, Scan, Store
from distillbench.bench.store.status import Status
from distillbench.common.durations import format_seconds
from distillbench.common.errors import UserError, at_most
from distillbench.common.text import visible

BARS = "▁▂▃▄▅▆▇█"
POINTS = 16
"""The most characters of a curve."""
MOST_FAILURES = 5


@dataclass(frozen=True)
class View:
    """A results folder at one moment.

    Attributes:
        status: How far the run is; None where no run is in progress.
        summaries: The results so far, one summary for each task.
        records: All records so far.
        problems: Why files cannot be used, one line each.
        note: Why the status cannot be read; empty where it can.
    """

    status: Status | None
    summaries: tuple[Summary, ...]
    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()
    note: str = ""


class CachedStore(Store):
    """A store that reads a file again only when it has changed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._cached: dict[Path, tuple[tuple[int, int], Record | UserError]] = {}

    def read(self, path: Path) -> Record:
        """A record, from memory where its file is unchanged.

        Raises:
            UserError: If the file cannot be used.
        """
        try:
            stat = path.stat()
        except OSError:
            return super().read(path)
        stamp = stat.st_mtime_ns, stat.st_size
        if self._cached.get(path, (None, None))[0] != stamp:
            try:
                self._cached[path] = stamp, super().read(path)
            except UserError as error:
                self._cached[path] = stamp, error
        content = self._cached[path][1]
        if isinstance(content, UserError):
            raise content
        return content


class Watcher:
    """Views of a results folder, again and again."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.store = CachedStore(results)
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._view = View(None, (), ())

    def look(self) -> tuple[View, bool]:
        """View the folder.

        Returns:
            The view, and whether any file has changed since the last one.

        Raises:
            UserError: If there is no such folder.
        """
        if not self.results.is_dir():
            raise UserError("no such results folder", self.results)
        now, note = self._status()
        stamps = self._stamp()
        changed = stamps != self._stamps
        if changed:
            self._stamps = stamps
            scan = self.store.scan()
            self._view = View(now, tuple(self._summaries(scan)), tuple(scan.records), tuple(scan.problems.values()))
        return replace(self._view, status=now, note=note), changed

    def _status(self) -> tuple[Status | None, str]:
        try:
            return status.read(self.results), ""
        except UserError as error:
            return None, str(error)

    def _stamp(self) -> dict[Path, tuple[int, int]]:
        stamps = {}
        for path in (*(self.results / "records").rglob("*.json"), self.results / "expected.json"):
            try:
                stat = path.stat()
            except OSError:
                continue
            stamps[path] = stat.st_mtime_ns, stat.st_size
        return stamps

    def _summaries(self, scan: Scan) -> list[Summary]:
        try:
            return summaries(self.results, scan=scan)
        except UserError:  # nothing is finished yet
            return []


def layout(view: View, width: int | None) -> Group:
    """A view on a terminal: the run, then a table for each task with its results so far.

    Args:
        view: What is shown.
        width: Columns of the terminal; None shows everything, however wide.
    """
    parts: list[RenderableType] = [Text(line) for line in (summary_line(view), *_running(view)) if line]
    parts += [grid(fitted(_table(summary), width), width) for summary in view.summaries]
    failed = [f"{visible(r.name)}: {visible(r.failure.reason)}" for r in view.records if r.failure]
    lines = [f"failed: {line}" for line in failed] + [f"left out: {visible(problem)}" for problem in view.problems]
    return Group(*parts, notes(at_most(MOST_FAILURES, lines)))


def summary_line(view: View) -> str:
    """One line on the run, '34/227 cells, 1 failed, about 6 min left', or that no run is in progress."""
    if view.status is None:
        done = sum(row.finished for summary in view.summaries for row in summary.rows)
        missing = sum(row.missing for summary in view.summaries for row in summary.rows)
        what = f"{done} cells finished" + (f", {missing} missing" if missing else "")
        return f"{view.note or 'no run is in progress'}: {what}"
    failed = f", {view.status.failed} failed" if view.status.failed else ""
    since = format_seconds(view.status.seconds)
    line = progress_line(view.status.cells, view.status.expected, view.status.left, map(visible, view.status.running))
    return f"{line.replace(' cells', f' cells{failed}', 1)}; for {since}"


def _running(view: View) -> list[str]:
    """A progress bar for each running job."""
    if view.status is None:
        return []
    return [
        f"  {'█' * round(20 * step / max(1, steps)):░<20} {visible(job)}, step {step} of {steps}"
        for job, (step, steps) in view.status.running.items()
        if 0 <= step <= max(1, steps)
    ]


def _table(summary: Summary) -> Table:
    """What is finished of one task, with the validation curve of each row."""
    metric, primary = summary.metrics.get(summary.primary_metric), summary.primary_metric
    fields: list[Field[Row]] = [
        *names(summary),
        (Column("seeds", 1), lambda row: Cell(f"{row.finished}/{row.finished + row.failed + row.missing}")),
        metric_field(summary, primary, 2) if metric else (Column(primary, 2), lambda row: Cell("")),
        (Column("Δ scratch", 3), lambda row: difference_cell(row, metric)),
        (Column("validation, while training", 4), lambda row: Cell(_sparkline(row))),
    ]
    return Table(summary.task, columns(fields), tuple(table_row(fields, row) for row in summary.rows))


def _sparkline(row: Row) -> str:
    return sparkline([point.y for point in course(row, "validation")])


def sparkline(values: Sequence[float]) -> str:
    """A curve of at most ``POINTS`` characters, scaled to itself: its shape alone can be read."""
    if len(values) < 2:
        return ""
    step = max(1.0, len(values) / POINTS)
    sampled = [values[min(len(values) - 1, int(i * step))] for i in range(min(POINTS, len(values)))]
    sampled[-1] = values[-1]
    low, span = min(sampled), (max(sampled) - min(sampled)) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int((value - low) / span * len(BARS)))] for value in sampled)
