"""A results folder while it fills: what stands in it, and how far the run is that fills it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from distillbench.bench.analysis.results import summaries
from distillbench.bench.analysis.summary import Summary
from distillbench.bench.report import layout
from distillbench.bench.report.charts import course
from distillbench.bench.report.tables import MARK, estimate_text, heading
from distillbench.bench.run.progress import format_seconds, progress_line
from distillbench.bench.store import status
from distillbench.bench.store.records import Record, Scan, Store
from distillbench.bench.store.status import Status
from distillbench.common.errors import UserError, at_most
from distillbench.common.text import visible

BARS = "▁▂▃▄▅▆▇█"
POINTS = 16
"""Characters of a curve."""
MOST_FAILURES = 5


@dataclass(frozen=True)
class View:
    """What there is to see. status: of the run that goes on; None where there is none.

    problems: of files that count for nothing. note: why the status cannot be read.
    """

    status: Status | None
    summaries: tuple[Summary, ...]
    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()
    note: str = ""


class Remembering(Store):
    """Reads a file again only when it is another."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._known: dict[Path, tuple[tuple[int, int], Record | UserError]] = {}

    def read(self, path: Path) -> Record:
        try:
            stat = path.stat()
        except OSError:
            return super().read(path)
        stamp = stat.st_mtime_ns, stat.st_size
        if self._known.get(path, (None, None))[0] != stamp:
            try:
                self._known[path] = stamp, super().read(path)
            except UserError as error:
                self._known[path] = stamp, error
        found = self._known[path][1]
        if isinstance(found, UserError):
            raise found
        return found


class Watcher:
    """Looks at a folder again and again."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.store = Remembering(results)
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._view = View(None, (), ())

    def look(self) -> tuple[View, bool]:
        """What there is now, and whether any file is another than before. Raises UserError for what is no folder."""
        if not self.results.is_dir():
            raise UserError(f"{self.results}: no such results folder")
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
        found = {}
        for path in (*(self.results / "records").rglob("*.json"), self.results / "expected.json"):
            try:
                stat = path.stat()
            except OSError:
                continue
            found[path] = stat.st_mtime_ns, stat.st_size
        return found

    def _summaries(self, scan: Scan) -> list[Summary]:
        try:
            return summaries(self.results, scan=scan)
        except UserError:  # nothing is finished yet
            return []


def drawn(view: View, width: int | None) -> Group:
    """For a terminal of so many columns: the run, then a table a task with what is finished of it."""
    parts: list[RenderableType] = [Text(line) for line in (summary_line(view), *_running(view)) if line]
    parts += [_table(summary, width) for summary in view.summaries]
    failed = [f"{visible(r.name)}: {visible(r.failure.reason)}" for r in view.records if r.failure]
    lines = [f"failed: {line}" for line in failed] + [f"left out: {visible(problem)}" for problem in view.problems]
    return Group(*parts, layout.notes(at_most(MOST_FAILURES, lines)))


def summary_line(view: View) -> str:
    """'34/227 cells, 1 failed, about 6 min left', or that no run goes on."""
    if view.status is None:
        done = sum(row.finished for summary in view.summaries for row in summary.rows)
        missing = sum(row.missing for summary in view.summaries for row in summary.rows)
        what = f"{done} cells finished" + (f", {missing} missing" if missing else "")
        return f"{view.note or 'no run goes on here'}: {what}"
    failed = f", {view.status.failed} failed" if view.status.failed else ""
    since = format_seconds(view.status.seconds)
    line = progress_line(view.status.cells, view.status.expected, view.status.left, map(visible, view.status.running))
    return f"{line.replace(' cells', f' cells{failed}', 1)}; for {since}"


def _running(view: View) -> list[str]:
    """A bar for each job that runs."""
    if view.status is None:
        return []
    return [
        f"  {'█' * round(20 * step / max(1, steps)):░<20} {visible(job)}, step {step} of {steps}"
        for job, (step, steps) in view.status.running.items()
        if 0 <= step <= max(1, steps)
    ]


def _table(summary: Summary, width: int | None) -> RenderableType:
    metric = summary.metrics.get(summary.primary_metric)
    title = heading(summary.primary_metric, metric) if metric else visible(summary.primary_metric)
    several = len({row.pair for row in summary.rows}) > 1
    rows = []
    for row in summary.rows:
        expected = row.finished + row.failed + row.missing
        cells = {"pair": visible(row.pair)} if several else {}
        cells["method"] = layout.BEST * row.best + visible(row.name)
        cells["seeds"] = f"{row.finished}/{expected}"
        cells[title] = estimate_text(row.metrics.get(summary.primary_metric), metric) if metric else ""
        difference = estimate_text(row.difference, metric, signed=True) if row.difference and metric else ""
        cells["Δ scratch"] = difference + MARK * row.significant
        cells["validation, while training"] = sparkline([point.y for point in course(row, "validation")])
        rows.append(cells)
    frame = pd.DataFrame(rows)
    if width is not None:
        order = [*(name for name in layout.NAMES if name in frame.columns), "seeds", title, *frame.columns]
        chosen = layout.fitting(frame, dict.fromkeys(order), width)
        frame = frame[[column for column in frame.columns if column in chosen]]
    return layout.table(visible(summary.task), frame, width)


def sparkline(values: Sequence[float]) -> str:
    """At most ``POINTS`` characters from the lowest to the highest: a shape and no scale."""
    if len(values) < 2:
        return ""
    step = max(1.0, len(values) / POINTS)
    some = [values[min(len(values) - 1, int(i * step))] for i in range(min(POINTS, len(values)))]
    some[-1] = values[-1]
    low, span = min(some), (max(some) - min(some)) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int((value - low) / span * len(BARS)))] for value in some)
