"""The checksum of each point: crc32 of its values, little-endian float64 in column order."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from losscape_mpi.point.status import DONE, NONFINITE

FEW = 20_000  # points; below, one call for each is faster than making tables
BLOCK = 1 << 15  # points; what is looked up at once stays in the cache


def row_crc(row: np.ndarray) -> int:
    """Return the crc32 of one point's value bytes."""
    return zlib.crc32(np.ascontiguousarray(row, dtype="<f8").tobytes())


def accepted(status: np.ndarray, crc: np.ndarray, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return which points hold a finished value that its checksum confirms.

    Args:
        status: Flat status codes, shape (size,).
        crc: Flat checksums, shape (size,).
        columns: Flat values of each column in the order of the checksum, shape (size,) each.

    Returns:
        Boolean array of shape (size,).
    """
    finished = (status == DONE) | (status == NONFINITE)
    if len(status) > FEW:
        return finished & (_all_crcs(columns) == crc)
    for index in np.flatnonzero(finished):
        finished[index] = row_crc(np.array([data[index] for data in columns])) == crc[index]
    return finished


def _all_crcs(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return the crc32 of every row, uint32 (size,).

    A crc of bytes is linear: that of a row is the sum (exclusive or) of what each two bytes add.
    """
    size = len(columns[0])
    tables = _tables(8 * len(columns))  # (4 * num_columns, 65536)
    found = np.full(size, zlib.crc32(bytes(8 * len(columns))), dtype="u4")
    for k, data in enumerate(columns):
        if not data.any() and not np.signbit(data).any():
            continue  # zeros add nothing
        words = np.ascontiguousarray(data, dtype="<f8").view("<u2").reshape(size, 4)
        for start in range(0, size, BLOCK):
            part = found[start : start + BLOCK]
            for j in range(4):
                part ^= tables[4 * k + j].take(words[start : start + BLOCK, j])
    return found


def _tables(length: int) -> np.ndarray:
    """Return what two bytes at each even place of a row add to its crc."""
    zero = zlib.crc32(bytes(length))
    single = np.zeros((length, 256), dtype="u4")
    row = bytearray(length)
    for place in range(length):
        for value in range(256):
            row[place] = value
            single[place, value] = zlib.crc32(row) ^ zero
        row[place] = 0
    low, high = single[0::2], single[1::2]  # (length / 2, 256)
    return (high[:, :, None] ^ low[:, None, :]).reshape(length // 2, 65536)
