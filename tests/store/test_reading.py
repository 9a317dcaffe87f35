"""Documents that are as they should be are read at once, others field by field: what comes of it is the same."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillbench.bench.analysis.results import summaries, tasks_of
from distillbench.bench.store.documents import (
    Part,
    Table,
    collection_paused,
    files,
    kept_to_the_end,
    read,
)
from distillbench.bench.store.records import Record, Store
from distillbench.common.errors import UserError
from support.paths import ROOT

QUICK = ROOT / "results" / "quick"


class Document(Part):
    """A document with a table of anything."""

    schema_version: Literal[1] = 1
    number: float = 0.0
    table: Table = {}


def reading(path: Path, text: bytes) -> Any:
    """What reading some bytes gives: a document, or the line that says why not."""
    path.write_bytes(text)
    try:
        return read(path, Document, 1, "document")
    except UserError as error:
        return str(error).replace(str(path), "FILE")


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
tables = st.dictionaries(
    st.text(), st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)


@given(tables)
def test_numbers_and_texts_are_those_that_python_reads(table: dict[str, Any]) -> None:
    document = Document.model_validate_json(json.dumps({"schema_version": 1, "table": table}))
    assert repr(document.table) == repr(json.loads(json.dumps(table)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"number": 1}', "FILE: not a distillbench document (no field schema_version)"),
        (b'{"schema_version": 2}', "FILE: schema_version: 2 is not a version that this program reads (allowed: 1)"),
        (b'{"schema_version": 1, "number": 1e999}', "FILE: number: Input should be a finite number"),
        (b'{"schema_version": 1, "number": NaN}', "FILE: number: Input should be a finite number"),
        (
            b'{"schema_version": 1, "table": {"a": 1e999}}',
            "FILE: table.a: inf is not a number (allowed: finite numbers)",
        ),
        (b'{"schema_version": 1, "table": {"a": [-Infinity]}}', "FILE: table.a.0: -inf is not a number"),
        (b'{"schema_version": 1, "table": {"a": "\\ud800"}}', "has half of a character (allowed: whole characters)"),
        (b'{"schema_version": 1, "table": ' + b'{"a":' * 300 + b"1" + b"}" * 301, None),
        (b'{"schema_version": 1, "other": 1}', "FILE: other: Extra inputs are not permitted"),
        (b'{"schema_version": 1', "FILE: cannot be read as a document ("),
        ('{"schema_version": 1, "number": 2}'.encode("utf-16"), None),
        (b'{"schema_version": 1, "number": 1, "number": 2}', None),
        (b'\xef\xbb\xbf{"schema_version": 1, "number": 2}', None),
    ],
)
def test_what_is_wrong_is_named_and_what_is_odd_is_read(tmp_path: Path, text: bytes, problem: str | None) -> None:
    found = reading(tmp_path / "document.json", text)
    if problem is not None:
        assert problem in found
    else:
        assert found == Document.model_validate(json.loads(text))


def test_published_records_are_read_as_field_by_field() -> None:
    for path in sorted((QUICK / "records" / "vae").rglob("*.json"))[::5]:
        assert Store(QUICK).read(path) == Record.model_validate(json.loads(path.read_bytes()))


def test_of_one_task_nothing_else_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {summary.task: summary for summary in summaries(QUICK)}
    opened = list[Path]()

    def noting(path: Path, model: type[Record], version: int, noun: str) -> Record:
        opened.extend([path] * (noun == "record"))
        return read(path, model, version, noun)

    monkeypatch.setattr("distillbench.bench.store.documents.read", noting)
    (summary,) = summaries(QUICK, tasks=["vae"])
    assert summary == whole["vae"]
    assert {path.relative_to(QUICK).parts[1] for path in opened} == {"vae"}
    assert tasks_of(QUICK) == whole.keys()


def test_files_are_those_that_a_plain_search_finds(tmp_path: Path) -> None:
    names = ("b/z/1.json", "b/z-1/1.json", "b/a.json", "a/x.txt", "a/.json", "a/folder.json/inner.json", "c.json")
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert files(tmp_path) == sorted(tmp_path.rglob("*.json"))
    assert files(tmp_path, ["b", "nothing"]) == sorted((tmp_path / "b").rglob("*.json"))


def test_the_garbage_collector_is_as_it_was() -> None:
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            with collection_paused():
                assert not gc.isenabled()
            assert gc.isenabled() is enabled
        finally:
            gc.enable()


def test_reading_in_a_library_freezes_nothing_of_the_caller_and_a_command_what_it_reads() -> None:
    before = gc.get_freeze_count()
    summaries(QUICK, tasks=["gan"])
    assert gc.get_freeze_count() == before
    try:
        with kept_to_the_end():
            read_there = Store(QUICK).scan(["gan"]).records
        assert gc.isenabled()
        assert gc.get_freeze_count() > before + len(read_there)
    finally:
        gc.unfreeze()
