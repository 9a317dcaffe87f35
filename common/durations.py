"""Durations in words."""

from __future__ import annotations


def format_seconds(seconds: float) -> str:
    """Format seconds as '40 s', '8 min' or '3.5 h'."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
