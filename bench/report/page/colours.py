"""Which colour a row has, everywhere the same: told apart also by who sees no red or green (Okabe & Ito 2008)."""

from __future__ import annotations

from collections.abc import Iterable

CONTROLS = {"teacher": "#000000", "scratch": "#767676"}
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SYMBOLS = ("o", "s", "D", "^", "v", "P", "X", "*")
"""matplotlib's; where colours begin again, another shape tells them apart."""
DIVERGING = (("#b35806", -1.0), ("#f1a340", -0.5), ("#f7f7f7", 0.0), ("#998ec3", 0.5), ("#542788", 1.0))
"""ColorBrewer's PuOr: a loss is orange, what is recovered violet."""


def colours(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """{name: (colour, symbol)}."""
    found: dict[str, tuple[str, str]] = {}
    others = 0
    for name in names:
        if name in CONTROLS:
            found[name] = CONTROLS[name], "o"
        elif name not in found:
            found[name] = PALETTE[others % len(PALETTE)], SYMBOLS[(1 + others // len(PALETTE)) % len(SYMBOLS)]
            others += 1
    return found
