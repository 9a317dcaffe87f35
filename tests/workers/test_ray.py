"""The executor of a Ray cluster, on three nodes that are processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distillbench.bench.machine.environment import environment
from distillbench.bench.store import timings
from distillbench.bench.workers import software
from distillbench.bench.workers.executor import Executor, JobEnd, JobProgress, Limits, WorkerLoss
from distillbench.bench.workers.local import LocalExecutor
from distillbench.bench.workers.ray_cluster import RayExecutor
from distillbench.common.errors import UserError
from support.executor_jobs import Job, execute
from support.paths import ROOT
from support.processes import Run, finish, refused, reproducible, start

cluster_utils = pytest.importorskip("ray.cluster_utils")
NODES = 3
WITH_SUPPORT = os.environ | {"PYTHONPATH": str(ROOT / "tests")}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and two more nodes, of one core each."""
    nodes = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(NODES - 1):
        nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


def outcomes(executor: Executor, jobs: Sequence[Job]) -> tuple[dict[str, str], set[str]]:
    """{job: result or reason of its failure}, and the jobs whose worker was lost."""
    ended, lost = {}, set()
    for event in executor.run(jobs, execute):
        if isinstance(event, JobEnd):
            assert event.id not in ended
            ended[event.id] = str(event.error or event.result)
        elif isinstance(event, WorkerLoss):
            lost.add(event.id)
        else:
            assert isinstance(event, JobProgress)
    return ended, lost


def jobs_of_all_kinds(folder: Path) -> list[Job]:
    folder.mkdir()
    files = folder / "files"
    return [
        Job("plain", "", folder),
        Job("raises", "raise", folder),
        Job("prints", "print", folder),
        Job("after failure", "", folder, needs=("raises",)),
        Job("dies once", "die once", folder),
        Job("group", "die", folder, actions=("", "leave", "")),
        Job("after group", "", folder, needs=("group",)),
        Job("first", "file", folder, files=files),
        Job("second", "file", folder, needs=("first",), files=files),
        Job("third", "file", folder, needs=("first", "second"), files=files),
        Job("counts", "count", folder, files=files),
    ]


def test_it_does_what_the_local_executor_does(cluster: Any, tmp_path: Path) -> None:
    """But for how a system says why a process died."""

    def without_cause(ended: dict[str, str]) -> dict[str, str]:
        return {id_: text.partition(" (")[0] for id_, text in ended.items()}

    here, lost_here = outcomes(LocalExecutor(2), jobs_of_all_kinds(tmp_path / "here"))
    there, lost_there = outcomes(RayExecutor(cluster.address), jobs_of_all_kinds(tmp_path / "there"))
    assert without_cause(there) == without_cause(here)
    assert lost_there == lost_here
    for place in ("here", "there"):
        files = {path.name: path.read_text() for path in (tmp_path / place / "files").iterdir()}
        assert files == {"first": "first", "second": "firstsecond", "third": "firstfirstsecondthird"}, place


def test_limits_hold_on_a_node(cluster: Any, tmp_path: Path) -> None:
    jobs = [
        Job("hangs", "hang", tmp_path, limits=Limits(seconds=1.0), actions=("sleep", "hang")),
        Job("eats", "eat", tmp_path, limits=Limits(bytes=6e8)),
    ]
    ended, lost = outcomes(RayExecutor(cluster.address), jobs)
    assert lost == {"hangs", "eats"}
    assert ended["hangs.0"] == "hangs.0 done"
    assert ended["hangs.1"] == "stopped after 1 s, its limit, twice"
    assert ended["eats"].endswith("GB of memory (limit: 0.6 GB), twice")


def test_what_a_lost_node_did_is_done_elsewhere_and_its_jobs_do_not_answer_for_it(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=2)
    jobs = [Job(f"job {i}", "wait", tmp_path) for i in range(NODES + 2)]
    ended, reasons, begun = {}, [], set()
    for event in RayExecutor(cluster.address).run(jobs, execute):
        match event:
            case JobEnd():
                ended[event.id] = str(event.error or event.result)
            case WorkerLoss():
                reasons.append(event.reason)
                if len(reasons) == 2:
                    (tmp_path / "go").touch()
            case JobProgress() if event.id not in begun:
                begun.add(event.id)
                if len(begun) == len(jobs):  # every core of every node does one
                    cluster.remove_node(node, allow_graceful=False)
    assert reasons == 2 * ["its node was lost"]
    assert ended == {job.id: f"{job.id} done" for job in jobs}


def test_a_suite_gives_the_records_of_a_local_run_and_the_weights(
    cluster: Any, cold_cli: Run, tiny_suite: Path, tiny_results: Path, tmp_path: Path
) -> None:
    done = cold_cli("run", tiny_suite, "--executor", "ray", "--address", cluster.address, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "raylet" not in done.stdout + done.stderr
    assert reproducible(tmp_path) == reproducible(tiny_results)
    files = sorted(path.relative_to(tmp_path) for path in (tmp_path / "weights").rglob("*.safetensors"))
    assert files == sorted(p.relative_to(tiny_results) for p in (tiny_results / "weights").rglob("*.safetensors"))
    for file in files:
        here, there = load_file(tiny_results / file), load_file(tmp_path / file)
        assert here.keys() == there.keys()
        assert all(torch.equal(here[name], there[name]) for name in here)
    assert cold_cli("table", tmp_path).returncode == 0


def test_times_are_taken_on_one_node_and_come_back(
    cluster: Any, cold_cli: Run, tiny_suite: Path, tmp_path: Path
) -> None:
    condition = ("--backends", "eager", "--precisions", "float32", "--batch", "1", "--launches", "1")
    where = ("--out", tmp_path, "--executor", "ray", "--address", cluster.address)
    done = cold_cli("time", tiny_suite, *condition, *where)
    assert done.returncode == 0, done.stderr
    assert "1 condition, 1 launch each, on one node that does nothing else" in done.stdout
    (timing,) = timings.scan(tmp_path).documents
    assert len(timing.launches) == 1
    assert timing.unavailable is None
    assert timing.environment["libraries"] == environment()["libraries"]


DRIVER = """
import sys
from pathlib import Path
from distillbench.bench.workers import ray_tasks
from distillbench.bench.workers.executor import JobProgress
from distillbench.bench.workers.ray_cluster import RayExecutor
from support.executor_jobs import Job, execute
ray_tasks.HEAD_ANSWERS_WITHIN = 3.0
jobs = [Job(str(i), "mark", Path(sys.argv[2])) for i in range(3)]
for event in RayExecutor(sys.argv[1]).run(jobs, execute):
    if isinstance(event, JobProgress):
        print("begun", flush=True)
"""


def test_a_driver_that_is_killed_leaves_no_task_behind(cluster: Any, tmp_path: Path) -> None:
    process = start([sys.executable, "-c", DRIVER, cluster.address, str(tmp_path)], env=WITH_SUPPORT)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    def sizes() -> list[int]:
        return [path.stat().st_size for path in sorted(tmp_path.iterdir())]

    deadline = time.monotonic() + 30
    while True:
        before = sizes()
        time.sleep(1)
        if sizes() == before:
            break
        assert time.monotonic() < deadline, "tasks go on without their driver"


def test_a_driver_whose_head_is_lost_says_so(tmp_path: Path) -> None:
    """Ray itself would end it without a word of ours, a minute later."""
    nodes = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    address = nodes.address
    try:
        process = start([sys.executable, "-c", DRIVER, address, str(tmp_path)], env=WITH_SUPPORT)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        nodes.head_node.kill_gcs_server()
        _, errors = process.communicate(timeout=60)
        told = f"UserError: --address: the head of the cluster, {address}, is lost; what was finished is kept"
        assert errors.strip().endswith(told)
    finally:
        nodes.shutdown()


def test_a_node_with_other_software_is_refused_by_name(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = software.software()
    monkeypatch.setattr(software, "version", lambda package: "1.0")
    software.software.cache_clear()
    try:
        with pytest.raises(UserError) as error:
            list(RayExecutor(cluster.address).run([Job("job", "", tmp_path)], execute))
    finally:
        software.software.cache_clear()
    assert str(error.value).startswith("--address: node ")
    assert str(error.value).endswith(f" has torch {there['torch']}, and the driver 1.0")


def test_a_node_that_joins_with_other_software_does_no_job(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = software.software()
    monkeypatch.setattr("distillbench.bench.workers.ray_tasks.software", lambda: here | {"numpy": "1.0"})
    ended, lost = outcomes(RayExecutor(cluster.address), [Job("job", "", tmp_path)])
    assert ended == {"job": f"its node has numpy {here['numpy']}, and the driver 1.0, twice"}
    assert lost == {"job"}
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--executor", "ray", "--address", "127.0.0.1:9"), "--address: 127.0.0.1:9 does not answer ("),
        (("--executor", "ray", "--address", "nowhere"), "--address: 'nowhere' is no address (allowed: HOST:PORT or"),
        (("--address", "auto"), "--address: is of a cluster (give --executor ray, too)"),
        (("--executor", "slurm"), "--executor: 'slurm' is no executor (allowed: local, ray)"),
        (("--executor", "ray", "--share"), "--share: needs a folder that all workers see"),
        (("--executor", "ray", "--gpus-per-job", "0"), "--gpus-per-job: 0 is out of range (allowed: above 0)"),
    ],
)
def test_what_cannot_be_is_refused(cli: Run, options: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    refused(cli("run", "smoke", "--task", "classification", "--out", tmp_path, *options), problem)


def test_without_the_package_the_extra_is_named(tiny_suite: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ray'] = None\n")
    command = [sys.executable, "-m", "distillbench", "run", str(tiny_suite), "--executor", "ray", "--out", "out"]
    done = finish(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    refused(done, "--executor: needs the package ray (pip install 'distillbench[ray]')")
