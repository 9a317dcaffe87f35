"""The order of jobs, by the estimate of what they take."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillbench.bench.run.estimate import EVALUATION_SECONDS, longest_first, seconds_of
from distillbench.bench.run.job_graph import job_graph
from distillbench.bench.run.jobs import Job
from distillbench.bench.run.plan import plan
from distillbench.bench.suite.resolve import load


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
