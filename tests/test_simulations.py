"""The programs that print the documents' figures still run."""

from __future__ import annotations

from pathlib import Path

from simulations.cell_cost import costs


def test_what_a_cell_costs_is_told_of_each_pair_and_role(tiny_suite: Path) -> None:
    rows = list(costs(str(tiny_suite), ["steps=3"]))
    assert [(row["pair"], row["role"]) for row in rows] == [
        ("classification, cnn_mlp", "teacher"),
        ("classification, cnn_mlp", "student"),
    ]
    for row in rows:
        shares = [float(row[what].split()[1]) for what in ("looks (s)", "evaluation (s)")]
        assert all(share > 0 for share in shares)
        assert sum(shares) < 100
