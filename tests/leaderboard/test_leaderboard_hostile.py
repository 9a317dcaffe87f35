"""Hostile text in records stays plain text in all of the leaderboard's formats."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from distillbench.bench.leaderboard import build, model
from distillbench.bench.leaderboard.model import Leaderboard
from distillbench.bench.store import timings
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Failure, MetricValue, Record
from distillbench.common import text
from distillbench.common.text import LATEX
from support.boards import folder, student, usual
from support.html import Collector
from support.records import timing

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "template": "{{ 7 * 7 }}{% raw %}",
    "link": "[click](javascript:alert(1))",
    "closing": "](javascript:alert(1))",
    "baseline": "[a]: http://example.com",
    "autolink": "<http://example.com> www.example.com http://example.com a@example.com",
    "columns": "a | b | c\n| --- |\n# heading",
    "code": "`` ` ``` **bold** _it_ ~~no~~ \\| \\",
    "path": "../../x",
    "latex": r"\input{/etc/passwd}\write18{id}$x^2_1$ 100% & # ~ ^ } {",
    "latex option": "[2cm] \\\\[1cm] *",
    "formula": '=HYPERLINK("http://example.com";"x")',
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-2+3",
    "at": "@SUM(1)",
    "tab": "\t=1+1",
    "carriage return": "\r=1+1",
    "wide": "＝1+1",
    "delimiter": 'a;=1+1,=1+1\t"=1+1',
    "right to left": "abc\u202efed\u2066x\u200f\u061c",
    "controls": "\x00\x01\x1b[31m\x7f\x85\u2028\ufeff\u200b",
    "accents": "a" + "\u0301" * 300,
    "other letters": "模型 модель ħ 🦊",
    "long": "x" * 1_000_000,
}
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def everywhere(text: str) -> list[Record]:
    """Records with this text in every field of text: as a name where a file can have it."""
    metric = MetricValue(value=85, direction="higher", unit=text, decimals=9, note=text)
    fidelity = {f"teacher_{text}": metric, text: metric}
    fits = len(text) < 200 and "\x00" not in text and ".." not in text and text.strip("/") == text
    records = []
    for values, label, hyperparameters in (
        ([85.0, 87.2, 86.1], text if fits else "named", {text: text, "nested": {text: [text]}}),
        ([80.0, 82.0, 81.0], "scratch", {}),
        ([70.0, 72.0], "short", {}),
    ):
        for record in student(label, values, hyperparameters=hyperparameters, data=text, extra={text: text}):
            accuracy = record.metrics["accuracy"].model_copy(update={"unit": text})
            metrics = record.metrics | fidelity | {"accuracy": accuracy}
            texts = {"environment": {"cpu": text, "cores": text}, "warnings": (text,), "revision": text}
            records.append(record.model_copy(update={"metrics": metrics, **texts}))
    failed = student("broken", [1.0])[0]
    failure = {"status": "failed", "metrics": {}, "size": None, "failure": Failure(reason=text, traceback=text)}
    return [*records, failed.model_copy(update=failure)]


@pytest.fixture(scope="module", params=HOSTILE)
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The leaderboard and its files, made once for all tests of a text."""
    text, root = HOSTILE[request.param], tmp_path_factory.mktemp("hostile")
    folder(root / "lab", everywhere(text))
    (root / "lab/records/damaged.json").write_text(json.dumps({"schema_version": text}))
    board = build.leaderboard([root / "lab", folder(root / "quick", usual())])
    return board, build.content(board)


def test_all_text_is_short_and_visible(hostile: tuple[Leaderboard, dict[str, bytes]]) -> None:
    for name, content in hostile[1].items():
        if not name.startswith("assets/"):
            unseen = {c for c in content.decode() if unicodedata.category(c) in UNSEEN and c != "\n"}
            assert not unseen, f"{name}: {unseen}"
            assert len(content) < 200_000, name


def test_html_has_no_tag_attribute_or_address_of_a_record(hostile: tuple[Leaderboard, dict[str, bytes]]) -> None:
    page = Collector(hostile[1]["index.html"])
    for tag, attributes in page.tags:
        assert tag not in ("img", "iframe", "object", "embed", "style", "base")
        assert not any(key.startswith("on") or key == "style" for key in attributes)
        for target in (attributes.get("href"), attributes.get("src")):
            internal = target is None or target.startswith(("#board-", "#main", "#overall", "data:,", "assets/"))
            assert internal or target == "index.html", target
        if tag == "script":
            assert (attributes.get("src") or "").startswith("assets/")
    policies = [dict(a)["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'; script-src 'self'")
    assert "'unsafe-eval'" not in str(policies[0])
    found = re.search(r"\b49\b", page.text)  # a digest may hold the digits
    assert not found, page.text[found.start() - 60 : found.end() + 60]


def test_markdown_has_no_link_no_tag_and_as_many_columns_as_it_should(
    hostile: tuple[Leaderboard, dict[str, bytes]],
) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(hostile[1]["README.md"].decode())
    kinds = [token.type for token in tokens] + [child.type for token in tokens for child in token.children or ()]
    allowed = {
        "heading",
        "paragraph",
        "inline",
        "bullet_list",
        "list_item",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert {kind.removesuffix("_open").removesuffix("_close") for kind in kinds} <= allowed | {
        "text",
        "strong",
        "em",
        "text_special",
    }
    emphasised = {token.content for token in tokens if any(child.type == "em_open" for child in token.children or ())}
    assert emphasised <= {"*controls:*", "*teachers and baselines:*"}
    levels = [token.tag for token in tokens if token.type == "heading_open"]
    assert levels[0] == "h1"
    assert set(levels[1:]) == {"h2"}
    width, rows = 0, 0
    for token in tokens:
        if token.type == "table_open":
            width = 0
        elif token.type == "tr_open":
            cells = 0
        elif token.type in ("th_open", "td_open"):
            cells += 1
        elif token.type == "tr_close":
            width, rows = width or cells, rows + 1
            assert cells == width
    assert rows >= 6


def test_markdown_addresses_are_not_made_links_by_a_forge(hostile: tuple[Leaderboard, dict[str, bytes]]) -> None:
    # GitHub makes links of what looks like one.
    assert not re.search(r"https?://|www\.|[a-z]@", hostile[1]["README.md"].decode())


def test_csv_has_no_formula_in_any_cell(hostile: tuple[Leaderboard, dict[str, bytes]]) -> None:
    content = hostile[1]["leaderboard.csv"].decode()
    head, *rows = csv.reader(io.StringIO(content), strict=True)
    assert len(rows) == len([row for board in hostile[0].boards for row in board.rows])
    for row in rows:
        assert len(row) == len(head)
        for cell in row:
            number = re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", cell)
            assert number or not cell.startswith(tuple("=+-@\t\r＝＋－＠")), cell
    for line in content.splitlines()[1:]:  # text is quoted, so that no other delimiter divides it
        assert all(re.fullmatch(r"[-+.e\d]*", part) for part in re.sub(r'"(?:[^"]|"")*"', "", line).split(","))


def test_json_is_what_the_model_reads(hostile: tuple[Leaderboard, dict[str, bytes]], tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.json"
    path.write_bytes(hostile[1]["leaderboard.json"])
    assert model.read(path) == hostile[0]


COMMANDS = {
    *("documentclass", "usepackage", "begin", "end", "section", "subsection", "item", "noindent", "resizebox"),
    *("linewidth", "toprule", "midrule", "bottomrule", "textbf", "textbackslash", "textasciitilde", "textasciicircum"),
    *("uparrow", "downarrow", "pm", "Delta", "times", "sigma"),
}


def test_latex_has_only_known_commands_and_every_brace_closed(hostile: tuple[Leaderboard, dict[str, bytes]]) -> None:
    content = hostile[1]["leaderboard.tex"].decode()
    body = content[content.index("\\begin{document}") :]
    depth, math, columns = 0, False, 0
    for token in re.findall(r"\\[A-Za-z]+\*?|\\.|[^\\]", body, re.DOTALL):
        if re.fullmatch(r"\\[A-Za-z]+\*?", token):
            assert token[1:].rstrip("*") in COMMANDS, token
        elif token.startswith("\\"):
            assert token[1] in "&%$#_{}\\", token
        elif token in "{}":
            depth += 1 if token == "{" else -1
            assert depth >= 0
        elif token == "$":
            math = not math
        elif token in "#~^":
            assert math, token
        elif token == "&":
            columns += 1
        else:
            assert ord(token) < 256 or token in "…–—‘’“”", token
    assert (depth, math) == (0, False)
    assert len(re.findall(r"\\begin\{", body)) == len(re.findall(r"\\end\{", body))
    for table in re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", body, re.DOTALL):
        for line in table[1].splitlines():
            if line.endswith("\\\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(table[0]) - 1
                assert not line.startswith(("[", "*"))  # \\ of the line above would take it


def test_latex_compiles(hostile: tuple[Leaderboard, dict[str, bytes]], tmp_path: Path) -> None:
    import shutil
    import subprocess

    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here; the parser above stands in for it")
    (tmp_path / "board.tex").write_bytes(hostile[1]["leaderboard.tex"])
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "board.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]


def test_an_earlier_leaderboard_is_not_trusted_either(tmp_path: Path) -> None:
    leaderboard = build.leaderboard([folder(tmp_path / "quick", usual())])
    (board,) = leaderboard.boards
    bad = "<script>\u202e](javascript:x)" + "y" * 1_000_000
    row = board.rows[0].model_copy(update={"contributor": bad, "name": bad, "id": "gone"})
    old = leaderboard.model_copy(update={"boards": (board.model_copy(update={"task": bad, "rows": (row,)}),)})
    since = build.leaderboard([tmp_path / "quick"], old)
    assert since.changes is not None
    assert max(map(len, since.changes)) < 3000
    content = build.content(since)
    assert "\u202e" not in "".join(since.changes)
    assert b"<script>\\u202e" not in content["index.html"]
    assert all(len(data) < 100_000 for name, data in content.items() if not name.startswith("assets/"))


LARGE = MetricValue.model_construct(value=1e300, direction="higher", unit="%", decimals=2, note="")


@pytest.mark.parametrize(
    ("update", "problem"),
    [
        ({"metrics": {"accuracy": LARGE}}, "metrics.accuracy.value: 1e+300 is out of range"),
        ({"config": "deep"}, "config: is nested more than 20 levels deep"),
        ({"config": {"settings": "none"}}, "config.settings: is not a table"),
        ({"config": {"settings": {"student": 3}}}, "config.settings: teacher and student are not tables"),
        ({"config": {"code": None}}, "config.code: is not a digest"),
        ({"primary_metric": "fame"}, "primary_metric: 'fame' was not measured"),
        ({"size": {"parameters": 10**400}}, "size.parameters: 10000000000000000000… is out of range"),
        ({"size": {"macs": -1}}, "size.macs: -1"),
    ],
)
def test_records_that_no_run_writes_are_left_out_by_name(tmp_path: Path, update: dict[str, Any], problem: str) -> None:
    odd = student("odd", [99.0])[0]
    if update.get("config") == "deep":
        inner: dict[str, Any] = {}
        for _ in range(100):
            inner = {"a": inner}
        update = {"config": {"more": inner}}
    if "config" in update:
        config = odd.config | update["config"]
        update = {"config": config, "config_hash": canonical_hash(config)}
    if "size" in update:
        assert odd.size is not None
        update = {"size": odd.size.model_copy(update=update["size"])}
    lab = folder(tmp_path / "lab", [odd.model_copy(update=update)])
    leaderboard = build.leaderboard([folder(tmp_path / "quick", usual()), lab])
    assert any(problem in line for line in leaderboard.problems), leaderboard.problems
    assert all(row.label != "odd" for board in leaderboard.boards for row in board.rows)


def test_examples_beyond_any_measurement_are_a_damaged_record(tmp_path: Path) -> None:
    odd = student("odd", [99.0])[0].model_dump(mode="json")
    odd |= {"examples": {"accuracy": [1e308, 1e308, -1e308]}, "example_names": ["a", "b", "c"]}
    path = folder(tmp_path / "quick", usual()) / "records/classification/cnn_mlp/odd/seed-0.json"
    path.parent.mkdir()
    path.write_text(json.dumps(odd))
    (problem,) = build.leaderboard([tmp_path / "quick"]).problems
    assert problem == f"{path}: examples.accuracy.0: 1e+308 is out of range (allowed: at most 1e+100)"


def test_timings_with_a_nan_in_their_environment_are_not_compared(tmp_path: Path) -> None:
    quick = folder(tmp_path / "quick", usual())
    timings.write(quick, timing(usual()))
    (path,) = quick.rglob("eager-batch-1.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"environment": {"cpu": math.nan}}))
    (board,) = build.leaderboard([quick]).boards
    assert all(row.speed is None for row in board.rows)


@given(st.text())
def test_visible_text_is_short_printable_and_idempotent(original: str) -> None:
    visible = text.visible(original)
    assert len(visible) <= text.LONGEST + 1
    assert not any(unicodedata.category(c) in UNSEEN for c in visible)
    assert text.visible(visible) == visible


@given(st.text(st.characters(codec="utf-8")))
def test_markdown_shows_any_text(original: str) -> None:
    (paragraph,) = (t for t in MarkdownIt("commonmark").parse(f"x {text.markdown(original)}") if t.type == "inline")
    assert {child.type for child in paragraph.children or ()} <= {"text", "text_special"}
    assert (
        "".join(c.content for c in paragraph.children or ()).split()
        == f"x {text.visible(original, text.LONGEST_NOTE)}".split()
    )


@given(st.text("\\{}$&#^_~%ab[*]"))
def test_latex_of_special_characters_has_only_commands_for_characters(original: str) -> None:
    left = text.latex(original)
    for command in sorted(LATEX.values(), key=len, reverse=True):
        left = left.replace(command, "")
    assert not set(left) & set("\\{}$&#^_~%")
