"""The changes since an earlier leaderboard, and the errors of its command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from distillbench.bench.leaderboard import build
from distillbench.bench.leaderboard.changelog import changes
from distillbench.bench.leaderboard.model import read
from distillbench.bench.store.records import Record
from distillbench.common.errors import UserError
from support.boards import GOOD, PLAIN, beside, folder, student, usual
from support.paths import ROOT
from support.processes import Run


def changed(tmp_path: Path, records: Sequence[Record]) -> tuple[str, ...]:
    old = build.leaderboard([folder(tmp_path / "old/quick", usual())])
    return changes(old, build.leaderboard([folder(tmp_path / "new/quick", records)]))


def test_the_changes_are_listed(tmp_path: Path) -> None:
    quick = "classification, cnn_mlp: quick's"
    assert changed(tmp_path / "same", usual()) == ()
    better = [*beside(), *student("plain", PLAIN), *student("good", GOOD), *student("best", [95.0, 97.0, 96.1])]
    assert changed(tmp_path / "more", better) == (
        f"{quick} best is new, rank 1, tier 1",
        f"{quick} good: rank 1, tier 1 -> rank 2, tier 2",
        f"{quick} plain: rank 2, tier 2 -> rank 3, tier 3",
    )
    fewer = [*beside(), *student("good", GOOD)]
    assert changed(tmp_path / "fewer", fewer) == (f"{quick} plain was removed, rank 2, tier 2 before",)
    other = [*beside(), *student("plain", PLAIN), *student("good", [85.0, 87.2, 86.4])]
    (value, nll) = changed(tmp_path / "other", other)
    assert value == f"{quick} good: accuracy 86.10 ± 2.73 -> 86.20 ± 2.77"
    assert nll.startswith(f"{quick} good: nll ")
    anew = [*student("plain", PLAIN, code="d" * 64), *student("good", GOOD, code="d" * 64)]
    assert changed(tmp_path / "anew", anew) == (
        "classification, cnn_mlp: new board, another version of this task and pair",
        "classification, cnn_mlp: board removed",
    )


def test_since_reads_an_earlier_leaderboard(cli: Run, tmp_path: Path) -> None:
    quick, out = folder(tmp_path / "quick", usual()), tmp_path / "board"
    assert cli("leaderboard", quick, "-o", out).returncode == 0
    folder(quick, student("best", [95.0, 97.0, 96.1]))
    done = cli("leaderboard", quick, "-o", out, "--since", out / "leaderboard.json")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("README.md", "leaderboard.tex", "leaderboard.json", "index.html"):
        assert "best is new, rank 1, tier 1" in (out / name).read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "-o", "out"], "nowhere: no such results folder"),
        (["quick", "quick", "-o", "out"], "is given 2 times"),
        (["empty", "-o", "out"], "empty: no finished student among the records"),
        (["quick", "-o", "quick"], "is not a leaderboard of distillbench"),
        (["quick", "-o", "thesis.tex"], "is not a leaderboard of distillbench"),
        (["quick", "-o", "out", "--since", "thesis.tex"], "thesis.tex: cannot be read as a leaderboard"),
        (["quick", "-o", "out", "--since", "quick/records"], "not a regular file"),
        (["quick", "-o", ""], "--out: is empty"),
    ],
)
def test_errors_are_one_line(cold_cli: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    folder(tmp_path / "quick", usual())
    (tmp_path / "empty").mkdir()
    (tmp_path / "thesis.tex").write_text("mine")
    done = cold_cli("leaderboard", *arguments, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"})
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_leaderboard_is_written_over_itself(tmp_path: Path) -> None:
    board = build.leaderboard([folder(tmp_path / "quick", usual())])
    assert build.write(board, tmp_path / "out") == build.write(board, tmp_path / "out")


def test_an_old_leaderboard_of_another_schema_is_refused(tmp_path: Path) -> None:
    board = build.leaderboard([folder(tmp_path / "quick", usual())])
    path = tmp_path / "old.json"
    path.write_text(json.dumps(board.model_dump(mode="json") | {"schema_version": 9}))
    with pytest.raises(UserError, match=r"schema_version: 9 .*allowed: 3"):
        read(path)


def test_an_entry_that_is_a_control_now_has_lost_its_rank(tmp_path: Path) -> None:
    records = [r.model_copy(update={"control": True}) if r.label == "plain" else r for r in usual()]
    assert changed(tmp_path, records) == ("classification, cnn_mlp: quick's plain: rank 2, tier 2 -> a control",)
