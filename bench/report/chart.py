"""A chart as a value: the page and ``distillbench plot`` draw it, each in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Ends = tuple[float, float]
"""The lower and the upper end of an interval."""


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Attributes:
        title: What it measures, with the unit.
        log: Whether its scale is logarithmic.
        better: Which way is better; '' where neither is.
        categories: The names of the whole numbers from 0 on; empty where the axis has numbers.
        rule: Before so many categories a line divides them; 0 for none.
    """

    title: str
    log: bool = False
    better: Literal["higher", "lower", ""] = ""
    categories: tuple[str, ...] = ()
    rule: int = 0


@dataclass(frozen=True)
class Point:
    """One point of a chart.

    Attributes:
        x: Its place on the horizontal axis.
        y: Its place on the vertical axis.
        x_ends: The interval of ``x``; None where there is none.
        y_ends: The interval of ``y``; None where there is none.
        label: What is shown to a reader who points at it.
    """

    x: float
    y: float
    x_ends: Ends | None = None
    y_ends: Ends | None = None
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Points of one colour.

    Attributes:
        name: The entry of the legend.
        points: In any order.
        style: How they are drawn: as dots, faint dots, a grey line that the others are read against, or a line with the
            band of its intervals.
        control: Whether they are of a control: dots are open, and lines are dashed.
    """

    name: str
    points: tuple[Point, ...]
    style: Literal["dots", "faint", "line", "band"] = "dots"
    control: bool = False


@dataclass(frozen=True)
class Chart:
    """Series of points over two axes.

    Attributes:
        name: The name of its files.
        title: Stands above it.
        x: The horizontal axis.
        y: The vertical axis.
        series: What is drawn, in the order of the legend.
        alt: What it shows, for readers who cannot see it.
        note: Stands beneath it.
    """

    name: str
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    alt: str
    note: str = ""


@dataclass(frozen=True)
class HeatMapCell:
    """One cell of a heat map.

    Attributes:
        value: What decides the colour; None where there is no value, and ``text`` is the reason.
        text: What stands in the cell.
        significant: Whether the value is significantly different from zero, corrected for all methods of the task.
        ends: The interval of the value; None where there is none.
    """

    value: float | None
    text: str
    significant: bool = False
    ends: Ends | None = None

    @property
    def interval(self) -> str:
        """The interval in percent, '[78, 84]', without a sign before zero; '' where there is none."""
        return "" if self.ends is None else f"[{', '.join(f'{100 * end:z.0f}' for end in self.ends)}]"


@dataclass(frozen=True)
class HeatMap:
    """A table of coloured cells.

    Attributes:
        name: The name of its files.
        title: Stands above it.
        rows: The names of the rows.
        columns: The names of the columns.
        cells: {(row, column): cell}; every row has a cell in every column.
        alt: What it shows, for readers who cannot see it.
        note: Stands beneath it.
        controls: The last rows, which stand below a rule.
    """

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], HeatMapCell]
    alt: str
    note: str = ""
    controls: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """The rows above the rule."""
        return tuple(row for row in self.rows if row not in self.controls)


def frame(chart: Chart | HeatMap) -> pd.DataFrame:
    """The data of a chart, one row for each point or cell."""
    if isinstance(chart, HeatMap):
        cells = [(row, column, chart.cells[row, column]) for row in chart.rows for column in chart.columns]
        return pd.DataFrame(
            [
                (r, r in chart.controls, c, cell.value, *(cell.ends or (None, None)), cell.significant, cell.text)
                for r, c, cell in cells
            ],
            columns=["row", "control", "column", "value", "low", "high", "significant", "text"],
        )
    rows = [
        (series.name, p.label, p.x, *(p.x_ends or (None, None)), p.y, *(p.y_ends or (None, None)))
        for series in chart.series
        for p in series.points
    ]
    names = ["series", "label", chart.x.title, "x low", "x high", chart.y.title, "y low", "y high"]
    return pd.DataFrame(rows, columns=names).dropna(axis="columns", how="all")
