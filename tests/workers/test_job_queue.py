"""The queue of jobs against a plain simulation, and what an executor makes of jobs that hang, grow or kill."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from distillbench.bench.workers.executor import JobEnd, Limits, Whole, WorkerLoss
from distillbench.bench.workers.job_queue import JobQueue
from distillbench.bench.workers.local import LocalExecutor
from support.executor_jobs import Job, execute


@dataclass(frozen=True)
class Node(Whole):
    """A job of a graph."""

    id: str
    needs: tuple[str, ...] = ()


def graph(rng: random.Random, size: int) -> list[Node]:
    """Jobs that need some of those before them, in another order."""
    nodes = [
        Node(str(i), tuple(rng.sample([str(j) for j in range(i)], rng.randint(0, min(i, 3))))) for i in range(size)
    ]
    rng.shuffle(nodes)
    return nodes


@pytest.mark.parametrize("seed", range(50))
def test_jobs_start_in_order_after_what_they_need_and_fail_with_it(seed: int) -> None:
    """Against a plain search: at each time the first in the list whose needs have all succeeded."""
    rng = random.Random(seed)
    nodes = graph(rng, 12)
    bad = {node.id for node in nodes if rng.random() < 0.2}
    queue: JobQueue[Node] = JobQueue(nodes)
    running: list[str] = []
    done: set[str] = set()
    failed: set[str] = set()
    order = []
    while queue or running:
        for end in queue.blocked():
            assert end.error is not None
            failed.add(end.id)
        while len(running) < 3 and (job := queue.take()) is not None:
            ready = [n.id for n in nodes if set(n.needs) <= done and n.id not in {*order, *failed}]
            assert job.id == ready[0]
            running.append(job.id)
            order.append(job.id)
        if running:
            id_ = running.pop(rng.randrange(len(running)))
            error = ValueError("bad") if id_ in bad else None
            queue.update(JobEnd(id_, None, error))
            (failed if error else done).add(id_)
    expected: set[str] = set()  # what needs something bad, however far away
    for node in sorted(nodes, key=lambda node: int(node.id)):
        if node.id in bad or set(node.needs) & expected:
            expected.add(node.id)
    assert failed == expected
    assert done == {node.id for node in nodes} - expected


def test_ten_thousand_jobs_are_lined_up_in_time() -> None:
    """A search of the whole list at each step would take minutes."""
    nodes = [Node(str(i), (str(i - 1),) if i % 2 else ()) for i in range(10_000)]
    queue: JobQueue[Node] = JobQueue(nodes)
    start = time.process_time()
    for _ in nodes:
        job = queue.take()
        assert job is not None
        queue.update(JobEnd(job.id, None, None))
    assert not queue
    assert time.process_time() - start < 5


def outcomes(jobs: list[Job], workers: int = 2) -> tuple[dict[str, str], dict[str, str]]:
    """{job: result or reason of its failure}, and {job whose worker was lost: why}."""
    ended, lost = {}, {}
    for event in LocalExecutor(workers).run(jobs, execute):
        if isinstance(event, JobEnd):
            assert event.id not in ended
            ended[event.id] = str(event.error or event.result)
        elif isinstance(event, WorkerLoss):
            lost[event.id] = event.reason
    return ended, lost


def test_a_job_that_kills_its_worker_is_tried_by_its_parts_and_one_bad_part_takes_no_other_with_it(
    tmp_path: Path,
) -> None:
    jobs = [
        Job("group", "die", tmp_path, actions=("", "die", "")),
        Job("after", "", tmp_path, needs=("group",)),
        Job("other", "die", tmp_path, actions=("", "")),
        Job("last", "", tmp_path, needs=("other",)),
    ]
    ended, lost = outcomes(jobs)
    died = "the worker process died (by SIGKILL, or out of memory)"
    assert lost == {"group": died, "other": died}
    assert ended == {
        "group.0": "group.0 done",
        "group.1": f"{died}, twice",
        "group.2": "group.2 done",
        "after": f"group.1 failed: {died}, twice",
        "other.0": "other.0 done",
        "other.1": "other.1 done",
        "last": "last done",
    }
    assert (tmp_path / "last").read_text() == "x"
    assert not (tmp_path / "after").exists()


def test_a_job_that_hangs_is_stopped_at_its_limit_and_one_that_grows_at_its_own(tmp_path: Path) -> None:
    jobs = [
        Job("hang", "hang", tmp_path, limits=Limits(seconds=1.0), actions=("sleep", "hang")),
        Job("eat", "eat", tmp_path, limits=Limits(bytes=4e8)),
        Job("plain", "sleep", tmp_path, limits=Limits(seconds=60, bytes=4e9)),
    ]
    ended, lost = outcomes(jobs, workers=3)
    assert lost["hang"] == "stopped after 1 s, its limit"
    assert lost["eat"].startswith("stopped with 0.")
    assert lost["eat"].endswith("GB of memory (limit: 0.4 GB)")
    assert ended["hang.0"] == "hang.0 done"
    assert ended["hang.1"] == "stopped after 1 s, its limit, twice"
    assert ended["eat"].endswith("GB of memory (limit: 0.4 GB), twice")
    assert ended["plain"] == "plain done"


def test_a_job_without_memory_is_tried_by_its_parts_in_a_worker_that_holds_none(tmp_path: Path) -> None:
    ended, lost = outcomes([Job("group", "lack", tmp_path, actions=("", "lack"))], workers=1)
    first, last = lost["group"], ended["group.1"]
    assert ended["group.0"] == "group.0 done"
    assert first.startswith("no memory in ")
    assert last.endswith(", twice")
    assert first != last.removesuffix(", twice"), "the first worker was ended"


def test_limits_hold_while_another_job_reports_without_end(tmp_path: Path) -> None:
    """Its messages must not keep the driver from looking at the clock."""
    jobs = [
        Job("hang", "hang", tmp_path, limits=Limits(seconds=1.0)),
        Job("chatter", "chatter", tmp_path, limits=Limits(seconds=60)),
    ]
    ended, _ = outcomes(jobs, workers=2)
    assert ended["hang"] == "stopped after 1 s, its limit, twice"
    assert ended["chatter"] == "chatter done"
