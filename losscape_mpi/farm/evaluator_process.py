"""The rank's side of an evaluator process: started by exec, talked to over pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from losscape_mpi import wire

EXIT_WAIT_S = 5.0


class EvaluatorError(RuntimeError):
    """An evaluator process ended without being asked to."""


class EvaluatorProcess:
    """A child process that evaluates points for this rank.

    A child, because a segmentation fault, the out-of-memory killer or a lost CUDA context must
    not take an MPI rank with it; by exec, because a fork after MPI_Init is unsafe.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the process.

        Args:
            command: Its command line; --read-fd N --write-fd M are appended.
            environment: Its whole environment.
        """
        child_reads, self._write_fd = os.pipe()
        self._read_fd, child_writes = os.pipe()
        numbers = ["--read-fd", str(child_reads), "--write-fd", str(child_writes)]
        self._process = subprocess.Popen(
            [*command, *numbers],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # a user's print must not reach a pipe of ours
            pass_fds=(child_reads, child_writes),
            start_new_session=True,  # Ctrl-C is for the rank to handle
        )
        os.close(child_reads)
        os.close(child_writes)
        self._reader = wire.FrameReader(self._read_fd)
        self._has_explained = False  # its end is expected after it named a user's mistake

    @property
    def pid(self) -> int:
        """Process number of the child."""
        return self._process.pid

    def send_job(self, block: bytes) -> None:
        """Send the job; the child is reading by then, so that a large block cannot block."""
        self._send(wire.JOB, block)

    def send_frame(self, kind: bytes, body: bytes) -> None:
        """Send what belongs to the job but came later: choices, values at anchors."""
        self._send(kind, body)

    def send_chunk(self, record: np.ndarray) -> None:
        """Send a chunk record; a pipe holds several of them while the child computes."""
        self._send(wire.CHUNK, record.tobytes())

    def poll(self) -> tuple[bytes, bytes] | None:
        """Return the next frame as (kind, body), or None.

        Raises:
            EvaluatorError: If the process has ended.
        """
        if self._has_explained:
            return None
        try:
            frame = self._reader.poll()
        except wire.PipeClosedError:
            raise self._ended() from None
        self._has_explained = frame is not None and frame[0] == wire.MISTAKE
        return frame

    def check_alive(self) -> None:
        """Do nothing while the process lives.

        Raises:
            EvaluatorError: If it has ended without naming a user's mistake.
        """
        if not self._has_explained and self._process.poll() is not None:
            raise self._ended()

    def stop(self) -> None:
        """End the process at once; what it was computing is lost."""
        for descriptor in (self._write_fd, self._read_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._write_fd = self._read_fd = -1
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(EXIT_WAIT_S)

    def _send(self, kind: bytes, body: bytes) -> None:
        try:
            wire.write_frame(self._write_fd, kind, body)
        except wire.PipeClosedError:
            raise self._ended() from None

    def _ended(self) -> EvaluatorError:
        code = self._process.wait(EXIT_WAIT_S)
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return EvaluatorError(f"evaluator process {self.pid} ended ({how}); its output is above")
