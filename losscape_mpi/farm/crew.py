"""The crew of a run: all ranks from start to end, whatever happens in between."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.farm.devices import HOST_RECORD, RankHost, Seat, child_environment, this_host
from losscape_mpi.farm.evaluator_process import EvaluatorProcess
from losscape_mpi.farm.links import Link, LocalLink, RemoteLink
from losscape_mpi.farm.master import Master, Ready, Take, Then
from losscape_mpi.farm.messages import broadcast, exchange
from losscape_mpi.farm.opening import final_choices, introductions
from losscape_mpi.farm.supervisor import Patience, Supervisor
from losscape_mpi.farm.worker import serve_master

EVALUATOR = ("-m", "losscape_mpi.evaluation.process")


def gather_hosts(comm: Any) -> list[RankHost]:
    """Return where every rank runs, by rank; without MPI this process is rank 0 of 1."""
    here = this_host(os.environ)
    if comm is None or comm.Get_size() == 1:
        return [here]
    records = exchange(comm, here.to_record())
    return [RankHost.from_record(r) for r in records.astype(HOST_RECORD, copy=False)]


def start_evaluator(seat: Seat, proves: bool) -> EvaluatorProcess:
    """Start the evaluator process of a seat.

    Args:
        seat: Its device and threads.
        proves: Whether it proves for the whole run that the model is deterministic.
    """
    command = [sys.executable, *EVALUATOR]
    command += ["--device", seat.device, "--threads", str(seat.threads)]
    command += ["--check"] if proves else []
    return EvaluatorProcess(command, child_environment(os.environ, seat))


def supervise(seat: Seat, seats: Sequence[Seat], patience: Patience) -> Supervisor:
    """Return the supervisor of a seat's evaluator process, which is started."""
    proves = seat is seats[0]
    return Supervisor(lambda is_first: start_evaluator(seat, proves and is_first), patience)


def follow(comm: Any, seats: Sequence[Seat], patience: Patience) -> None:
    """Be a worker rank until rank 0 ends the run."""
    rank = comm.Get_rank()
    (seat,) = [s for s in seats if s.rank == rank]
    serve_master(comm, supervise(seat, seats, patience))


class Crew:
    """Rank 0's hold on all workers; leaving the context ends them in every stage of a run."""

    def __init__(self, comm: Any, seats: Sequence[Seat], patience: Patience) -> None:
        """Start rank 0's own evaluator, if it has a seat, and listen to the other ranks."""
        self._comm = comm
        self._is_job_sent = False
        links: list[Link] = []
        for seat in seats:
            if seat.rank == 0:
                links.append(LocalLink(supervise(seat, seats, patience)))
            else:
                links.append(RemoteLink(comm, seat.rank))
        self._master = Master(links)

    def introductions(self, stopping: Callable[[], bool]) -> list[np.void]:
        """Return the device record of every worker, once all are up or the run shall stop."""
        return introductions(self._master.desks, stopping)

    def send_job(self, block: bytes) -> None:
        """Give every worker the job (`evaluation.job`)."""
        for desk in self._master.desks:
            desk.link.send_job(block)
        if self._comm is not None:
            broadcast(self._comm, block)
        self._is_job_sent = True

    def final_choices(self, stopping: Callable[[], bool]) -> bytes | None:
        """Return what worker 0 chose, once all have been told; None if the run shall stop."""
        return final_choices(self._master.desks, stopping)

    def run(
        self,
        points: np.ndarray,
        num_columns: int,
        ready: Ready,
        take: Take,
        stopping: Callable[[], bool],
        then: Then | None = None,
    ) -> bool:
        """Have the points evaluated, see `Master.run`; then every worker is stopped."""
        is_complete = self._master.run(points, num_columns, ready, take, stopping, then)
        self._master.stop()
        return is_complete

    def tell_losses_to(self, on_gone: Callable[[int, str], None]) -> None:
        """Have a function called with each worker that gets no more points, and why."""
        self._master.on_gone = on_gone

    @property
    def has_lost_ranks(self) -> bool:
        """Whether a rank has died or hangs, so that MPI cannot end in good order."""
        return any(desk.link.is_lost for desk in self._master.desks)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, UserError):
            return  # a bug: the whole job is aborted, and evaluators die with their ranks
        if not self._is_job_sent and self._comm is not None:
            broadcast(self._comm, None)
        if not all(desk.link.stopped or desk.link.is_lost for desk in self._master.desks):
            self._dismiss()

    def _dismiss(self) -> None:
        if self._is_job_sent or self._comm is None:
            self._master.stop()
            return
        for desk in self._master.desks:  # ranks have left by themselves after the broadcast
            if isinstance(desk.link, LocalLink):
                desk.link.stop()
            desk.link.close()


def refuse_shared_gpus(devices: Sequence[np.void], share_gpu: bool) -> None:
    """Check that no two workers compute on one GPU.

    Raises:
        UserError: If two report the same UUID and sharing was not allowed.
    """
    seen: dict[bytes, str] = {}
    for number, device in enumerate(devices):
        uuid, host = bytes(device["uuid"]), bytes(device["host"]).decode()
        if uuid and uuid in seen and not share_gpu:
            raise UserError(
                f"workers {seen[uuid]} and {number} both compute on GPU {uuid.decode()} of {host}: "
                "expected one worker for each GPU; start fewer ranks, ask for GPUs by "
                "--gpus-per-node, or set farm.share_gpu=true"
            )
        seen[uuid] = str(number)
