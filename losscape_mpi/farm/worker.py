"""The worker: any other rank than 0. Passes frames to its evaluator process, and answers back."""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import Any

from losscape_mpi.farm.channel import BEAT_S, SILENCE_S, Channel
from losscape_mpi.farm.clock import AwakeClock
from losscape_mpi.farm.supervisor import Supervisor
from losscape_mpi.farm.waiting import WORKER_WAIT_S, Backoff
from losscape_mpi.point.frames import BEAT, BYE, PAUSE, STOP, Frame

logger = logging.getLogger(__name__)


def serve_master(comm: Any, evaluator: Supervisor) -> None:
    """Work for rank 0 until it says stop.

    Args:
        comm: World communicator.
        evaluator: The supervisor of a process that has just been started.

    Raises:
        EvaluatorError: If the evaluator process dies before it has ever been ready.
    """
    try:
        Porter(Channel(comm, 0), evaluator).run()
    finally:
        evaluator.stop()


class Porter:
    """Carries frames in and answers out, and notices when the master is gone."""

    def __init__(self, channel: Channel, evaluator: Supervisor) -> None:
        self._channel, self._evaluator = channel, evaluator
        self._clock = AwakeClock(time.monotonic)
        self._heard = self._beat = self._clock()
        self._is_watching = False  # before the first job, and in a pause, the master is silent

    def run(self) -> None:
        """Serve until the master says stop."""
        backoff, is_stopped = Backoff(WORKER_WAIT_S), False
        while not is_stopped:
            answer = self._evaluator.poll()
            if answer is not None:
                self._channel.send(*answer)
            frame = self._channel.poll()
            if frame is not None:
                is_stopped = self._obey(frame)
            self._keep_in_touch()
            is_moving = self._evaluator.is_sending
            backoff.rest(answer is not None or frame is not None or is_moving)
        self._evaluator.stop()
        self._channel.send(BYE)
        self._channel.flush()
        self._channel.close()

    def _obey(self, frame: Frame) -> bool:
        """Do what the master says; returns whether that is to stop."""
        self._heard = self._clock()
        kind = frame[0]
        if kind == BEAT:
            return False
        self._is_watching = kind != PAUSE
        if kind not in (PAUSE, STOP):
            self._evaluator.send(*frame)
        return kind == STOP

    def _keep_in_touch(self) -> None:
        now = self._clock()
        if now - self._beat > BEAT_S:
            self._beat = now
            self._channel.send(BEAT)
        if self._is_watching and now - self._heard > SILENCE_S:
            logger.error("the master was silent for %g s: this worker ends", SILENCE_S)
            self._evaluator.stop()
            # Not exit(): MPI_Finalize would wait for the master for ever.
            os.kill(os.getpid(), signal.SIGKILL)
