"""Summaries as text: terminal, GitHub Markdown, LaTeX (booktabs), CSV, JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from distillbench.bench.analysis.series import Estimate
from distillbench.bench.analysis.summary import Row, Summary
from distillbench.bench.store.records import MetricValue
from distillbench.common import text
from distillbench.common.errors import at_most

ARROWS = {"higher": "↑", "lower": "↓"}
ABSENT = "n/a"
MARK = "*"
CAPTION = (
    "mean ± 95% confidence interval; Δ scratch is paired by seed and test example; *: significant vs. scratch "
    "(p < 0.05, Holm-corrected over all methods of this table); bold marks the best student: better than every other, "
    "outside the intervals; gap recovered: with its 95% interval, blank where Δ is not significant or a loss"
)
MOST_PROBLEMS = 20
"""So many files that are left out are named beneath a table; JSON names all."""


def headings(summary: Summary) -> dict[str, str]:
    """{metric: column heading with direction and unit}."""
    return {name: heading(name, metric) for name, metric in summary.metrics.items()}


def heading(name: str, metric: MetricValue) -> str:
    """'accuracy ↑ (%)'."""
    title = f"{name.replace('_', ' ')} {ARROWS[metric.direction]}" + (f" ({metric.unit})" if metric.unit else "")
    return text.visible(title)


def text_frame(summary: Summary, bold: Callable[[str], str]) -> pd.DataFrame:
    """Every cell as a reader sees it. bold: how this format emphasises."""
    titles = headings(summary)
    several = len({row.pair for row in summary.rows}) > 1
    rows = []
    for row in summary.rows:
        cells = {"pair": text.visible(row.pair)} if several else {}
        cells["method"] = text.visible(row.name)
        cells["seeds"] = _seeds(row)
        for name, title in titles.items():
            figure = estimate_text(row.metrics.get(name), summary.metrics[name])
            cells[title] = bold(figure) if row.best and name == summary.primary_metric else figure
        primary_metric = summary.metrics.get(summary.primary_metric)
        difference = (
            estimate_text(row.difference, primary_metric, signed=True) if row.difference and primary_metric else ""
        )
        cells[f"Δ scratch ({summary.primary_metric.replace('_', ' ')})"] = difference + MARK * row.significant
        cells["gap recovered"] = _gap(row)
        cells["params"] = count_text(row.parameters)
        cells["MACs"] = count_text(row.macs)
        cells["latency (ms)"] = "" if row.latency is None else f"{1000 * row.latency:.3g}"
        cells["speedup"] = "" if row.speedup is None else f"{row.speedup.value:.1f}×"
        rows.append(cells)
    return pd.DataFrame(rows)


def notes_of(summary: Summary) -> list[str]:
    """What a reader must know of this table, and which files were left out of it."""
    return [*summary.notes, *at_most(MOST_PROBLEMS, [f"left out: {problem}" for problem in summary.problems])]


def _seeds(row: Row) -> str:
    """How many seeds stand behind the row, and what is not there."""
    if row.kind == "baseline" and row.finished:
        return ""
    parts = [str(row.finished)]
    parts += [f"{row.failed} failed"] if row.failed else []
    parts += [f"{row.missing} missing"] if row.missing else []
    return ", ".join(parts)


def estimate_text(estimate: Estimate | None, metric: MetricValue, signed: bool = False) -> str:
    if estimate is None:
        return ABSENT
    interval = estimate.interval
    mean = f"{interval.mean:{'+' if signed else ''}.{metric.decimals}f}"
    return mean if math.isnan(interval.half_width) else f"{mean} ± {interval.half_width:.{metric.decimals}f}"


def _gap(row: Row) -> str:
    if row.gap is not None and row.gap.value > 0:  # a loss recovers nothing: Δ says how much it is
        value, low, high = (round(100 * part) for part in (row.gap.value, row.gap.low, row.gap.high))
        return f"{value}% [{low}, {high}]"
    return ABSENT if row.kind == "student" and row.difference is not None and not row.gap_defined else ""


def count_text(value: float | None) -> str:
    """Three digits and a prefix: 9.61k, 1.5M."""
    if value is None:
        return ""
    for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{prefix}"
    return f"{value:.3g}"


def markdown(summaries: Sequence[Summary]) -> str:
    """GitHub Markdown, a section a task."""
    parts = []
    for summary in summaries:
        frame = text_frame(summary, lambda figure: f"**{figure}**")
        frame.columns = pd.Index([text.markdown(column) for column in frame.columns])
        names = [column for column in ("pair", "method") if column in frame.columns]
        frame[names] = frame[names].map(text.markdown)
        right = ["left" if column in names else "right" for column in frame.columns]
        table = frame.to_markdown(index=False, colalign=right, disable_numparse=True)
        notes = (CAPTION, *(text.markdown(note) for note in notes_of(summary)))
        parts.append(f"### {text.markdown(summary.task)}\n\n{table}\n")
        parts.append("\n".join(f"- {note}" for note in notes) + "\n")
    return "\n".join(parts)


def latex(summaries: Sequence[Summary]) -> str:
    """A table a task for ``booktabs``, with its notes beneath as comments."""
    parts = []
    for summary in summaries:
        frame = text_frame(summary, lambda text: f"\0{text}\1")
        frame.columns = pd.Index([_escape(column) for column in frame.columns])
        styler = frame.style.hide(axis="index").format(lambda value: _escape(str(value)))
        names = 1 + ("pair" in frame.columns)
        table = styler.to_latex(
            hrules=True, column_format="l" * names + "r" * (len(frame.columns) - names),
            caption=_escape(f"{summary.task.replace('_', ' ')}: {CAPTION}"), label=f"tab:{summary.task}",
        )  # fmt: skip
        parts.append("".join(f"% {text.visible(note, text.LONGEST_NOTE)}\n" for note in notes_of(summary)) + table)
    return "\n".join(parts)


def _escape(cell: str) -> str:
    """For LaTeX; what stands between \\0 and \\1 is bold."""
    marks = {"\0": r"\textbf{", "\1": "}"}
    return "".join(marks.get(part) or text.latex(part) for part in re.split("([\0\1])", cell))


def numbers(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """One flat row a method and task, as numbers; what is not there is None."""
    return [
        {
            "task": summary.task,
            "pair": row.pair,
            "method": row.name,
            "kind": row.kind,
            "primary_metric": summary.primary_metric,
            "finished": row.finished,
            "failed": row.failed,
            "missing": row.missing,
            **{key: value for name, estimate in row.metrics.items() for key, value in _numbers(name, estimate).items()},
            **_numbers("difference", row.difference),
            "difference_p_holm": row.p,
            "gap_recovered": row.gap.value if row.gap else None,
            "gap_recovered_low": row.gap.low if row.gap else None,
            "gap_recovered_high": row.gap.high if row.gap else None,
            "best": row.best,
            "parameters": row.parameters,
            "macs": row.macs,
            "latency_seconds": row.latency,
            "speedup": row.speedup.value if row.speedup else None,
            "speedup_low": _finite(row.speedup.low) if row.speedup else None,
            "speedup_high": _finite(row.speedup.high) if row.speedup else None,
        }
        for summary in summaries
        for row in summary.rows
    ]


def _numbers(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """A mean, the half-width of its interval, and that over seeds alone beside it."""
    both, seeds = (estimate.interval, estimate.seed_interval) if estimate else (None, None)
    return {
        name: both.mean if both else None,
        f"{name}_half_width": _finite(both.half_width) if both else None,
        f"{name}_half_width_seeds_only": _finite(seeds.half_width) if seeds else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_csv(summaries: Sequence[Summary]) -> str:
    # Ten digits: the last ones of a bootstrap depend on the threads that a library sums with.
    return text.csv_frame(pd.DataFrame(numbers(summaries)), "%.10g")


def as_json(summaries: Sequence[Summary]) -> str:
    return json.dumps(
        [
            {
                "task": s.task,
                "primary_metric": s.primary_metric,
                "notes": s.notes,
                "problems": s.problems,
                "rows": numbers([s]),
            }
            | {"metrics": {name: {"direction": m.direction, "unit": m.unit} for name, m in s.metrics.items()}}
            for s in summaries
        ],
        indent=1,
        ensure_ascii=False,
    )


FORMATS: dict[str, Callable[[Sequence[Summary]], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": as_csv,
    "json": as_json,
}
"""All but ``terminal``, which is drawn, not written."""
