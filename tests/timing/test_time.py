"""Timings by the real command: what is measured, kept, gone on with and refused; and what a table says of it."""

from __future__ import annotations

import json
import math
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from distillbench.bench.analysis.speeds import tabulate_timings
from distillbench.bench.machine.environment import environment
from distillbench.bench.measure.backends import obstacle, prepare
from distillbench.bench.measure.energy import joules_per_call
from distillbench.bench.measure.failures import NotAvailable
from distillbench.bench.measure.memory import resident_growth
from distillbench.bench.measure.onnx_export import INPUT, export, session
from distillbench.bench.measure.quantise import quantise
from distillbench.bench.report.speeds import tables
from distillbench.bench.report.writers import markdown
from distillbench.bench.statistics import Ratio
from distillbench.bench.store import exports, timings
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.exports import Artefact, Export
from distillbench.bench.store.records import MetricValue, Record, Store
from distillbench.bench.store.timings import Condition, Launch, Timing
from distillbench.bench.suite.resolve import load
from distillbench.bench.timing.timer import LaunchLimits, Target, conditions, targets, timing_plan
from distillbench.common.errors import UserError
from support.own_pairs import pair
from support.paths import ROOT
from support.processes import Run, finish

QUICK = ("--backends", "eager,onnxruntime", "--precisions", "float32,int8-static", "--batch", "1", "--launches", "1")
PLACE = Path("timings/classification/cnn_mlp")


@pytest.fixture(scope="module")
def timed(tiny_results: Path, tmp_path_factory: pytest.TempPathFactory, cli: Run) -> tuple[Path, str]:
    """A finished run, timed; and what the command printed. Tests that change it copy it first."""
    out = tmp_path_factory.mktemp("timed") / "tiny"
    shutil.copytree(tiny_results, out)
    done = cli("time", out, *QUICK)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.fixture
def out(timed: tuple[Path, str], tmp_path: Path) -> Path:
    shutil.copytree(timed[0], tmp_path / "tiny")
    return tmp_path / "tiny"


def edit(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# -- the command ----------------------------------------------------------------------------------------------------


def test_every_condition_is_timed_in_turns_and_kept(timed: tuple[Path, str]) -> None:
    found = timings.scan(timed[0])
    assert not found.problems
    assert {timing.condition.name for timing in found.documents} == {
        "eager-batch-1",
        "onnxruntime-batch-1",
        "onnxruntime-int8-static-batch-1",
    }
    for timing in found.documents:
        (launch,) = timing.launches
        assert len(launch.seconds["student"]) >= 10
        assert ("eager" in launch.seconds) == (timing.condition.backend != "eager")
        assert timing.memory["teacher"] > 0
        assert timing.environment["libraries"]["onnxruntime"]
        assert timing.input_shape == (1, 1, 8, 8)


def test_every_student_is_exported_and_quantised_and_its_quality_measured(timed: tuple[Path, str]) -> None:
    found = {(export.label, export.seed): export for export in exports.scan(timed[0]).documents}
    students = {(r.label, r.seed): r for r in Store(timed[0]) if r.kind == "student"}
    assert found.keys() == students.keys()
    for key, made in found.items():
        assert made.is_of(students[key])
        full, small = made.artefacts["float32"], made.artefacts["int8-static"]
        assert full.failure is small.failure is small.unmeasured is None
        assert full.difference is not None
        assert full.difference.absolute < 1e-4
        assert small.bytes < full.bytes
        assert len(small.examples["accuracy"]) == 500
        assert small.metrics["accuracy"] == pytest.approx(np.mean(small.examples["accuracy"]))
        assert abs(small.metrics["accuracy"] - students[key].metrics["accuracy"].value) < 10
        assert small.examples["nll"] != students[key].examples["nll"], "not those of full precision"


def test_the_tables_join_times_to_records(timed: tuple[Path, str], cli: Run) -> None:
    assert "× teacher" in timed[1]
    assert "Δ accuracy ↑ (%)" in timed[1]
    rows = json.loads(cli("table", timed[0], "-f", "json").stdout)[0]["rows"]
    students = [row for row in rows if row["kind"] == "student" and row["finished"]]
    assert len({row["latency_seconds"] for row in students}) == 1, "students of one architecture have one latency"
    (eager,) = [t for t in timings.scan(timed[0]).documents if t.condition == Condition()]
    times = eager.times("student")
    assert times is not None
    assert students[0]["latency_seconds"] == times.value
    assert not [row["method"] for row in students if not (row["speedup"] or 0) > 1]


def test_what_is_there_is_not_timed_again_and_needs_no_machine(
    timed: tuple[Path, str], cli: Run, holder: Callable[[], subprocess.Popen[str]]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in timed[0].rglob("*.json")}
    holder()
    done = cli("time", timed[0], *QUICK)
    assert done.returncode == 0, done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in timed[0].rglob("*.json")}
    assert "conditions to time" not in done.stdout


def test_more_launches_are_added_to_those_there(out: Path, cli: Run) -> None:
    first = timings.read(out / PLACE / "eager-batch-1.json").launches
    done = cli("time", out, "--backends", "eager", "--precisions", "float32", "--batch", "1", "--launches", "3")
    assert done.returncode == 0, done.stderr
    assert "1 conditions to time, 3 launches each" in done.stdout
    found = timings.read(out / PLACE / "eager-batch-1.json")
    assert found.launches[:1] == first
    assert len(found.launches) == 3
    times = found.times("student")
    assert times is not None
    assert times.low < times.value < times.high


def test_weights_that_are_not_there_are_told_and_nothing_is_kept_of_them(out: Path, cli: Run) -> None:
    kept = out / "exports/classification/cnn_mlp/mimic"
    shutil.rmtree(kept)
    weights = out / "weights/classification/cnn_mlp/mimic/seed-1.safetensors"
    weights.unlink()
    done = cli("time", out, *QUICK)
    assert done.returncode == 1
    assert done.stderr == f"distillbench: {weights}: the weights are missing\n"
    assert sorted(path.name for path in kept.iterdir()) == ["seed-0.json", "seed-2.json"]


def test_a_suite_is_timed_before_anything_is_trained(tiny_suite: Path, tmp_path: Path, cli: Run) -> None:
    options = ("--backends", "eager", "--precisions", "float32", "--batch", "2", "--launches", "1")
    done = cli("time", tiny_suite, "--out", tmp_path / "new", *options, "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new" / PLACE / "eager-batch-2.json").exists()
    assert not (tmp_path / "new/records").exists()
    header, *rows = [line for line in done.stdout.splitlines() if "," in line and "launch" not in line]
    assert header.startswith("task,pair,network,backend,batch_size,seconds,")
    assert len(rows) == 2


@pytest.mark.parametrize(("backend", "reason"), [("compile", "no C++ compiler"), ("onnxruntime", "is not installed")])
def test_a_backend_that_is_not_here_has_its_reason_in_the_table(
    backend: str, reason: str, out: Path, cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {}
    if backend == "compile":
        (tmp_path / "bin").mkdir()
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    else:
        (tmp_path / "onnxruntime.py").write_text("raise ImportError('onnxruntime is broken', name='onnxruntime')")
        (out / PLACE / "onnxruntime-batch-1.json").unlink()
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    done = cli("time", out, "--backends", backend, "--precisions", "float32", "--batch", "1", **options)
    assert done.returncode == 0, done.stderr
    assert f"n/a, {reason}" in done.stdout or f"n/a, onnxruntime {reason}" in done.stdout


# -- what is refused ------------------------------------------------------------------------------------------------

HOLD = """
import sys
from distillbench.bench.machine.lock import {kind}
with {kind}():
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that holds this test's machine until the test ends."""
    started: list[subprocess.Popen[str]] = []

    def hold(kind: str = "alone_on_the_machine") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD.format(kind=kind), "the night's work"]
        process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_nothing_is_timed_while_something_trains_nor_trained_while_something_is_timed(
    tiny_suite: Path, tmp_path: Path, cli: Run, holder: Callable[..., subprocess.Popen[str]]
) -> None:
    one = ("--task", "classification", "--methods", "scratch", "--seeds", "0", "--out", tmp_path / "o")
    training = holder("busy_on_the_machine")
    refused = cli("time", tiny_suite, "--out", tmp_path / "o", *QUICK)
    assert refused.returncode == 2
    assert f"process {training.pid}: -c the night's work" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert cli("run", tiny_suite, *one).returncode == 0, "two may train at once"
    training.communicate("\n")
    timing = holder()
    refused = cli("run", tiny_suite, *one, "--set", "steps=9", "--overwrite")
    assert refused.returncode == 2
    assert f"process {timing.pid}: " in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_times_of_another_machine_are_kept_until_told(out: Path, cli: Run) -> None:
    path = out / PLACE / "eager-batch-1.json"
    edit(path, lambda t: t["environment"].update(cpu="Another"))
    before = path.read_bytes()
    refused = cli("time", out, *QUICK)
    assert refused.returncode == 2
    assert f"{path}: timed on another machine: cpu was Another" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert path.read_bytes() == before
    done = cli("time", out, *QUICK, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert "1 conditions to time" in done.stdout
    assert timings.read(path).environment["cpu"] != "Another"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda t: t.update(schema_version=9),
            "schema_version: 9 is not a version that this program reads (allowed: 1)",
        ),
        (lambda t: t["launches"][0]["seconds"]["student"].pop(), "not as many samples of each subject"),
        (lambda t: t["launches"][0]["seconds"].update(student=[-1.0] * 500), "seconds: not"),
        (lambda t: t.update(pair="other"), "holds the timing of timings/classification/other"),
        (lambda t: t.update(launches=[]), "launches: some, or the reason why there are none"),
    ],
)
def test_a_timing_that_cannot_be_used_is_named_and_taken_again(
    change: Callable[[Any], object], reason: str, out: Path, cli: Run
) -> None:
    path = out / PLACE / "eager-batch-1.json"
    edit(path, change)
    table = cli("table", out)
    assert table.returncode == 0
    assert f"left out: {path}" in table.stdout
    assert reason in table.stdout
    done = cli("time", out, *QUICK)
    assert done.returncode == 0, done.stderr
    assert not timings.scan(out).problems


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["smoke", "--backends", "onnxrutime"], "--backends: unknown name 'onnxrutime'; did you mean 'onnxruntime'?"),
        (
            ["smoke", "--precisions", "int8-statc"],
            "--precisions: unknown name 'int8-statc'; did you mean 'int8-static'?",
        ),
        (["smoke", "--backends", "eager", "--precisions", "int8-static"], "eager supports none of int8-static"),
        (["smoke", "--batch", "0"], "--batch: invalid batch size 0"),
        (["smoke", "--batch", "x"], "--batch: invalid batch size 'x'"),
        (["smoke", "--task", "gann"], "did you mean 'gan'"),
        (["smoke", "--output", "x.md"], "--output: needs --format"),
        (["smoke", "--device", "cuda"], "torch sees no CUDA device"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, cli: Run, tmp_path: Path) -> None:
    done = cli("time", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir()), "nothing was written"


def test_a_folder_without_students_is_refused(tmp_path: Path, cli: Run) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no records" in cli("time", tmp_path / "empty").stderr
    (tmp_path / "empty/records").mkdir()
    done = cli("time", tmp_path / "empty")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "holds no finished student" in done.stderr


# -- its parts ------------------------------------------------------------------------------------------------------


def test_a_backend_has_only_the_precisions_that_it_can() -> None:
    found = conditions(["eager", "onnxruntime"], ["float32", "bfloat16", "int8-static"], [1, 8], 2, "cpu")
    assert {condition.name for condition in found} == {
        f"{way}-batch-{size}-threads-2"
        for way in ("eager", "eager-bfloat16", "onnxruntime", "onnxruntime-int8-static")
        for size in (1, 8)
    }
    assert len({condition.name for condition in found}) == len(found)


def test_networks_that_take_another_time_are_other_architectures(tmp_path: Path) -> None:
    found = targets(load("quick").pairs, tmp_path)
    assert len(found) == len(load("quick").pairs)
    assert len({target.student for target in found}) == len(found)
    trained_otherwise = load("quick", ["tasks.denoising.student.steps=9", "tasks.denoising.batch_size=4"])
    same = targets(trained_otherwise.pairs, tmp_path)
    assert {t.student for t in same} == {t.student for t in found}


def launch(teacher: float, student: float, count: int = 10, **more: float) -> Launch:
    seconds: dict[Any, Any] = {"teacher": (teacher,) * count, "student": (student,) * count}
    seconds |= {name: (value,) * count for name, value in more.items()}
    return Launch(seconds=seconds, loops=dict.fromkeys(seconds, 1), stopped_by="width")


def timing(*launches: Launch, **more: Any) -> Timing:
    fields: dict[str, Any] = {
        "task": "denoising", "pair": "dncnn", "condition": Condition(), "teacher": "t", "student": "s",
        "input_shape": (1, 1, 8, 8), "launches": launches,
    }  # fmt: skip
    return Timing(**fields | more)


@pytest.mark.parametrize(
    ("count", "half_width", "suffice"),
    [(2, 0.0, False), (3, 0.02, True), (3, 0.03, False), (8, 0.03, False), (9, 0.03, True), (3, math.nan, True)],
)
def test_what_varies_takes_more_launches(count: int, half_width: float, suffice: bool) -> None:
    speedup = Ratio(5.0, 5.0 * (1 - half_width), 5.0 * (1 + half_width))
    assert LaunchLimits().suffice(count, speedup) == suffice
    assert LaunchLimits(2, 2).suffice(count, speedup)


def test_a_time_of_a_file_that_was_quantised_in_another_way_is_taken_again(tmp_path: Path) -> None:
    target = Target(pair("denoising"), "t", "s", (1, 1, 8, 8))
    static, full = Condition(backend="onnxruntime", precision="int8-static"), Condition(backend="onnxruntime")
    for condition, quantisation in ((static, exports.QUANTISATION), (full, None)):
        made = timing(*[launch(2, 1)] * 3, condition=condition, quantisation=quantisation, environment=environment())
        timings.write(tmp_path, made)
    assert timing_plan([target], [static, full], LaunchLimits(3, 3), tmp_path).finished == 2
    timings.write(tmp_path, timing(*[launch(2, 1)] * 3, condition=static, environment=environment()))
    state = timing_plan([target], [static, full], LaunchLimits(3, 3), tmp_path)
    assert state.finished == 1
    assert state.stale[0].endswith("its file was quantised in another way")


def test_what_a_process_frees_it_keeps() -> None:
    """Otherwise what else a launch has done decides how long a pass of a network with large activations takes."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("of glibc alone")
    program = """
import sys
from pathlib import Path
import numpy as np
from distillbench.bench.measure.memory import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

if sys.argv[1] == "keep":
    keep_freed_memory()
before = resident()
np.ones(8_000_000)
print((resident() - before) * 4096 > 60_000_000)
"""
    said = [finish([sys.executable, "-c", program, way]).stdout.strip() for way in ("keep", "not")]
    assert said == ["True", "False"]


def test_intervals_are_over_launches_and_a_speedup_is_paired_within_them() -> None:
    found = timing(launch(4e-3, 2e-3), launch(8e-3, 4e-3), launch(2e-3, 1e-3))
    speedup, times = found.speedup(), found.times("student")
    assert speedup is not None
    assert times is not None
    assert (speedup.value, speedup.low, speedup.high) == pytest.approx((2, 2, 2)), "what both share cancels"
    assert times.value == pytest.approx(2e-3)
    half = 4.302652729911275 * math.log(2) / math.sqrt(3)  # t with 2 degrees of freedom
    assert times.high == pytest.approx(2e-3 * math.exp(half))
    single = timing(launch(4e-3, 2e-3)).speedup()
    assert single is not None
    assert (single.value, math.isnan(single.low)) == (pytest.approx(2), True)
    assert found.speedup("eager") is None


def test_percentiles_are_said_from_so_many_samples_on() -> None:
    assert timing(launch(2, 1, 63)).percentile("student", 90) is None
    assert timing(launch(2, 1, 32), launch(2, 1, 32)).percentile("student", 90) == 1
    assert timing(launch(2, 1, 661)).percentile("student", 99) is None
    assert timing(launch(2, 1, 662)).percentile("student", 99) == 1


def test_a_timing_has_times_or_a_reason() -> None:
    with pytest.raises(ValidationError, match="some, or the reason"):
        timing()
    with pytest.raises(ValidationError, match="some, or the reason"):
        timing(launch(2, 1), unavailable="no C++ compiler")
    assert timing(unavailable="no C++ compiler").speedup() is None


def test_what_quantisation_costs_is_paired_by_seed_and_item() -> None:
    noise = np.random.default_rng(0).normal(30, 3, (3, 6))
    change = np.array([-0.1, -0.2, -0.3])[:, None] + np.linspace(-0.01, 0.01, 6)
    names = tuple(f"p{i}" for i in range(6))
    records, made = [], []
    for seed in range(3):
        values, less = noise[seed].round(4), (noise[seed] + change[seed]).round(4)
        config = {"task": "denoising", "role": "student", "method": "scratch", "seed": seed, "code": "c"}
        record = Record(
            kind="student", status="finished", task="denoising", pair="dncnn", label="scratch", seed=seed,
            teacher_seed=0, teachers="shared", primary_metric="psnr", config=config, config_hash=canonical_hash(config),
            weights_sha256="w", metrics={"psnr": MetricValue(value=values.mean(), direction="higher", unit="dB")},
            example_names=names, examples={"psnr": tuple(values)},
        )  # fmt: skip
        small = Artefact(bytes=1, metrics={"psnr": less.mean()}, examples={"psnr": tuple(less)})
        export_ = Export(
            task="denoising", pair="dncnn", label="scratch", seed=seed, weights_sha256="w",
            config_hash=record.config_hash, artefacts={"int8-static": small},
        )  # fmt: skip
        records.append(record)
        made.append(export_)
    static = timing(launch(2, 1, eager=3), condition=Condition(backend="onnxruntime", precision="int8-static"))
    (table,) = tabulate_timings([static], records, made)
    quality = table.rows[-1].quality_change
    assert quality is not None
    assert quality.interval.mean == pytest.approx(-0.2, abs=1e-3)
    assert 0.1 < quality.interval.half_width < 0.5, "other pictures do not matter: they cancel"
    assert "-0.200 ±" in markdown(tables([table]))
    stranger = [export.model_copy(update={"weights_sha256": "x"}) for export in made]
    (table,) = tabulate_timings([static], records, stranger)
    assert table.rows[-1].quality_change is None
    assert any("no student was exported so" in note for note in table.notes)


def test_memory_is_what_a_fresh_process_grows_by() -> None:
    def make(size: int) -> Callable[[], Callable[[], object]]:
        def made() -> Callable[[], object]:
            kept = np.ones(size, np.uint8)
            return lambda: kept[::4096].sum()

        return made

    small, large = resident_growth(make(1000)), resident_growth(make(64_000_000))
    assert small is not None
    assert large is not None
    assert 64_000_000 <= large < 80_000_000
    assert small < 10_000_000

    def wasteful() -> Callable[[], object]:
        assert np.ones(64_000_000, np.uint8)[::4096].sum() > 0  # to make it ready, and gone
        return lambda: None

    waste = resident_growth(wasteful)
    assert waste is not None
    assert waste < 10_000_000

    def fail() -> Callable[[], object]:
        raise MemoryError

    assert resident_growth(fail) is None


def test_memory_does_not_count_what_only_making_needs_where_a_process_keeps_what_it_frees() -> None:
    program = """
import numpy as np
from distillbench.bench.measure.memory import keep_freed_memory, resident_growth

def wasteful():
    assert np.ones(64_000_000, np.uint8)[::4096].sum() > 0
    return lambda: None

keep_freed_memory()
print(resident_growth(wasteful))
"""
    done = finish([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 10_000_000


def test_energy_is_that_of_the_counter_over_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    asked: list[str] = []
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: asked.append(uuid),
        nvmlDeviceGetTotalEnergyConsumption=lambda _: 5000 + 20 * len(calls),  # millijoules
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="abc"))
    found = joules_per_call(lambda: calls.append(1), "cuda", clock=lambda: len(calls) / 100)
    assert found == pytest.approx(0.02)
    assert len(calls) >= 200
    assert asked == ["GPU-abc"]
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert joules_per_call(lambda: None, "cuda") is None


@pytest.mark.parametrize("kind", ["int8-dynamic", "int8-static"])
def test_a_quantised_network_is_smaller_and_nearly_the_same(kind: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    inputs = torch.rand(32, 64)
    full = export(model, inputs[:1], [inputs]).content
    small = quantise(full, kind, [inputs.numpy()])
    assert len(small) < 0.5 * len(full)
    wanted = model(inputs).detach().numpy()
    found = session(small).run(None, {INPUT: inputs.numpy()})[0]
    assert 0 < np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    subject = prepare("onnxruntime", model, inputs, 1, kind, lambda: small)
    assert not isinstance(subject, NotAvailable)
    np.testing.assert_array_equal(np.asarray(subject.call())[0], found)


def test_half_precision_is_that_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    model, example = nn.Linear(8, 4), torch.zeros(1, 8)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    subject = prepare("eager", model, example, precision="bfloat16")
    assert not isinstance(subject, NotAvailable)
    output: Any = subject.call()
    assert output.dtype == torch.bfloat16

    class Single(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.dtype == torch.bfloat16:
                raise NotImplementedError("not implemented for 'BFloat16'")
            return x

    reason = "cannot be run (NotImplementedError: not implemented for 'BFloat16')"
    assert prepare("eager", Single(), example, precision="bfloat16") == NotAvailable(reason)
    assert obstacle("eager", "float16", "cpu") == "this processor has no float16 arithmetic"
    with pytest.raises(UserError, match="backend 'eager' does not support precision 'int8-static'"):
        obstacle("eager", "int8-static", "cpu")
