"""A row is one configuration: records of several are several rows, each compared with what is of its own."""

from __future__ import annotations

from typing import Any

import pytest

from distillbench.bench.analysis.rows import Summary
from distillbench.bench.analysis.summary import summarise
from distillbench.bench.report.summaries import tables
from distillbench.bench.report.writers import markdown
from distillbench.bench.store.configurations import groups, plain
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.manifest import ExpectedCell
from distillbench.bench.store.records import Record
from support.records import config_of, record, rows


def student(label: str, seed: int, value: float, **config: Any) -> Record:
    return record("student", label, seed, value, config_of("student", label, seed, **config))


def teacher(seed: int = 0, value: float = 90.0, **more: Any) -> Record:
    return record("teacher", "teacher", seed, value, config_of("teacher", "teacher", seed), **more)


def summary_of(members: list[Record], expected: list[ExpectedCell] | None = None) -> Summary:
    (summary,) = summarise(members, expected or [])
    return summary


def names(members: list[Record]) -> list[str]:
    return [row.name for row in summary_of(members).rows]


TWICE = [
    teacher(),
    *(student("scratch", seed, 80.0 + seed) for seed in (0, 1, 2)),
    *(student("mimic", seed, 82.0 + seed) for seed in (0, 1, 2)),
    *(student("scratch", seed, 50.0 + seed, rate=0.5) for seed in (3, 4)),
    *(student("mimic", seed, 57.0 + seed, rate=0.5) for seed in (3, 4)),
]


def test_two_configurations_are_two_rows_each_compared_with_its_own_scratch() -> None:
    found = rows(TWICE)
    old, new = "mimic (student.learning_rate 0.01)", "mimic (student.learning_rate 0.5)"
    assert [found[name]["finished"] for name in (old, new)] == [3, 2]
    assert found[old]["accuracy"] == pytest.approx(83.0)
    assert found[old]["difference"] == pytest.approx(2.0)
    assert found[new]["difference"] == pytest.approx(7.0)
    assert found[old]["gap_recovered"] == pytest.approx(2 / 9)
    assert found[new]["gap_recovered"] == pytest.approx(7 / 36.5)


def test_what_cannot_be_compared_is_blank_and_the_reason_stands_beneath() -> None:
    summary = summary_of([*TWICE, student("cosine", 0, 99.0, rate=0.7)])
    found = {row.name: row for row in summary.rows}
    assert found["cosine"].difference is None
    assert found["teacher"].difference is None
    assert not any(row.best for row in summary.rows)
    assert "cnn_mlp: no Δ for cosine: no scratch row has the same student.learning_rate" in summary.notes
    assert "cnn_mlp: no Δ for teacher: there are several scratch rows" in summary.notes
    assert "cnn_mlp: no row is marked as the best method: the methods have several configurations" in summary.notes


def test_hyperparameters_make_rows_and_share_scratch() -> None:
    made = [student("scratch", seed, 80.0 + seed) for seed in (0, 1)]
    made += [student("mimic", seed, 85.0 + seed, hyperparameters={"weight": 1.0}) for seed in (0, 1)]
    made += [student("mimic", seed, 75.0 + seed, hyperparameters={"weight": 0.25}) for seed in (2,)]
    made += [student("scratch", 2, 82.0)]
    found = rows(made)
    assert found["mimic (weight 1)"]["difference"] == pytest.approx(5.0)
    assert found["mimic (weight 0.25)"]["difference"] == pytest.approx(-5.0)
    text = markdown(tables(summarise(made)))
    assert "- cnn_mlp: mimic (weight 1) weight 1; mimic (weight 0.25) weight 0.25\n" in text


def test_edited_code_is_another_configuration() -> None:
    made = [student("mimic", 0, 80.0), student("mimic", 1, 81.0, code="d" * 64, method_code="e" * 64)]
    assert names(made) == [
        "mimic (code cccccccccccc…, method_code mmmmmmmmmmmm…)",
        "mimic (code dddddddddddd…, method_code eeeeeeeeeeee…)",
    ]


def per_seed(label: str, seed: int, value: float) -> Record:
    config = config_of("student", label, seed, teacher_seed=seed)
    return record("student", label, seed, value, config, teacher_seed=seed, teachers="per-seed")


def test_teachers_one_a_seed_are_one_row_and_each_student_has_its_own() -> None:
    made = [teacher(seed, 90.0 + seed) for seed in (0, 1, 2)]
    made += [per_seed("scratch", seed, 80.0 + 0.5 * seed) for seed in (0, 1, 2)]
    made += [per_seed("mimic", seed, 85.0 + 0.6 * seed) for seed in (0, 1, 2)]
    assert names(made) == ["teacher", "scratch", "mimic"]
    found = rows(made)
    assert found["teacher"]["difference"] == pytest.approx(10.5)
    assert found["mimic"]["gap_recovered"] == pytest.approx(5.1 / 10.5)
    assert not any("one teacher for all seeds" in note for note in summary_of(made).notes)


def test_a_seed_whose_teacher_is_its_own_and_the_shared_one_is_no_other_configuration() -> None:
    """Seed 0 is the same cell with shared teachers and with teachers per seed: a second run leaves it as it is."""
    shared = [student("mimic", seed, 80.0) for seed in (1, 2)]
    assert names([per_seed("mimic", 0, 80.0), *shared]) == ["mimic"]
    assert names([student("mimic", 0, 80.0), *(per_seed("mimic", seed, 80.0) for seed in (1, 2))]) == ["mimic"]


def test_shared_and_own_teachers_do_not_mix() -> None:
    made = [student("mimic", seed, 80.0) for seed in (0, 1)] + [per_seed("mimic", 2, 80.0)]
    hash_ = canonical_hash(config_of("teacher", "teacher", 0))[:12]
    assert names(made) == [f"mimic (teacher {hash_}…)", "mimic (teacher per-seed)"]


def test_a_teacher_that_no_student_had_is_compared_with_none() -> None:
    made = [record("teacher", "teacher", 0, 99.0, config_of("teacher", "teacher", 0, settings={"steps": 7}))]
    made += [student(label, seed, 80.0 + seed) for label in ("scratch", "mimic") for seed in (0, 1)]
    summary = summary_of(made)
    assert summary.rows[0].difference is None
    assert {row.speedup for row in summary.rows if row.kind == "student"} == {None}
    assert "cnn_mlp: no Δ for teacher: no scratch row had this teacher" in summary.notes


def test_what_is_missing_of_one_of_several_configurations_has_a_row_of_its_own() -> None:
    expected = [ExpectedCell("classification", "cnn_mlp", "student", "mimic", seed) for seed in range(7)]
    summary = summary_of(TWICE, expected)
    assert {row.name: row.missing for row in summary.rows if row.missing} == {"mimic": 2}


def test_names_tell_configurations_apart_where_many_fields_differ() -> None:
    made = [
        student("mimic", seed, 80.0, settings={letter: seed // 2 if letter == "z" else 1 for letter in "abcdz"})
        if seed < 2
        else student("mimic", seed, 80.0, settings={letter: 2 + (letter == "z") * seed for letter in "abcdz"})
        for seed in range(4)
    ]
    assert len(set(names(made))) == len(names(made)) == 3


def test_values_that_differ_are_shown_to_differ() -> None:
    assert plain(0.001) == "0.001"
    assert plain(1.0) == "1"
    assert plain(0.0010000001) == "0.0010000001"


def test_every_record_is_in_one_group() -> None:
    found = [r for group in groups(TWICE) for r in group.records]
    assert sorted(r.config_hash for r in found) == sorted(r.config_hash for r in TWICE)


# -- where they were made ---------------------------------------------------------------------------------------


HERE = {"cpu": "Slow", "cores": 2, "python": "3.11", "libraries": {"torch": "2.11"}}
THERE = {"cpu": "Fast", "cores": 64, "gpu": "Big", "python": "3.12", "libraries": {"torch": "2.12"}}


def test_several_origins_are_named() -> None:
    made = [student("scratch", 0, 80.0).model_copy(update={"environment": HERE, "revision": "a" * 40})]
    assert not any("made" in note for note in summary_of(made).notes)
    made += [student("scratch", 1, 80.0).model_copy(update={"environment": THERE, "revision": "b" * 40 + "-dirty"})]
    assert summary_of(made).notes[-3:] == (
        "made on several machines: 2 cores of Slow; 64 cores of Fast with Big",
        "made with several library versions: Python 3.11, torch 2.11; Python 3.12, torch 2.12",
        "made at several revisions: aaaaaaaaaaaa; bbbbbbbbbbbb-dirty",
    )
