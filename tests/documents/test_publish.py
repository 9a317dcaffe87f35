"""What the front page says is worked out from the gaps alone."""

from __future__ import annotations

import dataclasses
import runpy
from typing import Any

import pytest

from distillbench.bench.report.chart import HeatMap, HeatMapCell
from support.paths import ROOT

PUBLISH: dict[str, Any] = runpy.run_path(str(ROOT / "results" / "publish.py"))
VALUES = {"gan": (0.8, -0.3, 0.81, -14.0), "vae": (0.02, 0.1, -0.2, 0.0)}
ROWS = ("temperature", "logistic", "mimic", "random_teacher")
SIGNIFICANT = {("temperature", "gan"), ("logistic", "gan"), ("mimic", "gan"), ("mimic", "vae")}


def gaps(significant: set[tuple[str, str]]) -> HeatMap:
    cells = {
        (row, column): HeatMapCell(
            value, f"{100 * value:.0f}%", (row, column) in significant, (value - 0.1, value + 0.1)
        )
        for column, values in VALUES.items()
        for row, value in zip(ROWS, values, strict=True)
    }
    return HeatMap("gap-recovered", "Gap recovered", ROWS, tuple(VALUES), cells, "", controls=ROWS[2:])


def test_the_table_has_one_number_a_cell_and_its_controls_below_a_rule() -> None:
    lines = PUBLISH["gap_table"](gaps(SIGNIFICANT), PUBLISH["_brief"]).splitlines()
    assert lines == [
        "| gap recovered | gan | vae |",
        "| :--- | ---: | ---: |",
        r"| temperature | 80%\* | 2% |",
        r"| logistic | −30%\* | 10% |",
        "| *controls:* |  |  |",
        r"| mimic | 81%\* | −20%\* |",
        "| random_teacher | < −100% | 0% |",
    ]


def test_the_table_with_intervals_hides_nothing() -> None:
    lines = PUBLISH["gap_table"](gaps(set()), PUBLISH["_exact"]).splitlines()
    assert lines[-1] == "| random_teacher | -1400% [-1410, -1390] | 0% [-10, 10] |"


@pytest.mark.parametrize("text", ["–", "not run"])
def test_what_a_suite_does_not_run_is_a_dash(text: str) -> None:
    lacking = dataclasses.replace(gaps(set()), cells=gaps(set()).cells | {("mimic", "gan"): HeatMapCell(None, text)})
    for write in ("_brief", "_exact"):
        lines = PUBLISH["gap_table"](lacking, PUBLISH[write]).splitlines()
        assert lines[-2].startswith("| mimic | – | ")


def test_the_findings_name_what_is_significant_and_controls_that_do_as_well() -> None:
    unbeaten = {"gan": ("temperature", ("mimic", "random_teacher")), "vae": ("logistic", ("mimic",))}
    works, does_not, surprises = PUBLISH["findings"](gaps(SIGNIFICANT), unbeaten).splitlines()
    assert works == "- **What works**: temperature (80%) on gan."
    assert does_not.endswith("is significant on vae; significantly worse than scratch: logistic (−30%) on gan.")
    assert surprises == (
        "- **What surprises**: not significantly better than a control: "
        "temperature (80%) than mimic (81%) and random_teacher (< −100%) on gan."
    )  # on vae no method works
    assert "better than every control" in PUBLISH["findings"](gaps(SIGNIFICANT), {}).splitlines()[2]


@pytest.mark.parametrize(("line", "end"), [(0, ": none."), (2, ": nothing.")])
def test_without_a_significant_difference_nothing_is_claimed(line: int, end: str) -> None:
    assert PUBLISH["findings"](gaps(set()), {"gan": ("temperature", ("mimic",))}).splitlines()[line].endswith(end)
