"""The worker: any other rank than 0. Passes chunks to its evaluator process, results back."""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import Any

import numpy as np

from losscape_mpi import wire
from losscape_mpi.farm.messages import (
    BEAT,
    BEAT_S,
    BYE,
    CONTROL,
    CONTROL_RECORD,
    PARCEL_COUNT,
    RESULT,
    SILENCE_S,
    STOP_COUNT,
    TEXT_BYTES,
    WORK,
    WORKER_WAIT_S,
    Backoff,
    Parcel,
    broadcast,
    wait_for,
)
from losscape_mpi.farm.supervisor import Supervisor

logger = logging.getLogger(__name__)


def serve_master(comm: Any, evaluator: Supervisor) -> None:
    """Work for rank 0 until it says stop.

    Args:
        comm: World communicator.
        evaluator: The supervisor of a process that has just been started.

    Raises:
        EvaluatorError: If the evaluator process dies before it is ready.
    """
    try:
        hello = _next_frame(evaluator)
        _tell(comm, *hello)
        block = broadcast(comm, None, evaluator.check_alive)
        if block is None:
            return
        evaluator.send_job(block)
        del block
        _Shuttle(comm, evaluator).run()
    finally:
        evaluator.stop()


class _Shuttle:
    """Carries chunks in and results out, and notices when the master is gone."""

    def __init__(self, comm: Any, evaluator: Supervisor) -> None:
        self._comm = comm
        self._evaluator = evaluator
        self._work = np.zeros(1, dtype=wire.CHUNK_RECORD)
        self._parcel = Parcel()
        self._sends: list[tuple[Any, np.ndarray]] = []
        self._heard = self._beat = time.monotonic()

    def run(self) -> None:
        backoff = Backoff(WORKER_WAIT_S)
        request = self._post()
        while True:
            # A send's buffer must live until its Test is true.
            self._sends = [s for s in self._sends if not s[0].Test()]
            busy = self._forward(self._evaluator.poll())
            if request.Test():
                self._heard = time.monotonic()
                count = int(self._work["count"][0])
                if count == STOP_COUNT:
                    break
                if count == PARCEL_COUNT and (frame := self._parcel.take(self._work)):
                    self._evaluator.send_later(*frame)
                if count > 0:
                    self._evaluator.send_chunk(self._work)
                request = self._post()
                busy = True
            self._keep_in_touch()
            backoff.rest(busy)
        self._evaluator.stop()
        self._send(control_record(BYE, b""), CONTROL)
        wait_for([request for request, _ in self._sends])

    def _keep_in_touch(self) -> None:
        now = time.monotonic()
        if now - self._beat > BEAT_S:
            self._beat = now
            self._send(control_record(BEAT, b""), CONTROL)
        if now - self._heard > SILENCE_S:
            logger.error("the master was silent for %g s: this worker ends", SILENCE_S)
            self._evaluator.stop()
            # Not exit(): MPI_Finalize would wait for the master for ever.
            os.kill(os.getpid(), signal.SIGKILL)

    def _post(self) -> Any:
        return self._comm.Irecv(self._work.view("u1"), source=0, tag=WORK)

    def _send(self, record: np.ndarray, tag: int) -> None:
        self._sends.append((self._comm.Isend(record.view("u1"), dest=0, tag=tag), record))

    def _forward(self, frame: tuple[bytes, bytes] | None) -> bool:
        if frame is None:
            return False
        kind, body = frame
        if kind == wire.RESULT:
            self._send(np.frombuffer(body, dtype="u1"), RESULT)
        else:
            self._send(control_record(kind, body), CONTROL)
        return True


def control_record(kind: bytes, body: bytes) -> np.ndarray:
    """Return the control record, shape (1,), that carries a frame other than a result."""
    record = np.zeros(1, dtype=CONTROL_RECORD)
    record["kind"] = kind
    if kind == wire.HELLO:
        record["device"] = np.frombuffer(body, dtype=wire.DEVICE_RECORD)
    elif kind == wire.READY:
        values = np.frombuffer(body, dtype="<f8")
        record["center"][0, : len(values)] = values
    else:
        record["text"] = body[:TEXT_BYTES]
    return record


def _tell(comm: Any, kind: bytes, body: bytes) -> None:
    wait_for([comm.Isend(control_record(kind, body).view("u1"), dest=0, tag=CONTROL)])


def _next_frame(evaluator: Supervisor) -> tuple[bytes, bytes]:
    backoff = Backoff(WORKER_WAIT_S)
    while (frame := evaluator.poll()) is None:
        backoff.rest(busy=False)
    return frame
