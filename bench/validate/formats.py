"""A report of a validation on a terminal, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from distillbench.bench.validate.untrusted_text import counted, escaped
from distillbench.bench.validate.violations import Check, Report
from distillbench.common.errors import at_most

LISTED = 10
"""Violations of one check that are listed, unless all are requested."""


def terminal(report: Report, verbose: bool = False) -> Group:
    """A table of the checks, then a line for each violation, and the summary last: where a reader of a log looks.

    Args:
        report: What to show.
        verbose: Whether to list all violations.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in ("check", "", "what must hold"):
        table.add_column(column)
    for check in report.checks:
        status, style = _status(check)
        table.add_row(Text(check.name), Text(status, style), Text(check.rule))
    parts: list[RenderableType] = [
        Text(f"{escaped(report.path)}: of suite {escaped(report.suite)}"),
        Text(),
        table,
        Text(),
    ]
    for check in report.checks:
        lines = [str(violation) for violation in check.violations]
        parts += [Text(f"{check.name}: {line}") for line in (lines if verbose else at_most(LISTED, lines))]
    parts += [Text(f"· {escaped(note, 1000)}", "dim") for note in report.notes]
    return Group(*parts, Text(summary_line(report), "bold red" if report.violations else "bold green"))


def _status(check: Check) -> tuple[str, str]:
    if not check.ran:
        return "not checked", "yellow"
    return (f"refused: {len(check.violations)}", "red") if check.violations else ("passed", "green")


def summary_line(report: Report) -> str:
    """The answer in one line, 'refused: 3 violations in seeds, metrics; 12 records, 10 files of weights'."""
    contents = f"{counted(report.records, 'record')}, {counted(report.weights, 'file')} of weights"
    if not report.violations:
        return f"passed: {contents}"
    names = ", ".join(check.name for check in report.checks if check.violations)
    return f"refused: {counted(len(report.violations), 'violation')} in {names}; {contents}"


def as_json(report: Report) -> str:
    """The whole report as JSON, with untrusted text as it is: in ASCII, so that no character has an effect."""
    content = {"outcome": "refused" if report.violations else "passed", "exit_code": report.exit_code} | asdict(report)
    return json.dumps(content, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
