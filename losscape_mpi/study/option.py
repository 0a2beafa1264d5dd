"""How numbers on a command line are read; a wrong one is a mistake in one line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

MAX_COUNT = 10**6
MAX_SECONDS = 1e6  # 11 days; the system's own clocks end at 292 years


def is_number(text: str) -> bool:
    """Return whether a text is a number of any kind, infinite and undefined ones among them."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def count_within(least: int, most: int = MAX_COUNT) -> Callable[[str], int]:
    """Return the reader of a whole number within limits, both of them included."""
    above = f"above {least - 1}"
    expected = f"a whole number {above if most == MAX_COUNT else f'from {least} to {most}'}"

    def read(text: str) -> int:
        # As ASCII: int() takes the digits of all scripts.
        is_whole = text.isascii() and text.isdecimal() and len(text) < 20
        if not is_whole or int(text) < least:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")
        if int(text) > most:
            raise argparse.ArgumentTypeError(f"found {text}, expected at most {most}")
        return int(text)

    return read


read_count = count_within(1)


def read_seconds(text: str) -> float:
    """Return a positive number of seconds, at most `MAX_SECONDS`."""
    value = float(text) if is_number(text) else math.nan
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a positive number of seconds, at most {MAX_SECONDS:.0f}"
        )
    return value
