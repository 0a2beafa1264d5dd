"""Frames between two ranks, both ways: small ones in one message, large ones in pieces.

Two constant tags, no pickle: MPI guarantees tags up to 32,767 only, so that no number travels in
them. A frame that is too large for the receive that is always posted is announced by its header;
its pieces follow on a tag of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from losscape_mpi.farm.waiting import wait_for
from losscape_mpi.point.frames import BEAT, HEADER, Bytes, Frame, header_of, read_header

FRAME_TAG, PIECE_TAG = 1, 2
SMALL_BYTES = 16 << 10  # of the posted receive; a chunk's answers are below it but for wide rows
PIECE_BYTES = 1 << 26  # MPI counts are 32-bit integers, and each piece is a sign of life

BEAT_S = 5.0  # between two heartbeats, in both directions
SILENCE_S = 60.0  # a rank that was not heard of for so long is taken for dead


class Channel:
    """This rank's end of the way to another one; nothing here blocks but `close`."""

    def __init__(self, comm: Any, peer: int) -> None:
        """Post the receive for the first frame.

        Args:
            comm: World communicator.
            peer: Rank at the other end.
        """
        self._comm, self._peer = comm, peer
        self._buffer = np.zeros(SMALL_BYTES, dtype="u1")
        self._request = self._receive(self._buffer, FRAME_TAG)
        self._large: _Large | None = None
        # A send's buffer must live until its Test is true.
        self._sends: list[tuple[Any, np.ndarray]] = []

    def send(self, kind: bytes, body: Bytes = b"") -> None:
        """Send a frame; its body must not change any more."""
        header = header_of(kind, len(body))
        if len(header) + len(body) <= SMALL_BYTES:
            self._post(header + bytes(body), FRAME_TAG)
            return
        self._post(header, FRAME_TAG)
        view = memoryview(body)
        for start in range(0, len(view), PIECE_BYTES):
            self._post(view[start : start + PIECE_BYTES], PIECE_TAG)

    def poll(self) -> Frame | None:
        """Return the next frame, or None; a heartbeat stands for a piece of a larger one."""
        self._sends = [s for s in self._sends if not s[0].Test()]
        if self._large is not None:
            return self._collect(self._large)
        if not self._request.Test():
            return None
        kind, size = read_header(self._buffer)
        if HEADER.itemsize + size > SMALL_BYTES:
            self._large = _Large(kind, size)
            self._next_piece(self._large)
            self._request = self._receive(self._buffer, FRAME_TAG)
            return BEAT, b""
        body = self._buffer[HEADER.itemsize : HEADER.itemsize + size].tobytes()
        self._request = self._receive(self._buffer, FRAME_TAG)
        return kind, body

    @property
    def is_sending(self) -> bool:
        """Whether something that was sent has not left yet."""
        return bool(self._sends)

    def flush(self) -> None:
        """Wait until everything that was sent has left."""
        wait_for([request for request, _ in self._sends])

    def close(self) -> None:
        """Cancel the receives that no message will match, and let the sends end."""
        requests = [self._request]
        if self._large is not None:
            requests.append(self._large.request)
        for request in requests:
            request.Cancel()
        wait_for(requests)
        self.flush()

    def _collect(self, large: _Large) -> Frame | None:
        if not large.request.Test():
            return None
        large.have += large.piece
        if large.have < len(large.body):
            self._next_piece(large)
            return BEAT, b""
        self._large = None
        return large.kind, large.body.data

    def _next_piece(self, large: _Large) -> None:
        large.piece = min(PIECE_BYTES, len(large.body) - large.have)
        piece = large.body[large.have : large.have + large.piece]
        large.request = self._receive(piece, PIECE_TAG)

    def _receive(self, buffer: np.ndarray, tag: int) -> Any:
        return self._comm.Irecv(buffer, source=self._peer, tag=tag)

    def _post(self, data: Bytes, tag: int) -> None:
        buffer = np.frombuffer(data, dtype="u1")
        self._sends.append((self._comm.Isend(buffer, dest=self._peer, tag=tag), buffer))


class _Large:
    """A frame that comes in pieces."""

    def __init__(self, kind: bytes, size: int) -> None:
        self.kind, self.body = kind, np.empty(size, dtype="u1")
        self.have = self.piece = 0
        self.request: Any = None
