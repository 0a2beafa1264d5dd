"""The names and types of a surface file (docs/file-format.md), and its hash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np

FORMAT = 2  # of new files: /columns says what each of them is
FORMATS = (1, 2)  # that are read and go on; 1 has names of columns only

POINT_DATASETS: dict[str, np.dtype[Any]] = {
    "status": np.dtype("u1"),
    "crc": np.dtype("u4"),
    "seconds": np.dtype("f4"),
    "worker": np.dtype("u2"),
    "attempts": np.dtype("u1"),
}

RECHECK = "recheck"  # uint8 like /status: codes of `point.status`; files begun earlier have none

# Run-dependent by nature, hence no part of the canonical hash.
PROGRESS = np.dtype(
    [
        ("running", "u1"),  # 1 while a run holds the file; stays 1 after a kill
        ("runs", "u4"),  # how often a run opened the file for writing
        ("workers", "u4"),  # rows of /workers in use
        ("started", "f8"),  # Unix time of the last run's start
        ("updated", "f8"),  # Unix time of the last write
        ("done_before", "u4"),  # points the file held when the last run started
        ("host", "S64"),
        ("pid", "u4"),
        ("job", "S32"),
    ]
)
WORKER = np.dtype([("run", "u4"), ("host", "S64"), ("device", "S96"), ("gone", "S32")])
NUM_WORKER_ROWS = 1024  # 164 kB; later workers share the last row
UNKNOWN_WORKER = 2**16 - 1


def to_json(value: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON text of a mapping: sorted keys, ASCII, no spaces to vary."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False).encode()


def canonical_sha256(
    manifest: bytes,
    axes: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    status: np.ndarray,
    crc: np.ndarray,
    directions: Mapping[str, np.ndarray],
) -> str:
    """Return the hash that two runs of one study share, whatever their ranks, chunks and kills.

    Args:
        manifest: The manifest's JSON bytes as stored.
        axes: Coordinates by axis name.
        values: Values and standard errors by column name.
        status: Status codes, shape (n, m).
        crc: Checksums, shape (n, m).
        directions: Direction tensors by "axis/parameter name".

    Returns:
        SHA-256 as 64 hexadecimal digits.
    """
    digest = sha256(manifest)
    arrays: dict[str, np.ndarray] = {f"axes/{k}": v for k, v in axes.items()}
    arrays |= values
    arrays |= {"status": status, "crc": crc}
    arrays |= {f"directions/{k}": v for k, v in directions.items()}
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view("u1").data)
    return digest.hexdigest()
