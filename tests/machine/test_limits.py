"""What a process may use of its machine, where a container limits it: files of control groups, version 1 and 2."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from distillbench.bench.machine import limits
from distillbench.bench.machine.environment import environment
from distillbench.bench.machine.limits import cores, memory, quota
from distillbench.bench.run.execution import LOCAL
from distillbench.bench.suite import preflight
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import UserError
from support.processes import Run

GROUP = "proc/self/cgroup"
Files = Mapping[str, str]


def root(folder: Path, files: Files) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    return folder


CONTAINER = {GROUP: "0::/", "sys/fs/cgroup/cpu.max": "200000 100000"}
QUOTAS: dict[str, tuple[Files, float | None, int]] = {
    "nothing": ({}, None, 64),
    "version 2, in a container": (CONTAINER, 2.0, 2),
    "version 2, without a limit": (CONTAINER | {"sys/fs/cgroup/cpu.max": "max 100000"}, None, 64),
    "one core and a half": (CONTAINER | {"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5, 2),
    "a tenth": (CONTAINER | {"sys/fs/cgroup/cpu.max": "10000 100000"}, 0.1, 1),
    "more than there is": (CONTAINER | {"sys/fs/cgroup/cpu.max": "6400001 50000"}, 6400001 / 50000, 64),
    "version 2, a group's own": (
        {GROUP: "0::/user.slice/mine", "sys/fs/cgroup/user.slice/mine/cpu.max": "300000 100000"},
        3.0,
        3,
    ),
    "version 2, the tightest of those above": (
        {
            GROUP: "0::/a/b/c",
            "sys/fs/cgroup/a/b/c/cpu.max": "800000 100000",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000",
            "sys/fs/cgroup/a/cpu.max": "400000 100000",
        },
        4.0,
        4,
    ),
    "version 2, whose path is the host's": (CONTAINER | {GROUP: "0::/docker/0123"}, 2.0, 2),
    "version 2, whose path leaves the container": (CONTAINER | {GROUP: "0::/../../other"}, 2.0, 2),
    "version 1": (
        {
            GROUP: "12:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a",
            "sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us": "250000",
            "sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        2.5,
        3,
    ),
    "version 1, of joined controllers": (
        {
            GROUP: "4:cpu,cpuacct:/",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        2.0,
        2,
    ),
    "version 1 and 2 together": (
        {
            GROUP: "3:cpu:/\n0::/job",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/unified/job/cpu.max": "500000 100000",
        },
        5.0,
        5,
    ),
    "what no kernel writes": (CONTAINER | {"sys/fs/cgroup/cpu.max": "many 0"}, None, 64),
}


@pytest.mark.parametrize("case", QUOTAS)
def test_a_quota_of_processor_time_limits_the_cores(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, share, count = QUOTAS[case]
    monkeypatch.setattr(limits, "affinity", lambda: 64)
    here = root(tmp_path, files)
    assert (quota(here), cores(here)) == (share, count)


def test_workers_and_environment_know_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "affinity", lambda: 64)
    monkeypatch.setattr(limits, "text_of", lambda path, read=limits.text_of: read(tmp_path / path.relative_to("/")))
    root(tmp_path, CONTAINER | {"sys/fs/cgroup/cpu.max": "150000 100000"})
    assert LOCAL.workers_for(load("smoke")) == 2
    environment.cache_clear()
    try:
        assert (environment()["cores"], environment()["quota"]) == (64, 1.5)
        root(tmp_path, {"sys/fs/cgroup/cpu.max": "max 100000"})
        environment.cache_clear()
        assert environment()["cores"] == 64
        assert "quota" not in environment()
    finally:
        environment.cache_clear()


MEMORIES: dict[str, tuple[Files, float]] = {
    "nothing": ({}, 64e9),
    "version 2": ({GROUP: "0::/a", "sys/fs/cgroup/a/memory.max": "2000000000"}, 2e9),
    "version 2, without a limit": ({GROUP: "0::/a", "sys/fs/cgroup/a/memory.max": "max"}, 64e9),
    "version 2, of a group above": (
        {GROUP: "0::/a/b", "sys/fs/cgroup/a/b/memory.max": "max", "sys/fs/cgroup/a/memory.max": "3000000000"},
        3e9,
    ),
    "version 1": ({GROUP: "4:memory:/a", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "4000000000"}, 4e9),
    "version 1, without a limit": (
        {GROUP: "4:memory:/", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"},
        64e9,
    ),
}


@pytest.mark.parametrize("case", MEMORIES)
def test_a_limit_of_the_group_is_all_the_memory_there_is(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, size = MEMORIES[case]
    monkeypatch.setattr(limits, "physical_memory", lambda: 64e9)
    assert memory(root(tmp_path, files)) == size


def test_where_nothing_says_memory_is_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "physical_memory", lambda: math.inf)
    assert memory(tmp_path) == math.inf


def check(device: str) -> None:
    """A network of about 5 GB to train."""
    hidden = "tasks.gan.teacher.network.hidden=[16000, 16000]"
    load("quick", [hidden], ["gan"], ["scratch"], device=device)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A group of 2 GiB on a machine of 64."""
    monkeypatch.setattr(limits, "physical_memory", lambda: 64 * 2.0**30)
    monkeypatch.setattr(limits, "memory", lambda: 2 * 2.0**30)
    preflight.memory.cache_clear()
    yield
    preflight.memory.cache_clear()


def gpu(monkeypatch: pytest.MonkeyPatch, gigabytes: float) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    properties = SimpleNamespace(total_memory=gigabytes * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)


def test_a_network_that_the_group_cannot_hold_is_refused(small: None) -> None:
    with pytest.raises(UserError, match=r"tasks.gan.teacher: its .* to train .*, this container has 2 GB$"):
        check("cpu")


def test_on_a_gpu_its_memory_counts(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu(monkeypatch, 16)
    check("cuda:1")
    preflight.memory.cache_clear()
    gpu(monkeypatch, 1)
    with pytest.raises(UserError, match=r"to train .*, the GPU cuda:1 has 1 GB$"):
        check("cuda:1")


def test_where_the_gpu_is_not_here_it_is_said_what_was_looked_at(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"this container has 2 GB \(cuda was not looked at\)$"):
        check("cuda")


def test_a_plan_for_a_gpu_says_that_its_speed_is_assumed(cli: Run, tmp_path: Path) -> None:
    done = {
        device: cli("plan", "smoke", "--task", "gan", "--device", device, "--workers", 1, "--out", tmp_path / device)
        for device in ("cpu", "cuda")
    }
    said = {device: plan.stdout.splitlines()[-1] for device, plan in done.items()}
    assert said["cpu"].endswith(" on 1 worker")
    assert said["cuda"].endswith(" on 1 worker at 4 TFLOP/s (not measured)")
