"""Tables on a terminal: what fits, and whole."""

from __future__ import annotations

import pytest
from rich.console import Console

from distillbench.bench.analysis.summary import summarise
from distillbench.bench.report.summaries import tables
from distillbench.bench.report.terminal import terminal
from support.records import EXPECTED, records

TABLES = tables(summarise(records(), EXPECTED))
TEXTS = {column.title: [row.cells[i].text for row in TABLES[0].rows] for i, column in enumerate(TABLES[0].columns)}


def lines_of(width: int | None) -> list[str]:
    console = Console(width=width or 300)
    with console.capture() as capture:
        console.print(terminal(TABLES, width))
    return [line.rstrip() for line in capture.get().splitlines()]


def columns_of(width: int | None) -> list[str]:
    """The columns whose every number stands there whole."""
    words = " ".join(lines_of(width)).split()
    return [title for title, texts in TEXTS.items() if title != "method" and set(" ".join(texts).split()) <= set(words)]


@pytest.mark.parametrize("width", [50, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(width: int) -> None:
    lines = lines_of(width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    notes = " ".join(" ".join(lines).replace("· ", "\n").split(" ")).splitlines()
    (hidden,) = [n for n in notes if n.startswith("not shown")] or [""]
    for column in list(TEXTS)[1:]:
        assert (column in columns_of(width)) or column.split()[0] in hidden, column


def test_what_matters_most_comes_first() -> None:
    assert {"accuracy ↑ (%)", "seeds"} <= set(columns_of(60))  # what failed or is missing is never left out
    assert {"accuracy ↑ (%)", "seeds", "Δ scratch (accuracy)", "gap recovered", "params"} <= set(columns_of(100))
    assert set(columns_of(None)) == set(TEXTS) - {"method"}
    assert not any(line.startswith("· not shown") for line in lines_of(None))


def test_the_best_is_marked_where_there_is_no_bold() -> None:
    assert [line.split()[1] for line in lines_of(80) if line.startswith("▸")] == ["good"]
