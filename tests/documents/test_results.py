"""What is published is what the code makes: documents, tables, figures and records agree."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from distillbench.bench.machine.processor import same_processor
from distillbench.bench.run.plan import plan
from distillbench.bench.store import exports, timings
from distillbench.bench.store.architecture import architecture_of
from distillbench.bench.store.figures import usable
from distillbench.bench.store.manifest import expected
from distillbench.bench.store.records import Store
from distillbench.bench.store.terms import FORMS
from distillbench.bench.suite.resolve import load
from support.paths import ROOT
from support.processes import finish

RESULTS = ROOT / "results"
SUITES = ("mnist", "quick")
"""Of data that come with the package and its extra: held to the code that is here."""
ON_STANDARD_SETS = ("restoration",)
"""Of data sets in folders, which a test has not: held to what their records say."""
published = pytest.mark.parametrize("suite", SUITES)
every_published = pytest.mark.parametrize("suite", SUITES + ON_STANDARD_SETS)


def test_every_folder_of_results_is_of_a_suite() -> None:
    folders = {path.name for path in RESULTS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*SUITES, *ON_STANDARD_SETS}


@published
def test_every_published_record_is_of_the_suite_and_the_code_that_are_here(suite: str) -> None:
    """The configuration's hash has the digest of the code in it. If this fails: ``make results-SUITE``."""
    loaded = load(suite)
    state = plan(loaded, RESULTS / suite)
    assert not state.missing
    assert not state.failed
    assert not state.stale
    assert len(list(Store(RESULTS / suite))) == len(state.finished), "nothing else lies there"


def test_published_tables_and_documents_say_what_the_records_say() -> None:
    done = finish([sys.executable, str(ROOT / "results" / "publish.py"), "--check"])
    assert done.returncode == 0, done.stdout + done.stderr


@every_published
def test_every_cell_that_was_to_be_made_is_published_and_none_failed(suite: str) -> None:
    cells = {(*cell.row, cell.seed) for cell in expected(RESULTS / suite) if not cell.undefined}
    records = list(Store(RESULTS / suite))
    assert {(r.task, r.pair, r.kind, r.label, r.seed) for r in records} == cells
    assert {record.status for record in records} == {"finished"}


@every_published
def test_published_records_are_of_a_committed_revision_and_one_machine(suite: str) -> None:
    records = list(Store(RESULTS / suite))
    assert not any(record.revision.endswith("-dirty") for record in records)
    assert all(same_processor(record.environment, records[0].environment) for record in records)


@published
def test_every_student_is_exported_equal_to_eager_and_quantised_and_its_quality_measured(suite: str) -> None:
    by_path = {export.path: export for export in exports.scan(RESULTS / suite).documents}
    students = [record for record in Store(RESULTS / suite) if record.kind == "student"]
    assert len(by_path) == len(students)
    for record in students:
        export = by_path[exports.path_of(record)]
        assert export.is_of(record)
        assert export.artefacts.keys() == set(FORMS)
        for artefact in export.artefacts.values():
            assert artefact.failure is artefact.unmeasured is None
        assert export.artefacts["float32"].difference is not None
        assert export.artefacts["float32"].difference.examples >= 12
        assert not export.revision.endswith("-dirty")


@published
def test_every_pair_is_timed_on_three_backends_in_one_and_many_inputs_with_intervals(suite: str) -> None:
    scan = timings.scan(RESULTS / suite)
    assert not scan.problems
    records = list(Store(RESULTS / suite))
    ways = {"eager", "compile", "onnxruntime", "onnxruntime int8-static", "onnxruntime int8-dynamic"}
    for pair in {(record.task, record.pair) for record in records}:
        networks = {architecture_of(r) for r in records if (r.task, r.pair) == pair and r.kind != "baseline"}
        by_way = {
            t.condition.way: t for t in scan.documents if (t.task, t.pair) == pair and t.condition.batch_size == 1
        }
        assert ways <= by_way.keys()
        for timing in by_way.values():
            if timing.unavailable is None:
                speedup = timing.speedup()
                assert speedup is not None
                assert speedup.low <= speedup.value <= speedup.high
            assert {timing.teacher, timing.student} <= networks
            assert not timing.revision.endswith("-dirty")


def test_students_of_the_suite_mnist_are_four_times_smaller_and_faster_than_their_teachers() -> None:
    """As deployed, by ONNX Runtime: in eager PyTorch the calls of small layers cost more than their work."""
    sizes = {(r.task, r.kind): r.size.parameters for r in Store(RESULTS / "mnist") if r.size is not None}
    speedups = {
        timing.task: timing.speedup()
        for timing in timings.scan(RESULTS / "mnist").documents
        if (timing.condition.way, timing.condition.batch_size) == ("onnxruntime", 1)
    }
    assert speedups.keys() == {"classification", "gan", "vae"}
    for task, speedup in speedups.items():
        assert 4 * sizes[task, "student"] <= sizes[task, "teacher"]
        assert speedup is not None
        assert speedup.low >= 4


@every_published
def test_every_pair_has_its_figures_and_none_is_large(suite: str) -> None:
    pairs = {(cell.task, cell.pair) for cell in expected(RESULTS / suite)}
    listed = usable(RESULTS / suite, {record.config_hash for record in Store(RESULTS / suite).scan().records})
    assert {(entry.task, entry.pair) for entry in listed} == pairs
    files = {path.name: path.stat().st_size for path in (RESULTS / suite / "figures").glob("*.png")}
    assert files.keys() == {figure.file for entry in listed for figure in entry.figures}
    assert max(files.values()) <= 300_000


def copy_of_the_code(target: Path) -> None:
    shutil.copy(ROOT / "README.md", target)
    for name in ("bench", "common", "distillbench", "docs", "methods", "tasks"):
        shutil.copytree(ROOT / name, target / name, symlinks=True)


@pytest.mark.parametrize("change", ["a figure of a document", "a figure of a record"])
def test_what_is_not_current_is_named(change: str, tmp_path: Path) -> None:
    """On a copy: the check of these tests can fail."""
    copy_of_the_code(tmp_path)
    shutil.copytree(ROOT / "results", tmp_path / "results", ignore=shutil.ignore_patterns("weights", "figures"))
    if change == "a figure of a document":
        path, stale = tmp_path / "docs" / "results.md", ["results.md"]
        path.write_text(path.read_text().replace("    nearest centroid ", "    nearest centre   ", 1))
    else:
        path = tmp_path / "results/quick/records/classification/cnn_mlp/mimic/seed-0.json"
        record = json.loads(path.read_text())
        record["metrics"]["ece"]["value"] += 1
        path.write_text(json.dumps(record))
        stale = ["leaderboard.json", "tables.csv", "tables.md", "tables.tex"]
    done = finish([sys.executable, "results/publish.py", "--check"], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1, done.stderr
    assert sorted(line.split(":")[0].rpartition("/")[2] for line in done.stdout.splitlines()) == stale


def test_a_record_that_cannot_be_used_is_named_and_nothing_is_published(tmp_path: Path) -> None:
    copy_of_the_code(tmp_path)
    shutil.copytree(ROOT / "results", tmp_path / "results", ignore=shutil.ignore_patterns("weights", "figures"))
    path = tmp_path / "results/quick/records/classification/cnn_mlp/mimic/seed-0.json"
    path.write_text(path.read_text()[:-20])
    before = (tmp_path / "README.md").read_bytes()
    done = finish([sys.executable, "results/publish.py"], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.startswith(f"{path}: cannot be read as a record (")
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "README.md").read_bytes() == before
