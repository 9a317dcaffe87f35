"""Shards: parts of a suite that together are the whole, of about equal cost, the same each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from distillbench.bench.run.estimate import seconds_of
from distillbench.bench.run.job_graph import job_graph
from distillbench.bench.run.plan import plan
from distillbench.bench.run.shard import Shard, divided, parsed, part_of
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import UserError
from support.processes import Run, refused, reproducible


@pytest.mark.parametrize("count", [1, 2, 3, 7, 200])
def test_every_cell_is_of_one_shard(count: int, tmp_path: Path) -> None:
    whole = plan(load("smoke"), tmp_path)
    parts = divided(whole, count)
    assert len(parts) == count
    made = sorted(str(cell.path) for part in parts for cell in part)
    assert made == sorted(str(state.cell.path) for state in whole.states)
    assert parts == divided(plan(load("smoke"), tmp_path), count), "the same each time"


def test_shards_cost_about_the_same_with_the_teachers_that_each_trains(tmp_path: Path) -> None:
    """As if each had a folder of its own; no shard is longer than the mean by more than the longest job of one."""
    whole = plan(load("quick"), tmp_path)
    shards = [part_of(whole, Shard(i, 3)) for i in (1, 2, 3)]
    costs = [[seconds_of(job) for job in job_graph(shard).jobs] for shard in shards]
    totals = [sum(each) for each in costs]
    assert max(totals) - sum(totals) / 3 <= max(max(each) for each in costs)
    assert max(totals) < 1.3 * min(totals)


def test_what_a_folder_has_changes_no_shard(tiny_suite: Path, tiny_results: Path, tmp_path: Path) -> None:
    suite = load(tiny_suite)
    assert divided(plan(suite, tiny_results), 2) == divided(plan(suite, tmp_path), 2)


def test_shards_merged_are_one_run(cli: Run, tiny_suite: Path, tiny_results: Path, tmp_path: Path) -> None:
    """Each in a folder of its own, then copied into one."""
    merged = tmp_path / "merged"
    for number in (1, 2, 3):
        out = tmp_path / str(number)
        done = cli("run", tiny_suite, "--shard", f"{number}/3", "--out", out)
        assert done.returncode == 0, done.stderr
        assert "of other shards" in done.stdout
        shutil.copytree(out, merged, dirs_exist_ok=True)
        table = cli("table", merged)
        assert ("not run" in table.stdout or "missing" in table.stdout) == (number < 3), table.stdout
    assert reproducible(merged) == reproducible(tiny_results)
    done = cli("run", tiny_suite, "--out", merged)
    assert "17 finished: nothing to do" in done.stdout


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2", "--shard: '2' is no shard (allowed: NUMBER/COUNT such as 2/8)"),
        ("0/3", "--shard: shard 0 of 3 (allowed: 1 to 3)"),
        ("4/3", "--shard: shard 4 of 3 (allowed: 1 to 3)"),
        ("1/0", "--shard: 0 shards (allowed: 1 to 10000)"),
        ("1/99999999", "--shard: 99999999 shards (allowed: 1 to 10000)"),
        ("-1/3", "--shard: '-1/3' is no shard (allowed: NUMBER/COUNT such as 2/8)"),
    ],
)
def test_a_shard_that_is_none_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UserError) as error:
        parsed(text)
    assert str(error.value) == problem


def test_the_command_refuses_it_before_anything_is_read(cli: Run) -> None:
    refused(cli("run", "smoke", "--shard", "4/3"), "--shard: shard 4 of 3")
