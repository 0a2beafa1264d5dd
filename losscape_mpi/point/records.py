"""What the bodies of frames hold: devices, chunks, answers. Each is packed and unpacked here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from losscape_mpi.point.frames import Bytes
from losscape_mpi.point.status import DONE, FAILED

MAX_CHUNK = 128  # points; keeps a request below 1 kB

DEVICE_RECORD = np.dtype(
    [
        ("host", "S64"),
        ("name", "S96"),
        ("uuid", "S64"),  # empty for a CPU
        ("memory_bytes", "<u8"),
        ("threads", "<u4"),
        ("is_cuda", "u1"),
    ]
)
POINT_RECORD = np.dtype(
    [
        ("index", "<i4"),
        ("status", "u1"),
        ("attempts", "u1"),
        ("seconds", "<f4"),
        ("size", "<u8"),  # bytes of the answer itself
    ]
)
_CHUNK_HEAD = np.dtype([("id", "<i8"), ("count", "<i4")])


@dataclass(frozen=True, eq=False)
class Chunk:
    """Indices that one message asks for.

    Attributes:
        id: Number of the question; the answers carry it.
        indices: Flat indices of places, int32 of shape (k,).
    """

    id: int
    indices: np.ndarray

    def pack(self) -> bytes:
        """Return it as bytes."""
        head = np.array([(self.id, len(self.indices))], dtype=_CHUNK_HEAD)
        return head.tobytes() + np.asarray(self.indices, dtype="<i4").tobytes()

    @classmethod
    def unpack(cls, body: Bytes) -> Chunk:
        """Return the chunk that `pack` wrote."""
        head = np.frombuffer(body, _CHUNK_HEAD, count=1)[0]
        return cls(int(head["id"]), np.frombuffer(body, "<i4", int(head["count"]), 12))


@dataclass(frozen=True, eq=False)
class Answers:
    """What was computed of a chunk: for each point a row of float64, or a block of bytes.

    Attributes:
        id: Of the chunk.
        points: `POINT_RECORD`, shape (k,), in the order of asking.
        payload: All rows or blocks, one behind the other; a failed point has none.
    """

    id: int
    points: np.ndarray
    payload: Bytes

    @classmethod
    def of(cls, chunk: int, index: int, status: int, seconds: float, payload: Bytes) -> Answers:
        """Return the answer for one point."""
        record = np.array([(index, status, 1, seconds, len(payload))], dtype=POINT_RECORD)
        return cls(chunk, record, payload)

    @classmethod
    def failed(cls, chunk: int, index: int, attempts: int = 1, reason: str = "") -> Answers:
        """Return the answer for a point that has no values; a reason travels as its payload."""
        told = reason.encode(errors="replace")
        record = np.array([(index, FAILED, min(attempts, 255), 0.0, len(told))], POINT_RECORD)
        return cls(chunk, record, told)

    @classmethod
    def join(cls, parts: list[Answers]) -> Answers:
        """Return several answers for one chunk as one."""
        # By their bytes: numpy compares the types of all parts, 10 us each.
        points = np.frombuffer(bytearray().join(p.points.tobytes() for p in parts), POINT_RECORD)
        payload = parts[0].payload if len(parts) == 1 else b"".join(p.payload for p in parts)
        return cls(parts[0].id, points, payload)

    def pack(self) -> bytes:
        """Return them as bytes."""
        head = np.array([(self.id, len(self.points))], dtype=_CHUNK_HEAD).tobytes()
        return b"".join((head, self.points.tobytes(), self.payload))

    @classmethod
    def unpack(cls, body: Bytes) -> Answers:
        """Return the answers that `pack` wrote; the payload is a view of the body.

        Raises:
            ValueError: If the body has another length than it says.
        """
        head = np.frombuffer(body, _CHUNK_HEAD, count=1)[0]
        points = np.frombuffer(body, POINT_RECORD, int(head["count"]), _CHUNK_HEAD.itemsize)
        payload = memoryview(body)[_CHUNK_HEAD.itemsize + points.nbytes :]
        if len(payload) != int(points["size"].sum()):
            raise ValueError(f"found {len(payload)} bytes of answers, expected {points['size']}")
        return cls(int(head["id"]), points, payload)

    def reason(self) -> tuple[int, str]:
        """Return the index of the one point that failed, and why."""
        return int(self.points["index"][0]), bytes(self.payload).decode(errors="replace")

    def rows(self, width: int) -> np.ndarray:
        """Return the rows, float64 of shape (k, width), NaN for a point that failed.

        Raises:
            ValueError: If an answer is no row of this width.
        """
        sizes = self.points["size"]
        there = self.points["status"] != FAILED
        if (sizes != np.where(there, 8 * width, 0)).any():
            raise ValueError(f"found answers of {sizes.tolist()} bytes, expected rows of {width}")
        rows = np.full((len(sizes), width), np.nan)
        rows[there] = np.frombuffer(self.payload, "<f8").reshape(-1, width)
        return rows

    def blocks(self) -> list[memoryview]:
        """Return the blocks, one for each point; empty for a point that failed."""
        ends = np.cumsum(self.points["size"]).astype(int)
        view = memoryview(self.payload)
        return [
            view[e - int(n) : e]
            for e, n in zip(ends.tolist(), self.points["size"].tolist(), strict=True)
        ]


def pack_ready(seconds: float, reference: np.ndarray) -> bytes:
    """Return what a process says when it can begin: seconds of a point, and the reference row."""
    return np.float64(seconds).tobytes() + np.asarray(reference, dtype="<f8").tobytes()


def unpack_ready(body: Bytes) -> tuple[float, np.ndarray]:
    """Return the seconds and the reference row, float64 of shape (n,)."""
    numbers = np.frombuffer(body, dtype="<f8")
    return float(numbers[0]), numbers[1:]


def row_answer(chunk: int, index: int, row: np.ndarray, status: int, seconds: float) -> Answers:
    """Return the answer for a point whose values are one row of float64."""
    return Answers.of(chunk, index, status, seconds, np.asarray(row, dtype="<f8").tobytes())


def block_answer(chunk: int, index: int, block: Bytes, seconds: float) -> Answers:
    """Return the answer for a point that is a block of bytes."""
    return Answers.of(chunk, index, DONE, seconds, block)
