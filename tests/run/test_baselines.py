"""Baselines that need a package of their own, and suites of baselines alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from distillbench.bench.commands.options import console
from distillbench.bench.run.estimate import BASELINE_SECONDS, EVALUATION_SECONDS, seconds_of
from distillbench.bench.run.job_graph import job_graph
from distillbench.bench.run.jobs import execute
from distillbench.bench.run.plan import Plan, plan
from distillbench.bench.store.records import Store
from distillbench.bench.suite.resolve import Suite, load
from distillbench.bench.validate.claimed_suite import claimed_suite
from distillbench.bench.validate.rerun import rerun
from distillbench.bench.validate.submission import read
from distillbench.tasks.data.embedded import photographs

FAKE = '''
"""In the place of the real package: half as much noise."""
class BM3DProfile:
    num_threads = 0
def bm3d(image, sigma, profile):
    assert profile.num_threads == 1 and abs(sigma - 25 / 255) < 1e-9
    return image - 0.5 * (image - image.mean())
'''


@pytest.fixture
def suite(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "test").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "test" / "noise.png")
    return {"methods": [], "tasks": {"denoising": {"data": {"test": str(tmp_path / "test")}}}}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package bm3d."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "bm3d.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    real = sys.modules.pop("bm3d", None)
    yield
    sys.modules.pop("bm3d", None)
    if real is not None:
        sys.modules["bm3d"] = real


def hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no package bm3d be found, whether this machine has one or not."""
    monkeypatch.setattr("distillbench.bench.suite.cells.find_spec", lambda name: None)


def labels(planned: Plan) -> list[str]:
    return [cell.label for cell in planned.cells]


def made(suite: Suite, out: Path) -> Plan:
    """The plan after its jobs were done in this process."""
    planned = plan(suite, out)
    for job in job_graph(planned).jobs:
        for cell, record in zip(job.cells, execute(job, lambda step, steps: None), strict=True):
            Store(out).write(cell.path, record)
    return planned.refreshed()


def test_without_methods_there_are_baselines_alone(
    suite: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch)
    done = made(load(suite), tmp_path / "out")
    assert labels(done) == ["noisy input", "non-local means"]
    assert [record.kind for record in Store(tmp_path / "out")] == ["baseline", "baseline"]


def test_without_its_package_a_baseline_is_left_out_and_said(
    suite: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch)
    planned = plan(load(suite), tmp_path)
    assert "BM3D" not in labels(planned)
    assert planned.reasons("unavailable") == [
        "denoising/dncnn/BM3D: needs the package bm3d (pip install 'distillbench[bm3d]')"
    ]


@pytest.mark.usefixtures("installed")
def test_installing_and_removing_the_package_makes_nothing_stale(
    suite: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        hide(without)
        before = made(load(suite), tmp_path / "out")
    then = plan(load(suite), tmp_path / "out")
    assert [cell.label for cell in then.missing] == ["BM3D"]
    assert then.finished == before.finished
    after = made(load(suite), tmp_path / "out")
    assert not after.to_do
    hide(monkeypatch)
    removed = plan(load(suite), tmp_path / "out")
    assert labels(removed) == ["noisy input", "non-local means", "BM3D"]
    assert not removed.to_do
    assert not removed.stale


@pytest.mark.usefixtures("installed")
def test_a_baseline_that_cannot_be_made_here_is_not_compared(
    suite: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(load(suite), tmp_path / "out")
    hide(monkeypatch)
    claimed = claimed_suite(load(suite), tmp_path / "cache")
    check, notes = rerun(read(tmp_path / "out"), claimed, (), tmp_path / "cache", console().print)
    assert not check.violations
    assert "denoising/dncnn: BM3D not compared: it needs the package bm3d (pip install 'distillbench[bm3d]')" in notes


@pytest.mark.usefixtures("installed")
def test_it_takes_as_long_as_there_are_test_images(suite: dict[str, Any], tmp_path: Path) -> None:
    (job,) = job_graph(plan(load(suite), tmp_path)).jobs
    assert seconds_of(job) == 2 * EVALUATION_SECONDS + BASELINE_SECONDS


def test_bm3d_is_far_better_than_non_local_means() -> None:
    pytest.importorskip("bm3d", reason="an extra: for non-commercial use only")
    (pair,) = load({"methods": [], "tasks": {"denoising": {}}}).pairs
    task = pair.build()
    patch = photographs().test.images[2][:1, 100:164, 100:164].float()[None] / 255
    noisy = task.inputs(patch, torch.Generator().manual_seed(0))["noisy"]  # type: ignore[attr-defined]
    errors = [(restore(noisy) - patch).square().mean() for restore in (task._nl_means, task._bm3d)]  # type: ignore[attr-defined]
    assert errors[1] < 0.9 * errors[0]
