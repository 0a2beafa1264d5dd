"""How numbers and words get into the page: arrays as one block of bytes, the rest as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

ALIGNMENT = 8  # bytes: a float64 array begins at a multiple of its size


class Packer:
    """Collects arrays into one block of bytes that the page's script cuts up again."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, array: np.ndarray, kind: str = "f8") -> dict[str, Any]:
        """Return the reference that the script replaces by the array.

        Args:
            array: Numbers of any shape; the script gets them flat.
            kind: f8, u4 or u1.
        """
        part = np.ascontiguousarray(array, dtype=f"<{kind}").tobytes()
        reference = {"array": kind, "at": self._size, "size": int(np.size(array))}
        part += bytes(-len(part) % ALIGNMENT)
        self._parts.append(part)
        self._size += len(part)
        return reference

    def content(self) -> bytes:
        """Return all arrays, little-endian."""
        return b"".join(self._parts)


def script_json(value: dict[str, Any]) -> str:
    """Return JSON that may stand inside a script element: no character ends or opens a tag."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
