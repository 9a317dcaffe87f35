"""Processes that end: workers never outlive their run, and what a killed run left is whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from distillbench.bench.store.records import Store
from distillbench.bench.workers.executor import JobEnd, JobProgress, WorkerLoss
from distillbench.bench.workers.local import LocalExecutor
from support.executor_jobs import Job, execute
from support.processes import Run, finish, reproducible, start

GONE_AFTER = 5.0
"""Seconds after the death of a run's process in which every process of the run must be gone."""


def living(group: int) -> list[str]:
    """The processes of a group that still run, as their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


def assert_all_gone(process: subprocess.Popen[str]) -> str:
    """The pipe is closed and nobody is left within the limit; what was on standard error."""
    try:
        _, errors = process.communicate(timeout=GONE_AFTER)
        deadline = time.monotonic() + GONE_AFTER
        while left := living(process.pid):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        return errors
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def run_command(suite: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "distillbench", "run", str(suite), "--out", str(out), *more]


def wait_for_record(process: subprocess.Popen[str], out: Path) -> None:
    deadline = time.monotonic() + 120
    while not list(out.glob("records/**/*.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


WAYS = [(s, whole) for s in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT) for whole in (False, True)]


def test_a_run_that_is_killed_again_and_again_leaves_nobody_and_ends_as_if_undisturbed(
    tiny_suite: Path, tiny_results: Path, tmp_path: Path
) -> None:
    out, seed = tmp_path / "killed", random.randrange(2**32)
    print(f"random seed {seed}")  # shown where the test fails
    rng = random.Random(seed)
    for number, whole_group in rng.sample(WAYS, len(WAYS)):
        process = start(run_command(tiny_suite, out))
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.2, 9))
        with suppress(ProcessLookupError):
            (os.killpg if whole_group else os.kill)(process.pid, number)
        errors = assert_all_gone(process)
        assert process.returncode in (0, -number, 128 + number), errors
        if out.exists():
            assert all(record.status == "finished" for record in Store(out)), "what is there is whole"
    done = finish(run_command(tiny_suite, out))
    assert done.returncode == 0, done.stderr
    assert reproducible(out) == reproducible(tiny_results)


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_stopped_run_says_so_in_a_line_and_keeps_what_was_finished(
    tiny_suite: Path, tmp_path: Path, number: signal.Signals, code: int, word: str
) -> None:
    out = tmp_path / "stopped"
    process = start(run_command(tiny_suite, out, "--set", "steps=20000"))
    wait_for_record(process, out)
    process.send_signal(number)
    errors = assert_all_gone(process)
    assert process.returncode == code
    assert errors == f"distillbench: {word}; finished work is kept, run the command again to resume\n"
    assert [record.label for record in Store(out)] == ["nearest centroid"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_pipe_is_closed_when_the_run_is_killed_in_the_middle_of_training(
    tiny_suite: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """As with ``distillbench run … | tail -n 1``: who reads must not wait for workers that nobody needs any more."""
    out = tmp_path / "piped"
    process = start(run_command(tiny_suite, out, "--set", "steps=1000000"), stderr=subprocess.STDOUT)
    wait_for_record(process, out)
    assert sum("workers.worker" in line for line in living(process.pid)) >= 1
    process.send_signal(number)
    assert_all_gone(process)


def test_a_reader_that_goes_away_ends_the_run_quietly(tiny_suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "headed"
    process = start(run_command(tiny_suite, out, "--set", "steps=1000000"))
    assert process.stdout is not None
    assert process.stdout.readline().startswith("tiny: 17 cells")
    process.stdout.close()  # as `head -n 1` does
    process.stdout = None
    assert process.wait(60) == 141
    assert assert_all_gone(process) == ""


def test_a_table_for_a_reader_that_goes_away_is_cut_quietly(tiny_results: Path) -> None:
    for form in ("terminal", "markdown"):
        script = f"{sys.executable} -m distillbench table {tiny_results} --format {form}; echo $? >&2"
        done = finish(["bash", "-c", f"({script}) | (exec 0<&-; sleep 8)"])
        assert done.stderr.split() == ["141"]


# -- the executor ---------------------------------------------------------------------------------------------------


def outcomes(jobs: Sequence[Job], workers: int = 2) -> tuple[dict[str, str], list[str]]:
    """{job: result or reason of its failure}, and the jobs whose worker was lost."""
    ended, lost = {}, []
    for event in LocalExecutor(workers).run(jobs, execute):
        if isinstance(event, JobEnd):
            ended[event.id] = str(event.error or event.result)
        elif isinstance(event, WorkerLoss):
            lost.append(event.id)
        else:
            assert isinstance(event, JobProgress)
    return ended, lost


def test_a_worker_that_dies_takes_its_own_job_alone_which_is_tried_once_more(tmp_path: Path) -> None:
    jobs = [Job("a", "die once", tmp_path), Job("b", "die", tmp_path), Job("c", "leave", tmp_path)]
    jobs += [Job("d", "", tmp_path, needs=("b",)), Job("e", "", tmp_path, needs=("a",))]
    jobs += [Job(f"plain {i}", "sleep", tmp_path) for i in range(4)]
    ended, lost = outcomes(jobs)
    assert sorted(lost) == ["a", "b", "c"]
    assert ended["a"] == "a done"
    assert ended["b"] == "the worker process died (by SIGKILL, or out of memory), twice"
    assert ended["c"] == "the worker process died (exit code 3), twice"
    assert ended["d"].startswith("b failed: the worker process died")
    assert ended["e"] == "e done"
    assert all(ended[f"plain {i}"] == f"plain {i} done" for i in range(4))
    # Queued jobs are untouched: each was begun once.
    assert all((tmp_path / f"plain {i}").read_text() == "x" for i in range(4))


def test_a_job_may_raise_what_cannot_be_sent_and_print_what_it_likes(tmp_path: Path) -> None:
    ended, lost = outcomes([Job("r", "raise", tmp_path), Job("p", "print", tmp_path)], workers=1)
    assert ended == {"r": "StubbornError: no way", "p": "p done"}
    assert lost == []


def test_a_script_without_a_main_guard_can_run_a_suite(tiny_suite: Path, tmp_path: Path) -> None:
    script = tmp_path / "plain_script.py"
    script.write_text(
        f"from distillbench import run\nframe = run({str(tiny_suite)!r}, {str(tmp_path / 'out')!r}, ['seeds=[0]'])\n"
        "print(len(frame), set(frame['status']))\n"
    )
    for command in ([sys.executable, str(script)], [sys.executable, "-c", script.read_text()]):
        done = finish(command)
        assert done.stdout == "7 {'finished'}\n", done.stderr


def test_listing_processes_sees_them(cli: Run) -> None:
    """The other tests here would pass without a way to see a process at all."""
    process = start([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        assert any("time.sleep" in line for line in living(process.pid))
    finally:
        process.kill()
        process.communicate()
    assert living(process.pid) == []
