"""The list of cells that runs were to make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from distillbench.bench.store.manifest import ExpectedCell, expect, expected

CELLS = [ExpectedCell("gan", "dense", "student", "hard_labels", seed, control=True) for seed in (0, 1)]
OTHER = ExpectedCell("gan", "dense", "student", "mimic", 0)
UNDEFINED = replace(CELLS[0], undefined="needs labels; gan has none")


@pytest.mark.parametrize(
    ("before", "after", "listed"),
    [
        ([], [*CELLS, OTHER], [*CELLS, OTHER]),
        ([CELLS[0], OTHER], [CELLS[1]], [CELLS[0], OTHER, CELLS[1]]),
        ([*CELLS, OTHER], [UNDEFINED], [OTHER, UNDEFINED]),
        ([UNDEFINED, OTHER], CELLS, [OTHER, *CELLS]),
        ([UNDEFINED], [replace(UNDEFINED, undefined="why", seed=3)], [replace(UNDEFINED, undefined="why", seed=3)]),
        ([replace(CELLS[0], control=False)], [CELLS[0]], [CELLS[0]]),
    ],
    ids=["none", "more seeds", "no longer defined", "defined now", "another reason", "a control now"],
)
def test_what_holds_now_is_listed(
    tmp_path: Path, before: list[ExpectedCell], after: list[ExpectedCell], listed: list[ExpectedCell]
) -> None:
    expect(tmp_path, before)
    expect(tmp_path, after)
    assert expected(tmp_path) == listed


def test_a_list_that_stays_is_not_written_again(tmp_path: Path) -> None:
    expect(tmp_path, [*CELLS, OTHER])
    before = (tmp_path / "expected.json").stat().st_mtime_ns
    expect(tmp_path, [OTHER, CELLS[1]])
    assert (tmp_path / "expected.json").stat().st_mtime_ns == before
