"""The page of a results folder: what is written, and that whatever comes from a record is text."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import Run
from test_gate_results import folder
from test_report import records

from bench.errors import UserError
from bench.page.site import build, site
from bench.records import Record
from bench.report.again import suite_file
from bench.suite import cells, load


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return site(folder(tmp_path_factory.mktemp("results"), records()))


class Collector(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_link_and_source_is_a_file_of_the_page(made: dict[str, bytes]) -> None:
    for name, content in made.items():
        if not name.endswith(".html"):
            continue
        for tag, attributes in Collector(content).tags:
            for target in (attributes.get("href"), attributes.get("src")):
                if target and not target.startswith(("#", "data:,")):
                    assert target.partition("#")[0] in made, f"{name}: {tag} {target}"


def test_the_same_records_give_the_same_bytes(tmp_path: Path, made: dict[str, bytes]) -> None:
    again = site(folder(tmp_path / "results", records()))
    assert {name for name in made if made[name] != again.get(name)} <= {"index.html", "cell.html"} | {
        name for name in made if name.startswith("data/")
    }  # records are of another second


def test_the_overview_says_what_each_method_recovers_and_what_is_not_there(made: dict[str, bytes]) -> None:
    text = Collector(made["index.html"]).text
    assert "Gap recovered" in text
    assert "57%" in text
    assert re.search(r"classification, cnn_mlp, broken: 1 failed", text)


def test_a_cell_page_has_the_whole_record(made: dict[str, bytes]) -> None:
    (name,) = (name for name in made if name.startswith("data/"))
    packed = json.loads(re.search(r',("[^"]*")\);', made[name].decode()).group(1))  # type: ignore[union-attr]
    cells = json.loads(gzip.decompress(base64.b64decode(packed)))
    record = Record.model_validate(cells["classification/cnn_mlp/good/seed-0"]["record"])
    assert record.label == "good"


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "a$b$"]
)
def test_a_hostile_name_is_text(tmp_path: Path, hostile: str) -> None:
    names = [r.model_copy(update={"pair": hostile.replace("/", "")}) for r in records()]
    made = site(folder(tmp_path, names))
    for name, content in made.items():
        if name.endswith(".html"):
            found = Collector(content)
            scripts = [attributes for tag, attributes in found.tags if tag == "script"]
            assert all(s.get("src", "").startswith("assets/") or s.get("type") == "application/json" for s in scripts)
            assert not any(key.startswith("on") for _, attributes in found.tags for key in attributes)
    assert "49" not in Collector(made["index.html"]).text


def test_a_folder_of_something_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="is not a page of distillbench"):
        build(folder(tmp_path / "results", records()), tmp_path / "page")
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["thesis.tex"]


def test_a_page_is_written_over_itself(cli: Run, tmp_path: Path) -> None:
    results = folder(tmp_path / "results", records())
    for _ in range(2):
        done = cli("report", results, "-o", tmp_path / "page")
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "page" / "index.html").exists()


@pytest.mark.parametrize("seed", [0, 3])
def test_the_suite_on_a_cells_page_makes_that_cell_again(tmp_path: Path, seed: int) -> None:
    """Of a suite whose settings are not the defaults: the hash is of all that decides the cell."""
    table = {
        "seeds": [0, 3],
        "methods": ["temperature"],
        "tasks": {
            "classification": {"steps": 7, "hyperparameters": {"temperature": {"temperature": 3.0, "alpha": 0.2}}}
        },
    }
    cell = next(c for c in cells(load(table)) if c.kind == "student" and c.seed == seed)
    pattern = next(r for r in records() if r.kind == "student")
    record = pattern.model_copy(update={"task": cell.pair.task, "pair": cell.pair.pair, "label": cell.label})
    record = record.model_copy(update={"seed": seed, "config": cell.config, "config_hash": cell.hash})
    (tmp_path / "again.toml").write_text(suite_file(record))
    again = [c for c in cells(load(tmp_path / "again.toml")) if c.kind == "student"]
    assert [c.hash for c in again] == [cell.hash]
