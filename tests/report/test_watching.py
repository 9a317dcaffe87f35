"""Watching a results folder: what is shown, when it ends, and what is written elsewhere."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from distillbench.bench.report.trackers.base import package, scalars
from distillbench.bench.report.watching import CachedStore, View, Watcher, layout, sparkline, summary_line
from distillbench.bench.run import progress
from distillbench.bench.store import status
from distillbench.bench.store.records import Failure, Store
from distillbench.bench.store.status import Status
from distillbench.common.errors import UserError
from support.processes import Run, start
from support.records import records
from support.results import folder

GOING_ON = Status(cells=3, failed=1, expected=9, seconds=100, left=200, running={"students gan/x seed 0": (40, 100)})


def lines_of(view: View, width: int = 80) -> list[str]:
    screen = Console(width=width, force_terminal=False, highlight=False)
    with screen.capture() as text:
        screen.print(layout(view, width))
    return text.get().splitlines()


def test_a_folder_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    watcher = Watcher(folder(tmp_path, records()))
    view, changed = watcher.look()
    assert changed
    lines = lines_of(view)
    assert lines[0].startswith("no run is in progress: ")
    assert all(len(line) <= 80 for line in lines)
    row = next(line for line in lines if line.lstrip("▸ ").startswith("good"))
    good = next(row for row in view.summaries[0].rows if row.name == "good")
    assert f"{good.finished}/{good.finished}" in row
    assert any(line.startswith("· failed: classification/cnn_mlp/broken/seed 0") for line in lines)
    assert watcher.look() == (view, False)


def test_the_run_is_shown_with_what_runs_and_what_is_left(tmp_path: Path) -> None:
    results = folder(tmp_path, records())
    status.write(results, GOING_ON)
    view, _ = Watcher(results).look()
    assert summary_line(view) == "3/9 cells, 1 failed, about 3 min left; now: students gan/x seed 0; for 2 min"
    assert lines_of(view)[1] == f"  {'█' * 8}{'░' * 12} students gan/x seed 0, step 40 of 100"
    status.write(results, GOING_ON.model_copy(update={"cells": 0, "failed": 0, "left": None}))  # before the first cell
    view, _ = Watcher(results).look()
    assert summary_line(view) == "0/9 cells; now: students gan/x seed 0; for 2 min"
    status.write(results, GOING_ON.model_copy(update={"running": {}}))  # before the first job
    view, _ = Watcher(results).look()
    assert summary_line(view) == "3/9 cells, 1 failed, about 3 min left; for 2 min"


def test_a_run_that_was_killed_goes_on_no_longer(tmp_path: Path) -> None:
    results = folder(tmp_path, records())
    status.write(results, GOING_ON)
    old = time.time() - status.SILENT - 1
    os.utime(results / status.NAME, (old, old))
    view, _ = Watcher(results).look()
    assert view.status is None


@pytest.mark.parametrize("content", ["", "{", '{"schema_version": 1}', '{"schema_version": 9}', "[" * 100_000])
def test_a_damaged_status_is_named_and_stops_nothing(tmp_path: Path, content: str) -> None:
    results = folder(tmp_path, records())
    (results / status.NAME).write_text(content)
    view, _ = Watcher(results).look()
    assert lines_of(view)[0].startswith(str(results / status.NAME)[:70])
    assert len(view.records) == len(Store(results).scan().records)


def test_what_is_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = folder(tmp_path, records())
    store, read = CachedStore(results), []
    real = Store.read
    monkeypatch.setattr(Store, "read", lambda self, path: (read.append(path), real(self, path))[1])
    first = store.scan()
    once = len(read)
    assert once == len(first.records)
    changed = first.records[0]
    store.write(changed.path, changed.model_copy(update={"revision": "another"}))
    (results / first.records[1].path).write_text("{")
    again = store.scan()
    assert len(read) == once + 2
    assert again.records[0].revision == "another"
    assert list(again.problems) == [first.records[1].path]


def test_a_run_that_is_silent_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BEAT_EVERY", 0.01)
    with progress.StatusFile(tmp_path):
        old = time.time() - status.SILENT - 1
        os.utime(tmp_path / status.NAME, (old, old))
        limit = time.monotonic() + 60
        while status.read(tmp_path) is None and time.monotonic() < limit:
            time.sleep(0.01)
        assert status.read(tmp_path) is not None
    assert not (tmp_path / status.NAME).exists()


def test_a_folder_with_nothing_but_damaged_files_names_them(tmp_path: Path) -> None:
    path = tmp_path / "records" / "vae" / "x" / "mimic" / "seed-0.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    text = " ".join(lines_of(Watcher(tmp_path).look()[0], 400))
    assert f"left out: {path}: cannot be read as a record" in text


@pytest.mark.parametrize(("values", "line"), [([0, 1], "▁█"), ([1, 1, 1], "▁▁▁"), ([5.0], ""), ([], "")])
def test_a_curve_of_characters(values: list[float], line: str) -> None:
    assert sparkline(values) == line


def test_a_long_curve_is_as_long_as_it_may_be_and_ends_where_it_ends() -> None:
    line = sparkline([float(i) for i in range(50)])
    assert len(line) == 16
    assert (line[0], line[-1]) == ("▁", "█")
    assert list(line) == sorted(line)


def test_hostile_names_are_shown_as_they_are_written(tmp_path: Path) -> None:
    hostile = [r.model_copy(update={"pair": "[red]\u202e\x1b[2J"}) for r in records()]
    broken = next(r for r in hostile if r.failure)
    hostile.append(broken.model_copy(update={"seed": 1, "failure": Failure(reason="x" * 1_000_000)}))
    text = "\n".join(lines_of(Watcher(folder(tmp_path, hostile)).look()[0]))
    assert "[red]" in text
    assert "\\u202e" in text
    assert "\x1b" not in text
    assert len(text) < 20_000


def test_watch_ends_with_the_run_and_shows_its_table(cli: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = [
        sys.executable,
        "-m",
        "distillbench",
        "run",
        "smoke",
        "--task",
        "classification",
        "--seeds",
        "0",
        "--set",
        "steps=300",
    ]
    with start([*run, "--out", str(out)]) as process:
        try:
            limit = time.monotonic() + 120
            while not (out / status.NAME).exists() and time.monotonic() < limit:
                time.sleep(0.05)
            done = cli("watch", out, "--every", "0.2")
            process.communicate(timeout=120)
        finally:
            process.kill()
    assert (done.returncode, done.stderr) == (0, "")
    first, *_ = done.stdout.splitlines()
    assert re.match(r"\d+/\d+ cells[,;] ", first)
    assert "no run is in progress: " in done.stdout
    assert "validation, while training" in done.stdout
    assert process.returncode == 0
    assert not (out / status.NAME).exists()


def test_an_interrupted_run_takes_its_status_away(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = [
        sys.executable,
        "-m",
        "distillbench",
        "run",
        "smoke",
        "--task",
        "classification",
        "--set",
        "steps=100000",
    ]
    with start([*run, "--out", str(out)]) as process:
        limit = time.monotonic() + 120
        while not (out / status.NAME).exists() and time.monotonic() < limit:
            time.sleep(0.05)
        assert (out / status.NAME).exists()
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert not (out / status.NAME).exists()


def test_an_interrupt_at_the_first_moment_takes_the_status_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = status.write

    def interrupted(results: Path, now: status.Status) -> None:
        original(results, now)
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "write", interrupted)
    with pytest.raises(KeyboardInterrupt), progress.StatusFile(tmp_path):
        pass
    assert not (tmp_path / status.NAME).exists()


def test_no_folder_is_bad_input(cli: Run, tmp_path: Path) -> None:
    done = cli("watch", tmp_path / "none")
    assert done.returncode == 2
    assert done.stderr == f"distillbench: {tmp_path / 'none'}: no such results folder\n"


# -- elsewhere ------------------------------------------------------------------------------------------------------


def test_a_package_that_is_not_there_is_named_with_its_extra() -> None:
    with pytest.raises(UserError, match=r"--mlflow: needs the package no_such .pip install 'distillbench\[mlflow\]'"):
        package("no_such", "mlflow", "--mlflow")


def test_the_scalars_of_a_record_are_its_curve_and_its_metrics(tiny_results: Path) -> None:
    record = next(r for r in Store(tiny_results).scan().records if r.kind == "student")
    assert record.training is not None
    values = list(scalars(record))
    assert [(step, value) for name, step, value in values if name == "train/loss"] == list(
        zip(record.training.curve.steps, record.training.curve.loss, strict=True)
    )
    assert ("test/accuracy", record.training.steps, record.metrics["accuracy"].value) in values


def test_tensorboard_has_each_record_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from distillbench.bench.report.trackers.tensorboard import TensorBoard

    record = next(r for r in records() if r.kind == "student" and r.metrics)
    sink = TensorBoard(tmp_path)
    assert [sink.write(record), sink.write(record)] == [True, False]
    place = tmp_path / record.path.relative_to("records").with_suffix("")
    events = EventAccumulator(str(place))
    events.Reload()
    (scalar,) = events.Scalars("test/accuracy")
    assert scalar.value == pytest.approx(record.metrics["accuracy"].value)
    again = record.model_copy(update={"config_hash": "0" * 64})
    assert sink.write(again)
    assert len(list(place.glob("events.out.tfevents.*"))) == 1


def test_mlflow_has_each_record_once(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from distillbench.bench.report.trackers.mlflow import MLflow

    record = next(r for r in records() if r.kind == "student" and r.metrics)
    sink = MLflow(f"sqlite:///{tmp_path / 'runs.db'}", "distillbench")
    assert [sink.write(record), sink.write(record)] == [True, False]
    (run,) = sink.client.search_runs([sink.experiment])
    assert run.data.metrics["test/accuracy"] == record.metrics["accuracy"].value
    assert run.data.tags["label"] == record.label


def test_a_record_that_mlflow_has_half_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from distillbench.bench.report.trackers.mlflow import MLflow

    record = next(r for r in records() if r.kind == "student" and r.metrics)
    sink = MLflow(f"sqlite:///{tmp_path / 'runs.db'}", "distillbench")
    log = sink.client.log_batch

    def gone(*_: object, **__: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(sink.client, "log_batch", gone)
    with pytest.raises(UserError, match=f"^--mlflow: {record.name}: ConnectionError: gone"):
        sink.write(record)
    monkeypatch.setattr(sink.client, "log_batch", log)
    assert sink.write(record)


def test_a_file_in_the_place_of_the_log_folder_is_bad_input(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from distillbench.bench.report.trackers.tensorboard import TensorBoard

    (tmp_path / "logs").write_text("mine")
    with pytest.raises(UserError, match=r"^--tensorboard: .* cannot be written"):
        TensorBoard(tmp_path / "logs").write(next(r for r in records() if r.metrics))


def test_a_server_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from distillbench.bench.report.trackers.mlflow import MLflow

    with pytest.raises(UserError, match=r"^--mlflow: nonsense://x: "):
        MLflow("nonsense://x", "distillbench")
