"""The order of jobs, by the estimate of what they take."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillbench.bench.run.estimate import longest_first
from distillbench.bench.run.jobs import Job
from distillbench.bench.suite.resolve import load


def test_what_the_most_work_waits_for_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    (pair,) = load("smoke", tasks=["vae"]).pairs
    seconds = {"teacher a": 9.0, "group a": 1.0, "teacher b": 2.0, "group b": 20.0, "baselines": 3.0}
    monkeypatch.setattr("distillbench.bench.run.estimate.seconds_of", lambda job: seconds[job.id])

    def job(id_: str, *needs: str) -> Job:
        return Job(id_, "group", pair, (), "shared", Path(), Path(), needs)

    jobs = [job("teacher a"), job("group a", "teacher a"), job("teacher b"), job("group b", "teacher b")]
    found = [job.id for job in longest_first([*jobs, job("baselines")])]
    assert found == ["teacher b", "group b", "teacher a", "baselines", "group a"]
