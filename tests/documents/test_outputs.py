"""The output that documents quote is what the commands print."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from support.paths import ROOT

SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "outputs.py"))
QUOTING = [path for path in SCRIPT["DOCUMENTS"] if "<!-- output -->" in path.read_text(encoding="utf-8")]
UNSTABLE = re.compile(r"(within|range +ok|loss).*")
"""Figures whose last digits differ from machine to machine."""


def test_three_documents_quote() -> None:
    assert [path.name for path in QUOTING] == ["bring-your-own.md", "data.md", "suites.md"]
    for path in QUOTING:
        text = path.read_text(encoding="utf-8")
        assert len(SCRIPT["QUOTATION"].findall(text)) == text.count("<!-- output -->")


@pytest.mark.parametrize("path", QUOTING, ids=lambda path: path.name)
def test_a_quoted_output_is_current(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISTILLBENCH_DATA", raising=False)
    text = path.read_text(encoding="utf-8")
    assert UNSTABLE.sub("", SCRIPT["current"](text)) == UNSTABLE.sub("", text), "python docs/outputs.py"
