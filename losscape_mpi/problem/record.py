"""What a checkpoint says of its own accuracy, beside its parameters."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# best_prec1, acc, best_acc, best_val_acc, test_accuracy, acc@1, top1: of usual training scripts.
NAME = re.compile(
    r"((best|test|val|valid|eval|max)[ _]*)*((prec|acc|accuracy)[ _@]*1?|top[ _@]*1)", re.IGNORECASE
)
MAX_BYTES = 1 << 30  # a larger file is not read a second time for one number
DEPTH = 2


def recorded_accuracy(path: Path) -> float | None:
    """Return the accuracy that a checkpoint of a training script records, 0 to 1.

    Args:
        path: Written by torch.save. Other files, and those that hold code, record nothing.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whoever reads the parameters has said what is wrong with the file
        return None
    found = [value for name, value in _numbers(loaded, DEPTH) if NAME.fullmatch(name)]
    shares = [value / 100 if value > 1 else value for value in found if 0 <= value <= 100]
    return max(shares, default=None)


def _numbers(record: Any, depth: int) -> Iterator[tuple[str, float]]:
    """Yield the named single numbers of a dictionary and of those in it."""
    if not isinstance(record, Mapping):
        return
    for name, value in record.items():
        if isinstance(value, Mapping) and depth > 1:
            yield from _numbers(value, depth - 1)
        elif _is_single(value):
            yield str(name), float(value)


def _is_single(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex()
    return isinstance(value, (int, float)) and not isinstance(value, bool)
