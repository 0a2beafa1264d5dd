"""How the values of render's options are read; a wrong one is a mistake in one line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from losscape_mpi.figures.look import Levels
from losscape_mpi.figures.style import nearest_colormap
from losscape_mpi.study.option import read_count


def read_names(*known: str) -> Callable[[str], list[str]]:
    """Return the reader of a list such as contour,surface; with spaces it would swallow a FILE."""

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if not name or (known and name not in known):
                expected = ", ".join(known) or "names separated by commas"
                raise argparse.ArgumentTypeError(f"found {name!r}, expected {expected}")
        return names

    return read


def read_number(text: str) -> float:
    """Return a number, which may be infinite."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number or inf")
    return value


def read_numbers(text: str) -> tuple[float, ...]:
    """Return finite numbers separated by commas."""
    values = tuple(read_number(part) for part in text.split(","))
    if not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected finite numbers")
    return values


def read_pair(text: str) -> tuple[float, float]:
    """Return two finite numbers separated by a comma."""
    values = read_numbers(text)
    if len(values) != 2:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected two numbers such as 30,-60")
    return values[0], values[1]


def read_limits(text: str) -> tuple[float, float]:
    """Return LOW,HIGH."""
    low, high = read_pair(text)
    if not low < high:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected LOW,HIGH such as 0.1,10")
    return low, high


def read_levels(text: str) -> Levels:
    """Return how many levels, or their values in order."""
    return (
        read_count(text)
        if "," not in text and text.isdecimal()
        else tuple(sorted(read_numbers(text)))
    )


def read_colormap(text: str) -> str:
    """Return the name of a colour map of matplotlib."""
    near = nearest_colormap(text)
    if near != text:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a colour map of matplotlib; did you mean {near}?"
        )
    return text


def read_size(text: str) -> tuple[float, float]:
    """Return WIDTHxHEIGHT in inches."""
    try:
        width, height = (float(part) for part in text.split("x"))
    except ValueError:
        width = height = 0.0
    if not (1 <= width <= 100 and 1 <= height <= 100):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected inches such as 6x5")
    return width, height
