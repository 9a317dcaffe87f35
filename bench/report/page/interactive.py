"""Charts for the screen: the input of plotly.js, as values for JSON."""

from __future__ import annotations

import math
from typing import Any

from distillbench.bench.report.chart import Axis, Chart, Point, Series
from distillbench.bench.report.formatting import count_text
from distillbench.bench.report.page.colours import colours
from distillbench.common.text import visible

PLOTLY_SYMBOLS = {"o": 0, "s": 1, "D": 2, "^": 5, "v": 6, "P": 3, "X": 4, "*": 17}
GREY = "#888"
"""Seen on white and on black."""
OPEN = 100
"""Between the number of a filled symbol and that of an open one."""


def figure(chart: Chart) -> dict[str, Any]:
    """A chart as plotly.js takes it.

    Args:
        chart: What is drawn.

    Returns:
        {"data": traces, "layout": layout}, without the colours of background and text: the page sets them, since it
        knows whether it is dark.
    """
    palette = colours(series.name for series in chart.series)
    rows = len(chart.y.categories)
    points = [point for series in chart.series for point in series.points]
    names = {"autorange": "reversed", "automargin": True} if rows else {}
    rule = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": chart.y.rule - 0.5, "y1": chart.y.rule - 0.5}
    layout = {
        "margin": {"l": 60, "r": 10, "t": 10, "b": 45},
        "hovermode": "closest",
        "xaxis": _axis(chart.x, [point.x for point in points]),
        "yaxis": _axis(chart.y, [point.y for point in points]) | names,
        "showlegend": len(chart.series) > 1,
        "height": 120 + 34 * rows if rows else 380,
        **({"shapes": [rule | {"line": {"color": GREY, "width": 1}}]} if 0 < chart.y.rule < rows else {}),
    }
    return {
        "data": [trace for series in chart.series for trace in _traces(series, *palette[series.name])],
        "layout": layout,
    }


def plain(text: str) -> str:
    """Text without tags, which plotly.js would interpret everywhere."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _traces(series: Series, colour: str, symbol: str) -> list[dict[str, Any]]:
    points = sorted(series.points, key=lambda p: p.x) if series.style in ("line", "band") else list(series.points)
    main: dict[str, Any] = {
        "type": "scatter",
        "name": plain(series.name),
        "x": [p.x for p in points],
        "y": [p.y for p in points],
        "text": [plain(p.label or series.name) for p in points],
        "hovertemplate": "%{text}<br>%{x:.4g}; %{y:.5g}<extra></extra>",
        "line": {"color": colour, "width": 1.5, "dash": "dash" if series.control else "solid"},
    }
    if series.style == "faint":
        return [main | {"mode": "markers", "marker": {"color": GREY, "size": 7, "opacity": 0.6}}]
    if series.style == "dots":
        shape = PLOTLY_SYMBOLS[symbol] + OPEN * series.control
        return [
            main
            | {"mode": "markers", "marker": {"color": colour, "symbol": shape, "size": 9}}
            | _errors("error_x", points, "x", colour)
            | _errors("error_y", points, "y", colour)
        ]
    if series.style == "line":
        return [main | {"mode": "lines", "line": {"color": GREY, "width": 1.5}}]
    ends = [p.y_ends or (p.y, p.y) for p in points]
    band = {
        "type": "scatter",
        "x": main["x"] + main["x"][::-1],
        "y": [high for _, high in ends] + [low for low, _ in ends][::-1],
        "fill": "toself",
        "fillcolor": f"{colour}26",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [band, main | {"mode": "lines"}]


def _errors(name: str, points: list[Point], which: str, colour: str) -> dict[str, Any]:
    ends = [getattr(p, f"{which}_ends") for p in points]
    if all(pair is None for pair in ends):
        return {}
    middle = [getattr(p, which) for p in points]
    above = [0 if pair is None else pair[1] - m for pair, m in zip(ends, middle, strict=True)]
    below = [0 if pair is None else m - pair[0] for pair, m in zip(ends, middle, strict=True)]
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    return {name: bars | {"color": colour, "thickness": 1, "width": 3}}


def _axis(axis: Axis, values: list[float]) -> dict[str, Any]:
    settings: dict[str, Any] = {"title": {"text": plain(axis.title)}, "zeroline": not axis.log}
    if axis.log:
        ticks = _ticks(min(values), max(values))
        settings |= {"type": "log", "tickvals": ticks, "ticktext": [count_text(tick) for tick in ticks]}
    if axis.categories:
        settings |= {"tickvals": list(range(len(axis.categories))), "ticktext": [plain(c) for c in axis.categories]}
    return settings


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, or the powers alone where that were many; plotly.js would label every digit."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**k for k in decades for m in (1, 2, 5) if low / 1.6 <= m * 10.0**k <= high * 1.6]
    if len(ticks) < 3:
        return sorted({low, high, *ticks})
    return ticks if len(ticks) <= 7 else [tick for tick in ticks if math.log10(tick) % 1 < 1e-9]
