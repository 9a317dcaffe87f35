"""What must hold before a run starts, and what a job checks where it runs."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from distillbench.bench.run.job_graph import job_graph
from distillbench.bench.run.jobs import execute, same_data
from distillbench.bench.run.plan import plan
from distillbench.bench.run.preconditions import check_device_and_folders
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import UserError
from distillbench.tasks.classification import Classification
from support.processes import Run, refused


def test_a_limit_of_memory_that_leaves_no_room_is_refused(cli: Run, tmp_path: Path) -> None:
    options = ("--task", "classification", "--out", tmp_path)
    refused(
        cli("run", "smoke", *options, "--job-memory", "0.1"),
        "--job-memory: 0.1 GB are less than classification/cnn_mlp needs (allowed: from about 0.5)",
    )
    wide = ("--set", "tasks.classification.teacher.network.width=4096")
    refused(
        cli("run", "smoke", *options, *wide, "--job-memory", "1"), "--job-memory: 1 GB are less than classification/"
    )


def test_a_file_system_that_cannot_rename_in_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(path: Path, target: Any) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    suite = load("smoke")
    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(UserError) as error:
        check_device_and_folders(suite, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: its file system cannot rename a file to another in its place (Operation not supported), "
        "as results are written"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_the_device_is_looked_for_where_the_jobs_run(tmp_path: Path) -> None:
    suite = load("smoke", device="cuda")
    check_device_and_folders(suite, tmp_path, elsewhere=True)
    with pytest.raises(UserError, match="torch sees no CUDA device"):
        check_device_and_folders(suite, tmp_path)


def test_a_machine_with_other_data_does_no_job(
    tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(load(tiny_suite), tmp_path)
    job = next(job for job in job_graph(planned).jobs if job.kind == "baseline")
    assert execute(job, lambda step, steps: None)
    same_data.cache_clear()
    monkeypatch.setattr(Classification, "data_identity", classmethod(lambda cls, settings: {"name": "others"}))
    try:
        with pytest.raises(RuntimeError, match="the data are others than those that the run was planned with"):
            execute(job, lambda step, steps: None)
    finally:
        same_data.cache_clear()
