"""What several tests need: tasks with small feature extractors, and the command line in a subprocess."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from torch import nn

from distillbench.bench.suite.resolve import load
from distillbench.bench.validate.claimed_suite import ClaimedSuite, claimed_suite
from distillbench.common.errors import warn_once
from distillbench.tasks.base import Task
from distillbench.tasks.data import disk_cache, sets
from support import warm
from support.own_pairs import saved_resnet
from support.processes import Run, finish
from support.submissions import Submitted, copy_of
from support.synthetic_sets import Made, make
from support.tasks import overrides

# Several processes test at once: each has a machine of its own, as far as the lock goes.
os.environ["DISTILLBENCH_CACHE"] = str(Path(tempfile.gettempdir(), f"distillbench-tests-{os.getpid()}.cache"))
atexit.register(shutil.rmtree, os.environ["DISTILLBENCH_CACHE"], ignore_errors=True)
os.environ["DISTILLBENCH_LOCK"] = str(Path(tempfile.gettempdir(), f"distillbench-tests-{os.getpid()}.lock"))

# Every run has the same examples; `make test-new-draws` has others.
settings.register_profile("same-draws", derandomize=True, database=None, deadline=None)
settings.register_profile("new-draws", database=None, deadline=None, print_blob=True)
settings.load_profile("same-draws")


@pytest.fixture(autouse=True)
def usual_arithmetic() -> None:
    """One thread, and numbers near zero as they are: a test that settles its process as a worker's changes both."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def task_of() -> Callable[[str], Task]:
    """A task of the smoke suite by name, made once."""
    return _tasks(transfer=False)


@pytest.fixture(scope="session")
def transfer_task_of() -> Callable[[str], Task]:
    """The same with a transfer set, of the tasks that can have one."""
    return _tasks(transfer=True)


def _tasks(transfer: bool) -> Callable[[str], Task]:
    suite = load("smoke", overrides(transfer))

    @cache
    def get(name: str) -> Task:
        return next(pair for pair in suite.pairs if pair.task == name).build(extractor="untrained")

    return get


@pytest.fixture(scope="session")
def cli() -> Run:
    """The real command, started warm: cli("run", "smoke", ...) -> completed process. Options: limit, cwd, env."""
    server = warm.context()

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return warm.command(server, [str(argument) for argument in arguments], **options)

    return run


@pytest.fixture(scope="session")
def cold_cli() -> Run:
    """The real command from nothing, as a shell starts it."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return finish([sys.executable, "-m", "distillbench", *map(str, arguments)], **options)

    return run


@pytest.fixture(scope="session")
def tiny_suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every method on one task, three seeds: seconds, not minutes."""
    path = tmp_path_factory.mktemp("suites") / "tiny.toml"
    path.write_text("seeds = [0, 1, 2]\nsteps = 8\n[tasks.classification]\nstudent = { network = { hidden = [16] } }\n")
    return path


@pytest.fixture(scope="session")
def tiny_results(cli: Run, tiny_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny suite; tests that change it copy it first."""
    out = tmp_path_factory.mktemp("results") / "tiny"
    done = cli("run", tiny_suite, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def honest(tiny_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    """A submission that holds; tests that spoil it copy it first."""
    return copy_of(tiny_results, tmp_path_factory.mktemp("submissions") / "honest")


@pytest.fixture(scope="session")
def claimed(tiny_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> ClaimedSuite:
    """The suite that the honest submission claims to be of."""
    return claimed_suite(load(tiny_suite), tmp_path_factory.mktemp("cache"))


@pytest.fixture
def submitted(honest: Submitted, tmp_path: Path) -> Submitted:
    """A copy of the honest submission, to be spoilt."""
    shutil.copytree(honest.root, tmp_path / "submitted")
    return Submitted(tmp_path / "submitted")


@pytest.fixture
def resnet(tmp_path: Path) -> tuple[nn.Module, Path]:
    """A network of torchvision's and its weights in a file."""
    return saved_resnet(tmp_path)


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root, and a cache of its own."""
    monkeypatch.setenv(sets.ROOT, str(tmp_path / "root"))
    monkeypatch.setenv(disk_cache.CACHE, str(tmp_path / "kept"))
    (tmp_path / "root").mkdir()
    warn_once.cache_clear()
    return tmp_path / "root"


@pytest.fixture
def made_set(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A small synthetic set in the data root, by its name."""
    return partial(make, monkeypatch, data_root)
