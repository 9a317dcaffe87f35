"""Seeds of a suite, and of one task alone."""

from __future__ import annotations

from typing import Any

import pytest

from distillbench.bench.suite.resolve import Suite, as_table, load

SUITE: dict[str, Any] = {
    "methods": ["scratch"],
    "seeds": [0, 1],
    "tasks": {"classification": {}, "gan": {"seeds": [0, 1, 2]}},
}


def students(suite: Suite) -> dict[str, list[int]]:
    seeds: dict[str, list[int]] = {}
    for cell in suite.cells:
        if cell.kind == "student":
            seeds.setdefault(cell.pair.task, []).append(cell.seed)
    return seeds


def test_a_task_has_its_own_seeds() -> None:
    suite = load(SUITE)
    assert students(suite) == {"classification": [0, 1], "gan": [0, 1, 2]}
    assert suite.seeds == (0, 1, 2)


@pytest.mark.parametrize(("overrides", "seeds"), [({"seeds": [5]}, ()), ({}, ["seeds=[5]"])])
def test_the_command_line_sets_the_seeds_of_all_tasks(overrides: dict[str, Any], seeds: list[str]) -> None:
    assert students(load(SUITE, seeds, **overrides)) == {"classification": [5], "gan": [5]}


def test_the_command_line_sets_the_seeds_of_one_task() -> None:
    assert students(load(SUITE, ["tasks.gan.seeds=[7]"])) == {"classification": [0, 1], "gan": [7]}


def test_the_resolved_table_loads_as_the_same_suite() -> None:
    suite = load(SUITE)
    assert [cell.hash for cell in load(as_table(suite)).cells] == [cell.hash for cell in suite.cells]
