"""A report on a terminal, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from distillbench.bench.validate.findings import Check, Report, counted, shown
from distillbench.common.errors import at_most

LISTED = 10
"""Findings of one check that are listed, where not all are asked for."""


def terminal(report: Report, verbose: bool = False) -> Group:
    """A line a check, then a line a finding, and the answer last: that is where a reader of a log looks."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in ("check", "", "what holds"):
        table.add_column(column)
    for check in report.checks:
        mark, style = _mark(check)
        table.add_row(Text(check.name), Text(mark, style), Text(check.what))
    parts: list[RenderableType] = [Text(f"{shown(report.path)}: of suite {shown(report.suite)}"), Text(), table, Text()]
    for check in report.checks:
        lines = [str(finding) for finding in check.findings]
        parts += [Text(f"{check.name}: {line}") for line in (lines if verbose else at_most(LISTED, lines))]
    parts += [Text(f"· {shown(note, 1000)}", "dim") for note in report.notes]
    return Group(*parts, Text(summary_line(report), "bold red" if report.findings else "bold green"))


def _mark(check: Check) -> tuple[str, str]:
    if not check.ran:
        return "not looked at", "yellow"
    return (f"refused: {len(check.findings)}", "red") if check.findings else ("passed", "green")


def summary_line(report: Report) -> str:
    """'refused: 3 findings in seeds, metrics; 12 records, 10 files of weights'."""
    seen = f"{counted(report.records, 'record')}, {counted(report.weights, 'file')} of weights"
    if not report.findings:
        return f"passed: {seen}"
    names = ", ".join(check.name for check in report.checks if check.findings)
    return f"refused: {counted(len(report.findings), 'finding')} in {names}; {seen}"


def as_json(report: Report) -> str:
    """Everything, as it stands in the submission: untrusted text. ASCII, so that no character does anything."""
    whole = {"outcome": "refused" if report.findings else "passed", "exit_code": report.exit_code} | asdict(report)
    return json.dumps(whole, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
