"""A report of a comparison as text, and on a terminal: pure functions. The worst comes first."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from rich.console import Group, RenderableType
from rich.text import Text

from distillbench.bench.compare.findings import EXIT_CODES, OUTCOMES, Finding, Outcome, Report
from distillbench.bench.report.table import Cell, Field, Row, Table, cells, columns, words
from distillbench.bench.report.terminal import grid, notes

COLOURS: dict[Outcome, str] = {
    "regressed": "red",
    "missing": "red",
    "incomparable": "red",
    "inconclusive": "yellow",
    "improved": "green",
    "pass": "green",
}
FIELDS: tuple[Field[Finding], ...] = (
    (words("cell"), lambda finding: Cell(finding.cell)),
    (words("metric"), lambda finding: Cell(finding.metric)),
    (words("why"), lambda finding: Cell(finding.reason)),
)


def ordered(report: Report) -> list[Finding]:
    """The findings of a report, the worst first."""
    return sorted(report.findings, key=lambda finding: OUTCOMES.index(finding.outcome))


def summary_line(report: Report) -> str:
    """The outcome in one line with the first finding that decided it.

    For example 'regressed: 1 regressed, 12 pass; denoising/dncnn/mimic psnr'.
    """
    counts, worst = Counter(finding.outcome for finding in report.findings), report.outcome
    summary = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    deciding = [finding for finding in report.findings if finding.outcome == worst and EXIT_CODES[worst]]
    culprit = "".join(f"; {' '.join(filter(None, (f.cell, f.metric)))}" for f in deciding[:1])
    return f"{worst}: {summary or 'nothing to compare'}{culprit}"


def terminal(report: Report, width: int | None, verbose: bool = False) -> Group:
    """A table for each outcome, then the notes, and the summary last: that is where a reader of a log looks.

    Args:
        report: What to show.
        width: Columns of the terminal; None for as many as needed.
        verbose: Whether to list passes, which are only counted otherwise.
    """
    parts: list[RenderableType] = [Text(f"{report.baseline} -> {report.candidate}")]
    for outcome in OUTCOMES:
        findings = [finding for finding in report.findings if finding.outcome == outcome]
        if not findings or (outcome == "pass" and not verbose):
            continue
        table = Table(f"{outcome}: {len(findings)}", columns(FIELDS), tuple(Row(cells(FIELDS, f)) for f in findings))
        parts += [Text(), grid(table, width, f"bold {COLOURS[outcome]}")]
    parts += [Text(), notes(report.notes)] if report.notes else [Text()]
    return Group(*parts, Text(summary_line(report), f"bold {COLOURS[report.outcome]}"))


def github(report: Report) -> str:
    """Markdown for the summary of a job on GitHub."""

    def table(findings: list[Finding]) -> str:
        rows = ["| verdict | cell | metric | why |", "| --- | --- | --- | --- |"]
        rows += [f"| {f.outcome} | {_cell(f.cell)} | {_cell(f.metric)} | {_cell(f.reason)} |" for f in findings]
        return "\n".join(rows)

    others = [finding for finding in ordered(report) if finding.outcome != "pass"]
    passes = [finding for finding in report.findings if finding.outcome == "pass"]
    parts = [
        f"## distillbench compare: {_cell(summary_line(report))}",
        f"{_cell(report.baseline)} → {_cell(report.candidate)}",
    ]
    parts += [table(others)] if others else []
    if passes:
        parts.append(f"<details><summary>{len(passes)} pass</summary>\n\n{table(passes)}\n\n</details>")
    parts += ["\n".join(f"- {_cell(note)}" for note in report.notes)] if report.notes else []
    return "\n\n".join(parts) + "\n"


def as_json(report: Report) -> str:
    """The whole report as JSON, with null for what is not a number."""
    content = {"outcome": report.outcome, "exit_code": report.exit_code()} | asdict(report)
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def junit(report: Report) -> str:
    """JUnit's XML with a test case for each finding, which servers of continuous integration read."""
    tags = {"regressed": "failure", "missing": "error", "incomparable": "error", "inconclusive": "skipped"}
    counts = Counter(tags.get(finding.outcome, "") for finding in report.findings)
    suite = ElementTree.Element("testsuite", name="distillbench compare", tests=str(len(report.findings)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(counts[tag]))
    for finding in ordered(report):
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(finding.cell))
        case.set("name", _xml(finding.metric or finding.cell))
        if finding.outcome in tags:
            kind = tags[finding.outcome]
            ElementTree.SubElement(case, kind, message=_xml(finding.reason), type=finding.outcome)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=False) + "\n"


FORMATS: Mapping[str, Callable[[Report], str]] = {"github": github, "json": as_json, "junit": junit}


def _cell(text: str) -> str:
    """The text as one line that neither ends a table's cell nor begins a tag."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _xml(text: str) -> str:
    """The text without control characters, which XML cannot hold and names of files may."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
