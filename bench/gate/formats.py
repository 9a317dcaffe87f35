"""A report as text: pure functions. The worst comes first."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from bench.gate.findings import OUTCOMES, Finding, Report


def ordered(report: Report) -> list[Finding]:
    return sorted(report.findings, key=lambda finding: OUTCOMES.index(finding.outcome))


def headline(report: Report) -> str:
    """'regressed: 1 regressed, 12 pass'."""
    counts = Counter(finding.outcome for finding in report.findings)
    said = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    return f"{report.outcome}: {said or 'nothing to compare'}"


def terminal(report: Report, verbose: bool = False) -> str:
    """Lines; the passes only where they are asked for."""
    shown = [finding for finding in ordered(report) if verbose or finding.outcome != "pass"]
    lines = [f"{f.outcome:<12}  {' '.join(filter(None, (f.cell, f.metric)))}: {f.reason}" for f in shown]
    notes = [f"· {note}" for note in report.notes]
    return "\n".join([f"{report.baseline} -> {report.candidate}", *lines, headline(report), *notes]) + "\n"


def github(report: Report) -> str:
    """Markdown for a job's summary."""

    def table(findings: list[Finding]) -> str:
        rows = ["| verdict | cell | metric | why |", "| --- | --- | --- | --- |"]
        rows += [f"| {f.outcome} | {_cell(f.cell)} | {_cell(f.metric)} | {_cell(f.reason)} |" for f in findings]
        return "\n".join(rows)

    others = [finding for finding in ordered(report) if finding.outcome != "pass"]
    passes = [finding for finding in report.findings if finding.outcome == "pass"]
    parts = [f"## distillbench compare: {headline(report)}", f"{_cell(report.baseline)} → {_cell(report.candidate)}"]
    parts += [table(others)] if others else []
    if passes:
        parts.append(f"<details><summary>{len(passes)} pass</summary>\n\n{table(passes)}\n\n</details>")
    parts += ["\n".join(f"- {_cell(note)}" for note in report.notes)] if report.notes else []
    return "\n\n".join(parts) + "\n"


def as_json(report: Report) -> str:
    """Everything; null for what is not a number."""
    whole = {"outcome": report.outcome, "exit_code": report.exit_code()} | asdict(report)
    return json.dumps(_finite(whole), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def junit(report: Report) -> str:
    """A test case a finding: what servers of continuous integration read."""
    tags = {"regressed": "failure", "missing": "error", "incomparable": "error", "inconclusive": "skipped"}
    counts = Counter(tags.get(finding.outcome, "") for finding in report.findings)
    suite = ElementTree.Element("testsuite", name="distillbench compare", tests=str(len(report.findings)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(counts[tag]))
    for finding in ordered(report):
        case = ElementTree.SubElement(suite, "testcase", classname=finding.cell, name=finding.metric or finding.cell)
        if finding.outcome in tags:
            kind = tags[finding.outcome]
            ElementTree.SubElement(case, kind, message=finding.reason, type=finding.outcome)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=False) + "\n"


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "terminal": terminal,
    "github": github,
    "json": as_json,
    "junit": junit,
}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
