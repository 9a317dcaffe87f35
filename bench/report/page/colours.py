"""The colours of rows, the same in all charts: distinguishable without seeing red and green (Okabe & Ito 2008)."""

from __future__ import annotations

from collections.abc import Iterable

FIXED = {"teacher": "#000000", "scratch": "#767676"}
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SYMBOLS = ("o", "s", "D", "^", "v", "P", "X", "*")
"""Markers of matplotlib: where colours repeat, the shape differs."""
DIVERGING = (("#b35806", -1.0), ("#f1a340", -0.5), ("#f7f7f7", 0.0), ("#998ec3", 0.5), ("#542788", 1.0))
"""ColorBrewer's PuOr: a loss is orange, what is recovered violet."""


def colours(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The colour and the symbol of every name, as {name: (colour, symbol)}."""
    chosen: dict[str, tuple[str, str]] = {}
    count = 0
    for name in names:
        if name in FIXED:
            chosen[name] = FIXED[name], "o"
        elif name not in chosen:
            chosen[name] = PALETTE[count % len(PALETTE)], SYMBOLS[(1 + count // len(PALETTE)) % len(SYMBOLS)]
            count += 1
    return chosen
