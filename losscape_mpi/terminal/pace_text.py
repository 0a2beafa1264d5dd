"""How fast and how long, as people say it."""

from __future__ import annotations


def format_rate(rate: float) -> str:
    """Return points per second, or seconds per point where that reads better."""
    if rate >= 1:
        return f"{rate:.3g} points/s"
    return f"{1 / rate:.3g} s/point" if rate > 0 else "no rate yet"


def format_duration(seconds: float) -> str:
    """Return a duration such as 42 s, 3 min 20 s, 5 h 12 min."""
    if seconds == float("inf"):
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
