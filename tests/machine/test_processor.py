"""Two processors of one name are two: their times, 8-bit qualities and last digits are not compared as one's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from distillbench.bench.analysis.notes import machine_name, origin_notes
from distillbench.bench.analysis.speeds import OTHER_PROCESSOR, tabulate_timings
from distillbench.bench.compare.margins import Margins
from distillbench.bench.compare.results import compare_results
from distillbench.bench.export import exporter
from distillbench.bench.machine import processor
from distillbench.bench.machine.processor import about, description, model_name, same_processor
from distillbench.bench.store import exports, timings
from distillbench.bench.store.records import Store
from support.paths import ROOT
from support.processes import Run

PUBLISHED = ROOT / "results" / "quick"
X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC
stepping\t: 1
flags\t\t: fpu sse avx2 fma constant_tsc

processor\t: 1
model name\t: Second
flags\t\t: avx512f
"""
ARM = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd asimddp i8mm sve
CPU implementer\t: 0x41
CPU variant\t: 0x0
CPU part\t: 0xd4f
CPU revision\t: 1
"""
OLD = {"cpu": "AMD EPYC", "machine": "x86_64", "cores": 2}
NARROW = OLD | {"processor": {"family": "25", "model": "1", "instructions": "avx2 fma", "capability": "AVX2"}}
WIDE = OLD | {"processor": {"family": "25", "model": "17", "instructions": "avx2 avx512_vnni", "capability": "AVX512"}}


def seen(root: Path, text: str) -> dict[str, str]:
    (root / "proc").mkdir()
    (root / "proc" / "cpuinfo").write_text(text)
    return {"cpu": model_name(root), **about(root)}


def test_what_a_name_does_not_say_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert seen(tmp_path, X86) == {
        "cpu": "AMD EPYC",
        "family": "25",
        "model": "1",
        "stepping": "1",
        "instructions": "avx2 fma",
        "capability": "AVX2",
    }


def test_a_processor_without_a_name_is_known_by_its_numbers(tmp_path: Path) -> None:
    found = seen(tmp_path, ARM)
    numbers = {"implementer": "0x41", "variant": "0x0", "part": "0xd4f", "revision": "1"}
    assert numbers.items() <= found.items()
    assert found["instructions"] == "asimddp i8mm sve"


def test_where_the_system_says_nothing_torch_does(tmp_path: Path) -> None:
    assert about(tmp_path) == {"capability": torch.backends.cpu.get_cpu_capability()}
    assert processor.instructions(["sse"]) == "none"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (OLD, dict(OLD), True),
        (OLD, OLD | {"cores": 64, "governor": "powersave"}, True),
        (OLD, OLD | {"cpu": "Xeon"}, False),
        (OLD, NARROW, False),
        (NARROW, json.loads(json.dumps(NARROW)), True),
        (NARROW, WIDE, False),
        (NARROW, NARROW | {"processor": NARROW["processor"] | {"capability": "DEFAULT"}}, False),  # type: ignore[operator]
        ({}, {}, True),
    ],
)
def test_processors_are_the_same_where_all_that_is_said_of_them_is(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    assert same_processor(one, other) is same_processor(other, one) is same


def test_readers_tell_two_of_one_name_apart() -> None:
    assert machine_name(OLD) == "2 cores of AMD EPYC"
    assert machine_name(NARROW) == "2 cores of AMD EPYC (family 25, model 1; AVX2)"
    assert (
        machine_name(WIDE | {"quota": 1.5})
        == "2 cores (time of 1.5 cores) of AMD EPYC (family 25, model 17; AVX512, VNNI)"
    )
    assert description({}) == "unknown"
    record = next(iter(Store(PUBLISHED)))
    made = [record.model_copy(update={"environment": each}) for each in (NARROW, WIDE)]
    assert f"made on several machines: {machine_name(NARROW)}; {machine_name(WIDE)}" in origin_notes(made)


@pytest.fixture(scope="module")
def quick() -> tuple[list[Any], list[Any], list[Any]]:
    """Timings, students and exports of one pair, all of one processor."""

    def of(found: Any) -> list[Any]:
        return [each for each in found if each.task == "denoising"]

    made = [of(timings.scan(PUBLISHED).documents), of(Store(PUBLISHED)), of(exports.scan(PUBLISHED).documents)]
    timed, students, converted = ([e.model_copy(update={"environment": WIDE}) for e in each] for each in made)
    return timed, students, converted


def test_8_bit_quality_stands_beside_times_of_its_processor_alone(quick: tuple[list[Any], ...]) -> None:
    timed, students, converted = quick
    (here,) = tabulate_timings(timed, students, converted)
    assert any(row.quality_change for row in here.rows)
    (there,) = tabulate_timings(
        timed, students, [each.model_copy(update={"environment": NARROW}) for each in converted]
    )
    assert not any(row.quality_change for row in there.rows)
    assert any(OTHER_PROCESSOR in note for note in there.notes)
    assert f"timed on {description(WIDE)}, 1 thread" in there.notes


def test_students_are_quantised_again_where_they_were_on_another_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: tuple[list[Any], ...]
) -> None:
    _, students, converted = quick
    student = next(record for record in students if record.kind == "student")
    export = next(each for each in converted if each.is_of(student))
    Store(tmp_path).write(student.path, student)
    monkeypatch.setattr(exporter, "environment", lambda: WIDE)
    for where, again in ((WIDE, 0), (NARROW, 1), (OLD, 1)):
        exports.write(tmp_path, export.model_copy(update={"environment": where}))
        assert len(exporter.unexported([student], ["int8-dynamic"], tmp_path)) == again


def test_the_gate_compares_times_of_one_processor_and_says_where_qualities_are_of_two(
    tmp_path: Path, quick: tuple[list[Any], ...]
) -> None:
    timed, students, _ = quick
    for side, where in (("old", OLD), ("narrow", NARROW), ("wide", WIDE)):
        for record in students:
            Store(tmp_path / side).write(record.path, record.model_copy(update={"environment": where}))
        for timing in timed:
            timings.write(tmp_path / side, timing.model_copy(update={"environment": where}))
    for other in ("old", "narrow"):
        report = compare_results(tmp_path / other, tmp_path / "wide", Margins())
        times = [finding for finding in report.findings if finding.metric.startswith(("speedup", "latency"))]
        assert {finding.outcome for finding in times if finding.outcome != "missing"} == {"incomparable"}
        assert any("environment.processor" in finding.reason for finding in times)
        assert any(note.startswith("metrics were measured on several processors") for note in report.notes)
    same = compare_results(tmp_path / "wide", tmp_path / "wide", Margins())
    assert not any("processors" in note for note in same.notes)


@pytest.mark.parametrize(
    ("cpu", "said"),
    [
        ({"brand_raw": "AMD EPYC", "flags": ["avx2", "fma", "constant_tsc"]}, "pass"),
        (
            {"brand_raw": "AMD EPYC", "flags": ["avx2", "avx512f", "fma"]},
            "machine_info.cpu.flags: 'avx2 avx512f fma' and",
        ),
        ({"brand_raw": "AMD EPYC", "flags": ["avx2", "fma"], "stepping": 2}, "machine_info.cpu.stepping"),
    ],
)
def test_benchmarks_of_one_name_are_of_one_processor(cli: Run, tmp_path: Path, cpu: dict[str, Any], said: str) -> None:
    for side, its in (("a", {"brand_raw": "AMD EPYC", "flags": ["fma", "avx2"]}), ("b", cpu)):
        (tmp_path / side).mkdir()
        for i in range(3):
            timed = [{"fullname": "t.py::test_step", "stats": {"median": 1 + i / 1000}}]
            text = json.dumps({"machine_info": {"cpu": its}, "benchmarks": timed})
            (tmp_path / side / f"{i}.json").write_text(text)
    assert said in cli("compare", tmp_path / "a", tmp_path / "b").stdout
