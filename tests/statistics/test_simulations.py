"""The programs that print the documents' figures run."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from distillbench.bench.store import timings
from distillbench.bench.timing.timer import LaunchLimits
from simulations.cell_cost import costs
from support.paths import ROOT
from support.records import records, timing

sys.path.insert(0, str(ROOT / "tests" / "simulations"))  # as the programs find one another
launches, revisions, times = (
    import_module(f"simulations.{name}") for name in ("launches", "revisions", "time_to_quality")
)


def test_what_a_cell_costs_is_reported_for_each_pair_and_role(tiny_suite: Path) -> None:
    rows = list(costs(str(tiny_suite), ["steps=3"]))
    assert [(row["pair"], row["role"]) for row in rows] == [
        ("classification, cnn_mlp", "teacher"),
        ("classification, cnn_mlp", "student"),
    ]
    for row in rows:
        shares = [float(row[what].split()[1]) for what in ("validation (s)", "evaluation (s)")]
        assert all(share > 0 for share in shares)
        assert sum(shares) < 100


@pytest.mark.parametrize(("students", "change", "outcome"), [(1, 0.0, "pass"), (2, 0.1, "regressed")])
def test_the_rule_for_revisions_on_launches_that_are_drawn(
    students: int, change: float, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions, "RUNS", {students: 10})
    row = revisions.line(np.random.default_rng(0), "normal, 0.5 %", students, change)
    assert (row["false alarm"], row[outcome]) == (0, 100)
    assert 5 <= int(row["launches: median"]) <= int(row["nine of ten"]) < 20


def test_the_time_to_quality_of_noisy_curves_is_near_that_of_clean_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "CURVES", 50)
    row = times.line(np.random.default_rng(0), "flat at the end", "1 %", 0.2)
    assert (row["true"], row["never (%)"]) == ("0.30", 0)
    assert abs(float(row["chosen"].partition(" ")[0]) - 0.30) <= 0.01
    assert float(row["running mean"].partition(" ")[0]) > 0.32


def test_what_two_runs_would_leave_inconclusive_by_the_spread_of_stored_launches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timings.write(tmp_path, timing(records(), slow=2e-2, quick=2e-3))
    (condition,) = launches.stored_conditions([str(tmp_path)], 1)
    assert condition == pytest.approx((2e-3, 0.01), rel=0.01)
    monkeypatch.setattr(launches, "RUNS", 20)
    few, many = (launches.line(np.random.default_rng(0), [condition], LaunchLimits(n, n)) for n in (3, 9))
    assert few["± 1%"] > many["± 1%"] > many["± 5%"] == 0
