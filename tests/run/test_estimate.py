"""Which jobs there are, and their order by the estimate of what they take."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillbench.bench.run import estimate
from distillbench.bench.run.estimate import EVALUATION_SECONDS, longest_first, seconds_of
from distillbench.bench.run.job_graph import job_graph
from distillbench.bench.run.jobs import Job
from distillbench.bench.run.plan import plan
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.resolve import Suite, load
from distillbench.methods.base import Method
from distillbench.methods.cross_model import CrossModel
from distillbench.methods.hard_labels import HardLabels
from distillbench.methods.label_smoothing import LabelSmoothing
from distillbench.methods.mimic import Mimic
from distillbench.methods.random_teacher import RandomTeacher
from distillbench.methods.scratch import Scratch
from distillbench.methods.scratch_long import ScratchLong
from distillbench.methods.self_teacher import SelfTeacher


def test_a_teacher_that_pairs_share_is_trained_and_counted_once(tmp_path: Path) -> None:
    narrow = {"student": {"network": {"hidden": [8]}}}
    suite = load(
        {"methods": ["scratch"], "tasks": {"vae": {"pairs": ["mlp_256_16", "narrow"], "pair": {"narrow": narrow}}}}
    )
    first, second = (job for job in job_graph(plan(suite, tmp_path)).jobs if job.kind == "teacher")
    assert second.needs[-1] == first.id
    assert seconds_of(second) == EVALUATION_SECONDS < seconds_of(first)


def test_what_the_most_work_waits_for_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    (pair,) = load("smoke", tasks=["vae"]).pairs
    seconds = {"teacher a": 9.0, "group a": 1.0, "teacher b": 2.0, "group b": 20.0, "baselines": 3.0}
    monkeypatch.setattr("distillbench.bench.run.estimate.seconds_of", lambda job: seconds[job.id])

    def job(id_: str, *needs: str) -> Job:
        return Job(id_, "group", pair, (), "shared", Path(), Path(), needs)

    jobs = [job("teacher a"), job("group a", "teacher a"), job("teacher b"), job("group b", "teacher b")]
    found = [job.id for job in longest_first([*jobs, job("baselines")])]
    assert found == ["teacher b", "group b", "teacher a", "baselines", "group a"]


STEP = {"teacher": 9.0, "student": 1.0}
"""Seconds of a step, by role."""


def training_seconds(method: Method, monkeypatch: pytest.MonkeyPatch, *settings: str, steps: int = 10) -> float:
    """Of a group of this method's student alone, without its evaluation."""
    monkeypatch.setattr(estimate, "step_seconds", lambda pair, role, cache: STEP[role])
    fields = ("batch_size=8", f"student.steps={steps}", "teacher.steps=30", *settings)
    (pair,) = load("smoke", [f"tasks.classification.{field}" for field in fields], ["classification"]).pairs
    cell = Cell("student", pair, "its", 0, 0, method)
    job = Job("students", "group", pair, (cell,), "shared", Path(), Path())
    return estimate.seconds_of(job) - estimate.EVALUATION_SECONDS


@pytest.mark.parametrize(
    ("method", "alone", "with_transfer"),
    [
        (Scratch(), 10, 10),
        (ScratchLong(), 30, 30),
        (LabelSmoothing(), 10, 10),
        (Mimic(), 10 + 10 * 3, 3 * (10 + 10 * 3)),
        (RandomTeacher(), 10 + 10 * 3, 3 * (10 + 10 * 3)),
        (SelfTeacher(), 10 + 10 / 3, 3 * (10 + 10 / 3)),
        (CrossModel(), 10 + 10 * 3 + 30 * 9, 3 * (10 + 10 * 3) + 30 * 9),
        (CrossModel(mutual=True), 10 + 10 * 12 + 30 * 9, 3 * (10 + 10 * 12) + 30 * 9),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_student_costs_its_steps_its_rows_and_what_its_teacher_answers(
    method: Method, alone: float, with_transfer: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer takes a third of a step; here two rows of three are of the transfer set."""
    assert training_seconds(method, monkeypatch) == pytest.approx(alone)
    assert training_seconds(method, monkeypatch, "transfer=50", "transfer_batch=16") == pytest.approx(with_transfer)


def test_a_teacher_beside_a_student_of_more_steps_trains_for_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert training_seconds(CrossModel(), monkeypatch, steps=40) == pytest.approx(40 + 40 * 3 + 40 * 9)


def test_all_who_look_at_one_teacher_share_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "step_seconds", lambda pair, role, cache: STEP[role])
    (pair,) = load("smoke", tasks=["classification"]).pairs
    methods = {"a": Mimic(), "b": HardLabels(), "c": SelfTeacher(), "d": Scratch()}
    cells = tuple(Cell("student", pair, name, 0, 0, method) for name, method in methods.items())
    seconds = estimate.seconds_of(Job("students", "group", pair, cells, "shared", Path(), Path()))
    steps = 3
    assert seconds == pytest.approx(4 * estimate.EVALUATION_SECONDS + steps * (4 * 1 + 9 / 3 + 1 / 3))


def test_jobs_of_teachers_cost_their_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "step_seconds", lambda pair, role, cache: STEP[role])
    (pair,) = load("smoke", tasks=["classification"]).pairs
    cost = {
        kind: estimate.seconds_of(Job(kind, kind, pair, (), "shared", Path(), Path())) - estimate.EVALUATION_SECONDS
        for kind in ("teacher", "self teacher")
    }
    assert cost == {"teacher": 4 * 9.0, "self teacher": 3 * 1.0}


# -- which jobs there are ------------------------------------------------------------------------------------------


def jobs_of(tmp_path: Path, suite: Suite) -> dict[str, Job]:
    return {job.id: job for job in job_graph(plan(suite, tmp_path)).jobs}


def test_students_of_self_teachers_are_a_job_that_nobody_else_waits_for(tmp_path: Path) -> None:
    suite = load("smoke", ["teachers='per-seed'"], ["classification"], ["scratch", "mimic", "self_teacher"])
    jobs = jobs_of(tmp_path, suite)
    for seed in (0, 1):
        name = f"classification/cnn_mlp seed {seed}"
        own, others = jobs[f"students {name}, of self teachers"], jobs[f"students {name}"]
        assert [cell.label for cell in own.cells] == ["self_teacher"]
        assert [cell.label for cell in others.cells] == ["scratch", "mimic"]
        assert set(own.needs) == {f"teacher {name}", f"self teacher {name}"}
        assert others.needs == (f"teacher {name}",)
        assert (jobs[f"self teacher {name}"].kind, jobs[f"self teacher {name}"].teacher_seed) == ("self teacher", seed)


def test_a_shared_self_teacher_is_trained_once_for_all_seeds_and_pairs(tmp_path: Path) -> None:
    pairs = {"a": {}, "b": {"teacher": {"network": {"width": 8}}}}
    table = {
        "methods": ["self_teacher"],
        "seeds": [0, 1],
        "tasks": {"classification": {"pairs": ["a", "b"], "pair": pairs}},
    }
    pairs["a"] = {"teacher": {"network": {"width": 4}}}
    jobs = jobs_of(tmp_path, load(table))
    assert [job.id for job in jobs.values() if job.kind == "self teacher"] == ["self teacher classification/a seed 0"]
    groups = [job for job in jobs.values() if job.kind == "group"]
    assert len(groups) == 4
    assert all("self teacher classification/a seed 0" in job.needs for job in groups)
    assert len([job for job in jobs.values() if job.kind == "teacher"]) == 2


def test_without_a_student_that_learns_from_it_no_self_teacher_is_trained(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, load("smoke", [], ["classification"], ["scratch", "mimic"]))
    assert {job.kind for job in jobs.values()} == {"baseline", "teacher", "group"}
