"""docs/bring-your-own.md from top to bottom: its files written, its commands run, training cut to three steps."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from support.paths import ROOT
from support.processes import Run, finish

DOCUMENT = (ROOT / "docs" / "bring-your-own.md").read_text()
CHECKED = ("ok", "n/a")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the document shows: those that begin with their name."""
    folder = tmp_path_factory.mktemp("reader")
    for text in re.findall(r"^```(?:toml|python)\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL):
        if name := re.match(r"# (\w+\.(?:toml|py))\n", text):
            (folder / name[1]).write_text(text)
    return folder


def test_a_new_user_gets_through(cli: Run, place: Path) -> None:
    pytest.importorskip("timm")
    assert {path.suffix for path in place.iterdir()} == {".py", ".toml"}
    lines = re.findall(r"^    (?:\$ )?((?:distillbench|python) .*)$", DOCUMENT, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        program, *words = shlex.split(line)
        if program == "python":
            done = finish([sys.executable, *words], cwd=place)
        else:
            if words[0] == "run":
                words += ["--set", "steps=3", "--workers", "1"]
                words += [] if "--seeds" in words else ["--seeds", "0"]
            done = cli(*words, cwd=place, env=os.environ | {"PYTHONPATH": ""})
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if words[0] == "check":
            findings = done.stdout.splitlines()
            assert {re.split(r"  +", finding)[1].split()[0] for finding in findings} <= set(CHECKED), line
    table = cli("table", place / "runs" / "pretrained").stdout
    assert "teacher (pretrained)" in table
