"""The rank's side of an evaluator process: started by exec, talked to over pipes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from losscape_mpi.point.frames import (
    MISTAKE,
    Bytes,
    FrameReader,
    FrameWriter,
    PipeClosedError,
)

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
        self._reader, self._writer = FrameReader(self._read_fd), FrameWriter(self._write_fd)
        self._is_sending = False
        self._has_explained = False  # its end is expected after it named a user's mistake

    @property
    def pid(self) -> int:
        """Process number of the child."""
        return self._process.pid

    @property
    def is_sending(self) -> bool:
        """Whether a part of what waited left at the last `poll`."""
        return self._is_sending

    def send(self, kind: bytes, body: Bytes = b"") -> None:
        """Send a frame; what the pipe does not hold now follows with each `poll`.

        An end of the process is left to `poll` to find, which hears its last words first.
        """
        with contextlib.suppress(PipeClosedError):
            self._writer.send(kind, body)

    def poll(self) -> tuple[bytes, bytes] | None:
        """Return the next frame as (kind, body), or None.

        Raises:
            EvaluatorError: If the process has ended.
        """
        if self._has_explained:
            return None
        try:
            frame = self._reader.poll()
        except PipeClosedError:
            raise self._ended() from None
        self._is_sending = False
        if frame is None:
            with contextlib.suppress(PipeClosedError):  # the reader finds it, after all it said
                self._is_sending = self._writer.pump()
        self._has_explained = frame is not None and frame[0] == MISTAKE
        return frame

    def stop(self) -> None:
        """End the process at once; what it was computing is lost."""
        for descriptor in (self._write_fd, self._read_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._write_fd = self._read_fd = -1
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(EXIT_WAIT_S)

    def _ended(self) -> EvaluatorError:
        code = self._process.wait(EXIT_WAIT_S)
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return EvaluatorError(f"evaluator process {self.pid} ended ({how}); its output is above")
