"""Tables from records written by hand: every rule of the table, against a golden file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from bench.records import Failure, Latency, MetricValue, Record, Size
from bench.report.summary import Expected, summarise
from bench.report.tables import latex, markdown, numbers

GOLDEN = Path(__file__).parent / "golden"
STUDENTS = {
    "scratch": [80.0, 82.0, 81.0],
    "good": [85.0, 87.2, 86.1],
    "noise": [79.0, 83.5, 81.2],
}


def record(
    kind: Literal["student", "teacher", "reference"], label: str, seed: int, value: float | None, **more: Any
) -> Record:
    small = kind == "student"
    metrics = {}
    if value is not None:
        metrics["accuracy"] = MetricValue(value=value, direction="higher", unit="%")
        if kind != "reference":
            metrics["nll"] = MetricValue(value=1 - value / 100, direction="lower", unit="nats", decimals=3)
    parameters, macs, seconds = (9610, 9472, 2e-5) if small else (75_434, 1_503_232, 2e-4)
    size = Size(parameters=parameters, macs=macs, bytes=4, input_shape=(1, 1, 8, 8))
    latency = Latency(
        median=seconds, lower_quartile=0, upper_quartile=0, runs=50, batch_size=1, threads=1, device="cpu"
    )  # fmt: skip
    return Record(
        kind=kind,
        status="finished" if value is not None else "failed",
        task="classification",
        pair="cnn_mlp",
        label=label,
        seed=seed,
        teacher_seed=0,
        teachers="shared",
        headline="accuracy",
        config={},
        config_hash="0" * 64,
        metrics=metrics,
        size=None if kind == "reference" or value is None else size,
        latency=None if kind == "reference" else latency,
        **more,
    )


def records(teacher: float = 90.0) -> list[Record]:
    made = [record("teacher", "teacher", 0, teacher), record("reference", "nearest centroid", 0, 70.0)]
    made += [record("student", label, seed, v) for label, values in STUDENTS.items() for seed, v in enumerate(values)]
    made.append(record("student", "broken", 0, None, failure=Failure(reason="RuntimeError: boom")))
    return made


EXPECTED = [Expected("classification", "cnn_mlp", "student", "broken", seed) for seed in range(3)]


@pytest.mark.parametrize(("name", "write"), [("table.md", markdown), ("table.tex", latex)])
def test_the_golden_table(name: str, write: Any) -> None:
    assert write(summarise(records(), EXPECTED)) == (GOLDEN / name).read_text()


def rows(made: list[Record]) -> dict[str, dict[str, Any]]:
    return {row["method"]: row for row in numbers(summarise(made, EXPECTED))}


def test_gap_recovered_is_the_part_of_the_way_to_the_teacher() -> None:
    found = rows(records())
    assert found["good"]["gap_recovered"] == pytest.approx((86.1 - 81.0) / (90.0 - 81.0))
    assert found["scratch"]["gap_recovered"] is None


@pytest.mark.parametrize("teacher", [81.5, 81.0, 60.0])
def test_no_gap_is_printed_where_the_teacher_does_not_beat_scratch_beyond_noise(teacher: float) -> None:
    # Trap: a teacher may be worse than its student; a fraction of that way means nothing.
    assert rows(records(teacher))["good"]["gap_recovered"] is None


def test_only_a_student_that_beats_all_others_outside_the_interval_is_best() -> None:
    assert [name for name, row in rows(records()).items() if row["best"]] == ["good"]
    close = [r for r in records() if r.label != "good"]
    assert not any(row["best"] for row in rows(close).values())


def test_differences_are_paired_by_seed_over_the_seeds_that_both_have() -> None:
    found = rows([r for r in records() if (r.label, r.seed) != ("scratch", 2)])
    assert found["good"]["difference"] == pytest.approx((5.0 + 5.2) / 2)


def test_what_failed_and_what_is_missing_is_counted() -> None:
    broken = rows(records())["broken"]
    assert (broken["finished"], broken["failed"], broken["missing"]) == (0, 1, 2)


def test_lower_is_better_where_the_metric_says_so() -> None:
    made = []
    for r in records():
        flipped = {k: m.model_copy(update={"direction": "lower", "value": 100 - m.value}) for k, m in r.metrics.items()}
        made.append(r.model_copy(update={"metrics": flipped}))
    assert rows(made)["good"]["best"]
    assert rows(made)["good"]["gap_recovered"] == pytest.approx((86.1 - 81.0) / (90.0 - 81.0))


def test_speedup_is_the_teachers_latency_over_the_students() -> None:
    assert rows(records())["good"]["speedup"] == pytest.approx(10)
    assert rows(records())["nearest centroid"]["speedup"] is None
