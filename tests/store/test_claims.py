"""Claims: one holder at a time, named, and those of processes that have ended count for nothing."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from distillbench.bench.machine.process import this_process
from distillbench.bench.store import claims, documents
from distillbench.bench.store.claims import SILENT, Claim, ClaimedError, claimed, live, path_of, running
from distillbench.common.errors import UserError
from support.processes import Run

HOLDER = """
import sys, time
from pathlib import Path
from distillbench.bench.store.claims import claimed, running, path_of
folder = Path(sys.argv[1])
what = sys.argv[2]
with running(folder, what == "run") if what != "thing" else claimed(path_of(folder, "thing"), "the thing"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the claim on the thing."""
    yield from holder(tmp_path, "thing")


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs on the folder."""
    yield from holder(tmp_path, "run")


def holder(folder: Path, what: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(folder), what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_where_files_have_one_name_only_a_claim_is_held_as_well(
    tmp_path: Path, held: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with claimed(path_of(tmp_path, "other"), "other"):
        found = live(path_of(tmp_path, "other"))
        assert found is not None
        assert found.holder == this_process()
        with pytest.raises(ClaimedError), claimed(path_of(tmp_path, "other"), "other"):
            pass
        with pytest.raises(ClaimedError), claimed(path_of(tmp_path, "thing"), "the thing"):
            pass
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["thing.json"]


def test_a_process_that_nobody_has_waited_for_has_ended(tmp_path: Path) -> None:
    """A zombie keeps its number: in a container without an init process, for ever."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), "thing"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{process.pid}").exists()
    assert live(path_of(tmp_path, "thing")) is None
    process.communicate()


def test_a_run_that_shares_with_nobody_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path), "alone"], stdout=subprocess.PIPE, text=True)
    with other as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError) as error, running(tmp_path, share=True):
            pass
        assert f"in use by process {process.pid} on " in str(error.value)
        assert str(error.value).endswith(", which shares it with nobody")
        process.kill()


def test_a_claim_names_its_holder_and_ends_with_it(tmp_path: Path, held: subprocess.Popen[str]) -> None:
    path = path_of(tmp_path, "thing")
    with pytest.raises(ClaimedError) as error, claimed(path, "the thing"):
        pass
    assert str(error.value).startswith(f"the thing is made by process {held.pid} on ")
    os.kill(held.pid, signal.SIGKILL)
    held.wait()
    assert path.exists(), "what was killed leaves its claim"
    with claimed(path, "the thing"):
        claim = live(path)
        assert claim is not None
        assert claim.pid == os.getpid()
    assert not path.parent.exists()


def test_a_second_run_names_the_first_or_shares_the_folder(tmp_path: Path, busy: subprocess.Popen[str]) -> None:
    with pytest.raises(UserError) as error, running(tmp_path, share=False):
        pass
    assert f"in use by process {busy.pid} on " in str(error.value)
    assert "--share" in str(error.value)
    with running(tmp_path, share=True):
        assert len(claims.all_live(tmp_path)) == 2
    os.kill(busy.pid, signal.SIGKILL)
    busy.wait()
    with running(tmp_path, share=False):
        assert [claim.pid for claim in claims.all_live(tmp_path)] == [os.getpid()]


def left_behind(path: Path, host: str, pid: int, started: float) -> None:
    claim = Claim(what="the thing", host=host, pid=pid, started=started, since=datetime.now(UTC))
    documents.write(path, claim)


def test_a_later_process_of_the_same_number_is_another(tmp_path: Path) -> None:
    me = this_process()
    left_behind(tmp_path / "old", me.host, me.pid, me.started - 1000)
    left_behind(tmp_path / "own", me.host, me.pid, me.started)
    assert live(tmp_path / "old") is None
    assert live(tmp_path / "own") is not None


def test_a_claim_of_another_machine_lives_as_long_as_it_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "claim"
    left_behind(path, "another-machine", 1, 0.0)
    assert live(path) is not None
    past = time.time() - SILENT - 5
    os.utime(path, (past, past))
    assert live(path) is None


def _count(folder: Path, turns: int) -> None:
    """Add 1 to the number in a file so many times, each time under a claim: read, wait, write."""
    done = 0
    while done < turns:
        try:
            with claimed(path_of(folder, "number"), "the number"):
                number = int((folder / "number").read_text())
                time.sleep(0.001)
                (folder / "number").write_text(str(number + 1))
                done += 1
        except ClaimedError:
            time.sleep(0.001)


def test_two_never_hold_one_claim(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(tmp_path, 25)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert (tmp_path / "number").read_text() == "100"


def test_a_run_with_nothing_to_do_removes_what_a_killed_one_has_left(
    tiny_results: Path, tiny_suite: Path, tmp_path: Path, cli: Run
) -> None:
    """It may have been killed after its last record."""
    results = tmp_path / "results"
    shutil.copytree(tiny_results, results)
    me = this_process()
    (results / claims.FOLDER).mkdir()
    left_behind(results / claims.FOLDER / "run-here-1.json", me.host, me.pid, me.started - 1000)
    done = cli("run", tiny_suite, "--out", results)
    assert "nothing to do" in done.stdout
    assert not (results / claims.FOLDER).exists()
