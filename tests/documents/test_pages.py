"""The documents fit the project: links, paths and names exist, references are current, the front page is short."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distillbench import Task
from support.paths import ROOT
from test_architecture import FLOORS

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|^    .*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
PATH = re.compile(
    r"`((?:bench|common|docs|methods|results|tasks|tests|\.github)/[\w./-]+\.(?:py|md|toml|yml|json|txt))\b"
)
TO_BE_MADE = re.compile(r"NAME|methods/cosine\.py")
"""Files that a document asks its reader to make."""
documents = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


def links(text: str) -> Iterator[str]:
    """The targets of a document's links within this repository."""
    return (target for target in LINK.findall(CODE.sub("", text)) if not target.startswith(("http", "mailto:")))


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@documents
def test_every_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    for link in links(path.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), f"{path.name}: {link}"
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{path.name}: {link}"


@documents
def test_every_path_that_a_document_names_exists(path: Path) -> None:
    for name in set(PATH.findall(path.read_text(encoding="utf-8"))):
        assert (ROOT / name).exists() or TO_BE_MADE.search(name), f"{path.name}: {name}"


def test_the_index_lists_every_document() -> None:
    index = set(links((ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    assert index >= {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_the_front_page_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 10_000


def test_the_reference_of_commands_is_the_programs() -> None:
    script: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "commands.py"))
    document = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert script["current"]() == document, "python docs/commands.py"


def test_every_name_in_the_glossary_is_in_the_code() -> None:
    """Capitals stand for names that a user gives; a method has the name of its file."""
    sources = [path for top in ("bench", "common", "methods", "tasks") for path in (ROOT / top).rglob("*.py")]
    words = {word for path in sources for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    words |= {path.stem for path in sources if path.parent.name == "methods"}
    rows = (line.split("|") for line in (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines())
    names = {name for row in rows if len(row) == 5 for name in re.findall(r"`([^`]+)`", row[3])}
    folders = {name for name in names if name.endswith("/") and (ROOT / name).is_dir()}
    parts = {part for name in names - folders for part in re.findall(r"\w+", name) if not part.isupper()}
    assert len(names) > 40
    assert parts - words - {"distillbench", "py"} == set()


def test_the_page_for_authors_of_tasks_names_every_member_and_no_other() -> None:
    text = (ROOT / "docs" / "writing-a-task.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named >= Task.__abstractmethods__ | {"metrics", "primary_metric", "baselines", "Settings"}
    assert named <= set(dir(Task)) | set(Task.__annotations__)


def test_the_drawing_of_the_floors_is_what_the_test_of_imports_holds() -> None:
    (drawing,) = re.findall(
        r"^```\n(7 .*?)   ──", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE | re.DOTALL
    )
    floors = re.split(r"^\d  ", drawing, flags=re.MULTILINE)[:0:-1]
    assert len(floors) == len(FLOORS)
    for text, rooms in zip(floors, FLOORS, strict=True):
        assert rooms <= set(re.findall(r"(?:^|   *)(\w+)(?= )", text, re.MULTILINE)), text
