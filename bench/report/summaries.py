"""Summaries as tables: one for each task, with a row for each method, the teacher and the baselines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from distillbench.bench.analysis.rows import Row as Result
from distillbench.bench.analysis.rows import Summary
from distillbench.bench.analysis.series import Estimate
from distillbench.bench.analysis.time_to_quality import TimeToQuality
from distillbench.bench.report.formatting import (
    ABSENT,
    DASH,
    SIGNIFICANT,
    count_text,
    digits_text,
    estimate_text,
    finite,
    heading,
    milli_text,
)
from distillbench.bench.report.table import Cell, Column, Field, Row, Table, cells, columns, words
from distillbench.bench.statistics import Ratio
from distillbench.bench.store.records import MetricValue
from distillbench.bench.store.terms import Compared, Section
from distillbench.common.errors import at_most
from distillbench.common.text import visible

CAPTION = (
    "mean ± 95% confidence interval; Δ scratch is paired by seed and test example; *: significant vs. scratch "
    "(p < 0.05, Holm-corrected over all methods and controls of this table); controls stand apart and are not ranked; "
    "{best} marks the best method: better than every other, outside the intervals; gap recovered: with its 95% "
    "interval, blank where Δ is not significant or a loss"
)
HEADINGS: Mapping[Section, str] = {"control": "controls", "method": "methods", "baseline": "baselines"}
"""What the sections of a table are called; a teacher stands above them all."""
NEVER = 1e99
"""What a page sorts by where a quality is never reached: behind all that is."""
MOST_PROBLEMS = 20
"""So many files that are left out are named beneath a table; JSON names all."""


def tables(summaries: Iterable[Summary]) -> list[Table]:
    """A table for each task."""
    return [table(summary) for summary in summaries]


def table(summary: Summary) -> Table:
    """One task as a table of results."""
    fields = [*names(summary), *_fields(summary)]
    return Table(
        title=summary.task,
        columns=columns(fields),
        rows=tuple(table_row(fields, row) for row in summary.rows),
        caption=CAPTION,
        notes=(*summary.notes, *at_most(MOST_PROBLEMS, [f"left out: {problem}" for problem in summary.problems])),
        data=tuple(_data(summary)),
        facts={
            "task": summary.task,
            "primary_metric": summary.primary_metric,
            "notes": summary.notes,
            "problems": summary.problems,
            "metrics": {
                name: {"direction": m.direction, "unit": m.unit, "compared": m.compared}
                for name, m in summary.metrics.items()
            },
        },
        digits=10,  # the last digits of a bootstrap depend on the threads that a library sums with
    )


def table_row(fields: Sequence[Field[Result]], row: Result) -> Row:
    """A row with its section; one that is not defined has its names, and dashes."""
    values = cells(fields, row)
    if row.undefined:
        values = tuple(cell if column.words else Cell(DASH) for (column, _), cell in zip(fields, values, strict=True))
    return Row(values, row.section, f"{row.pair} {row.section}", HEADINGS.get(row.section, ""))


def names(summary: Summary) -> list[Field[Result]]:
    """The columns that name a row: the pair, where a task has several, and the method."""
    method: Field[Result] = (words("method", header=True), lambda row: Cell(visible(row.name)))
    if len({row.pair for row in summary.rows}) <= 1:
        return [method]
    return [(words("pair"), lambda row: Cell(visible(row.pair))), method]


def metric_field(summary: Summary, name: str, importance: int) -> Field[Result]:
    """The column of a metric: its mean with its interval."""
    metric = summary.metrics[name]

    def cell(row: Result) -> Cell:
        estimate = row.metrics.get(name)
        best = row.best and name == summary.primary_metric
        return Cell(estimate_text(estimate, metric), estimate.shown.value if estimate else None, best)

    return Column(heading(name, metric), importance), cell


def difference_cell(row: Result, metric: MetricValue | None) -> Cell:
    """The difference to scratch, or the factor, with its interval, and a mark where it is significant."""
    if row.difference is None or metric is None:
        return Cell("")
    text = estimate_text(row.difference, metric, signed=True)
    return Cell(text + SIGNIFICANT * row.significant, row.difference.shown.value)


def _fields(summary: Summary) -> list[Field[Result]]:
    primary, incomplete = summary.primary_metric, any(row.failed or row.missing for row in summary.rows)
    metric = summary.metrics.get(primary)
    return [
        (Column("seeds", 2 if incomplete else 7), _seeds),
        *(metric_field(summary, name, _importance(summary, name)) for name in summary.metrics),
        (Column(f"Δ scratch ({primary.replace('_', ' ')})", 3), lambda row: difference_cell(row, metric)),
        (Column("gap recovered", 4), _gap),
        *_time_fields(summary),
        (Column("params", 5), lambda row: Cell(count_text(row.parameters), row.parameters)),
        (Column("MACs", 9), lambda row: Cell(count_text(row.macs), row.macs)),
        (Column("latency (ms)", 9), lambda row: Cell(milli_text(row.latency), row.latency)),
        (Column("speedup", 6), _speedup),
    ]


def _importance(summary: Summary, name: str) -> int:
    """The primary metric first; last of all what measures another one again."""
    return 1 if name == summary.primary_metric else 10 if summary.metrics[name].repeats else 8


def _time_fields(summary: Summary) -> list[Field[Result]]:
    """The columns of the time to quality; none where no training has a curve."""
    if all(row.time_to_quality is None for row in summary.rows):
        return []
    return [
        (Column("time to quality (s)", 8), lambda row: _time(row.time_to_quality, "seconds")),
        (Column("time to quality (× scratch)", 8), lambda row: _time(row.time_to_quality, "multiple")),
    ]


def _time(time: TimeToQuality | None, unit: Literal["seconds", "multiple"]) -> Cell:
    if time is None:
        return Cell("")
    if time.never:
        return Cell(f"never ({time.never} of {time.seeds})", NEVER)
    ratio: Ratio = getattr(time, unit)
    return Cell(digits_text(ratio), ratio.value)


def _seeds(row: Result) -> Cell:
    """How many seeds the row has, and how many failed or are missing."""
    if row.kind == "baseline" and row.finished:
        return Cell("")
    parts = [str(row.finished)]
    parts += [f"{row.failed} failed"] if row.failed else []
    parts += [f"{row.missing} missing"] if row.missing else []
    return Cell(", ".join(parts), row.finished)


def _gap(row: Result) -> Cell:
    if row.gap is not None and row.gap.value > 0:  # a loss recovers nothing: Δ says how much it is
        value, low, high = (round(100 * part) for part in (row.gap.value, row.gap.low, row.gap.high))
        return Cell(f"{value}% [{low}, {high}]", row.gap.value)
    return Cell(ABSENT if row.kind == "student" and row.difference is not None and not row.gap_defined else "")


def _speedup(row: Result) -> Cell:
    return Cell("") if row.speedup is None else Cell(f"{row.speedup.value:.1f}×", row.speedup.value)


def _data(summary: Summary) -> Iterator[dict[str, Any]]:
    """One flat row for each method, as numbers; None for what is missing."""
    primary = summary.metrics.get(summary.primary_metric)
    compared: Compared = primary.compared if primary else "difference"
    for row in summary.rows:
        yield {
            "task": summary.task,
            "pair": row.pair,
            "method": row.name,
            "kind": row.kind,
            "control": row.control,
            "undefined": row.undefined or None,
            "primary_metric": summary.primary_metric,
            "finished": row.finished,
            "failed": row.failed,
            "missing": row.missing,
            **{k: v for name, e in row.metrics.items() for k, v in _numbers(name, e, e.compared).items()},
            **_numbers(compared, row.difference, compared),
            "difference_p_holm": row.p,
            "detectable": row.detectable,
            **_ends("gap_recovered", row.gap),
            **_times(row.time_to_quality),
            "best": row.best,
            "parameters": row.parameters,
            "macs": row.macs,
            "latency_seconds": row.latency,
            **_ends("speedup", row.speedup),
        }


def _times(time: TimeToQuality | None) -> dict[str, float | None]:
    """The time to quality: no mean where a seed never gets there."""
    return {
        "time_to_quality_seeds": time.seeds if time else None,
        "time_to_quality_never": time.never if time else None,
        **_ends("time_to_quality_seconds", time.seconds if time else None),
        **_ends("time_to_quality_multiple", time.multiple if time else None),
        **_ends("steps_to_quality", time.steps if time else None),
    }


def _ends(name: str, ratio: Ratio | None) -> dict[str, float | None]:
    """A value with the ends of its interval."""
    return {
        name: ratio.value if ratio else None,
        f"{name}_low": finite(ratio.low) if ratio else None,
        f"{name}_high": finite(ratio.high) if ratio else None,
    }


def _numbers(name: str, estimate: Estimate | None, compared: Compared) -> dict[str, float | None]:
    """A mean, the half-width of its interval, and the half-width over seeds alone; of a ratio the ends of both."""
    if compared == "ratio":
        over_seeds = _ends("", estimate.shown_over_seeds if estimate else None)
        ends = {f"{name}{end}_seeds_only": over_seeds[end] for end in ("_low", "_high")}
        return _ends(name, estimate.shown if estimate else None) | ends
    of_both, of_seeds = (estimate.interval, estimate.seed_interval) if estimate else (None, None)
    return {
        name: of_both.mean if of_both else None,
        f"{name}_half_width": finite(of_both.half_width) if of_both else None,
        f"{name}_half_width_seeds_only": finite(of_seeds.half_width) if of_seeds else None,
    }
