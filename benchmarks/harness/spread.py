"""Numbers as a reader wants them: a median with its spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def said(value: float) -> str:
    """A number with as many digits as it deserves."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1_000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.095 else f"{value:.3f}"


def spread(values: Sequence[float]) -> str:
    """median (min–max)"""
    if not values:
        return "–"
    middle = said(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({said(min(values))}–{said(max(values))})"
