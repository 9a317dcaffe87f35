"""Boards of a metric that is compared as ratios: tiers and ranks by logarithms."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from distillbench.bench.leaderboard import build
from distillbench.bench.leaderboard.columns import board_table
from distillbench.bench.leaderboard.model import Board
from distillbench.bench.store.terms import Compared
from support.boards import folder
from support.records import distances

DIVERGING = [22.0, 39.5, 52.0, 76.0, 110.5]
"""FIDs of five seeds, as towards an untrained teacher: 60 ± 43."""
STUDENTS = {
    "temperature": [2.31, 2.45, 2.38, 2.52, 2.34],
    "logistic": [2.40, 2.38, 2.44, 2.47, 2.41],
    "third": [2.61, 2.72, 2.66, 2.79, 2.63],
    "fourth": [3.31, 3.52, 3.37, 3.60, 3.42],
    "diverging": DIVERGING,
}


def board_of(path: Path, compared: Compared) -> Board:
    records = [record for label, fids in STUDENTS.items() for record in distances(label, fids, compared=compared)]
    (board,) = build.leaderboard([folder(path, records)]).boards
    return board


def tiers(board: Board) -> dict[str, int | None]:
    return {row.label: row.place.tier for row in board.entries if row.place}


def test_an_entry_with_many_times_the_distance_does_not_share_the_first_tier(tmp_path: Path) -> None:
    """By differences 60 ± 43 is not significantly worse than 2.4, since its seeds differ by so much."""
    assert tiers(board_of(tmp_path / "differences", "difference"))["diverging"] == 1
    by_ratios = tiers(board_of(tmp_path / "ratios", "ratio"))
    assert by_ratios == {"temperature": 1, "logistic": 1, "third": 2, "fourth": 3, "diverging": 4}


def test_entries_are_shown_by_geometric_means_with_their_intervals(tmp_path: Path) -> None:
    board = board_of(tmp_path / "ratios", "ratio")
    (row,) = (row for row in board.entries if row.label == "diverging")
    amount, logs = row.metrics["fid"], np.log(DIVERGING)
    low, high = np.exp(stats.t.interval(0.95, 4, logs.mean(), stats.sem(logs)))
    assert (amount.value, amount.low, amount.high) == pytest.approx((stats.gmean(DIVERGING), low, high))
    assert amount.half_width is None
    texts = [cell.text for line in board_table(board).rows for cell in line.cells]
    assert f"{stats.gmean(DIVERGING):.2f} [{low:.2f}, {high:.2f}]" in texts
    assert any("compared as ratios" in note for note in board.notes)
    assert board.metrics["fid"].compared == "ratio"
    content = build.content(build.leaderboard([tmp_path / "ratios"]))["leaderboard.csv"].decode()
    (line,) = (line for line in csv.DictReader(content.splitlines()) if line["method"] == "diverging")
    assert float(line["quality_low"]) == pytest.approx(low)


def test_values_that_are_read_in_another_way_are_of_another_board(tmp_path: Path) -> None:
    paths = [
        folder(tmp_path / "ratio", distances("mine", [2.0, 2.1])),
        folder(tmp_path / "difference", distances("mine", [2.0, 2.2], compared="difference")),
    ]
    assert len(build.leaderboard(paths).boards) == 2
