"""The rank's side of an evaluator process: started by exec, talked to over pipes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from losscape_mpi.farm.host.family import Guard, end_session
from losscape_mpi.point.frames import (
    MISTAKE,
    Bytes,
    FrameReader,
    FrameWriter,
    PipeClosedError,
)

EXIT_WAIT_S = 5.0
EXIT_LOOK_S = 1e-3


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
        self._guard: Guard | None = Guard(self.pid)
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
        has_ended = self._has_ended()  # asked first: what it said before is in the pipe then
        try:
            frame = self._reader.poll()
        except PipeClosedError:
            raise self._end() from None
        if frame is None and has_ended:  # a process that it has forked holds the pipe
            raise self._end()
        self._is_sending = False
        if frame is None:
            with contextlib.suppress(PipeClosedError):  # the reader finds it, after all it said
                self._is_sending = self._writer.pump()
        self._has_explained = frame is not None and frame[0] == MISTAKE
        return frame

    def stop(self) -> None:
        """End the process at once with all that it has started; what it computes is lost."""
        for descriptor in (self._write_fd, self._read_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._write_fd = self._read_fd = -1
        self._bury()

    def _has_ended(self) -> bool:
        """Return whether the process has ended, which keeps its number until it is buried."""
        if self._guard is None or self._process.returncode is not None:
            return True
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def _bury(self) -> int:
        """Kill what is left of the process and its children; returns how it ended."""
        if self._guard is not None:
            end_session(self.pid)
            self._guard.dismiss()
            self._guard = None
        return self._process.wait(EXIT_WAIT_S)

    def _end(self) -> EvaluatorError:
        deadline = time.monotonic() + EXIT_WAIT_S
        while not self._has_ended() and time.monotonic() < deadline:
            time.sleep(EXIT_LOOK_S)  # its pipe is closed: the rest takes a moment
        code = self._bury()
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return EvaluatorError(f"evaluator process {self.pid} ended ({how}); its output is above")
