"""The pool of a run: all ranks from start to end, whatever happens in between."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from losscape_mpi.errors import UserError
from losscape_mpi.farm.evaluator_process import EvaluatorProcess
from losscape_mpi.farm.host.devices import HOST_RECORD, RankHost, Seat, child_environment, this_host
from losscape_mpi.farm.links import Link, LocalLink, RemoteLink
from losscape_mpi.farm.master import Master
from losscape_mpi.farm.patience import Patience
from losscape_mpi.farm.stage import Ready, Stage
from losscape_mpi.farm.start import decision, introductions
from losscape_mpi.farm.supervisor import Supervisor
from losscape_mpi.farm.waiting import exchange
from losscape_mpi.farm.worker import serve_master
from losscape_mpi.point.frames import Bytes


@dataclass(frozen=True)
class Crew:
    """Who computes, and how: the same on every rank.

    Attributes:
        seats: Device and threads of each worker.
        module: The module that an evaluator process runs.
        patience: Retries and timeout.
    """

    seats: Sequence[Seat]
    module: str
    patience: Patience

    def supervise(self, seat: Seat) -> Supervisor:
        """Return the supervisor of a seat's evaluator process, which is started."""
        # One worker proves for all that a job gives the same values twice.
        proves = seat is self.seats[0]
        return Supervisor(lambda check: self._start(seat, check), self.patience, proves=proves)

    def _start(self, seat: Seat, check: bool) -> EvaluatorProcess:
        command = [sys.executable, "-m", self.module]
        command += ["--device", seat.device, "--threads", str(seat.threads)]
        command += ["--check"] if check else []
        return EvaluatorProcess(command, child_environment(os.environ, seat))


def gather_hosts(comm: Any) -> list[RankHost]:
    """Return where every rank runs, by rank; without MPI this process is rank 0 of 1."""
    here = this_host(os.environ)
    if comm is None or comm.Get_size() == 1:
        return [here]
    records = exchange(comm, here.to_record())
    return [RankHost.from_record(r) for r in records.astype(HOST_RECORD, copy=False)]


def follow(comm: Any, crew: Crew) -> None:
    """Be a worker rank until rank 0 ends the run."""
    rank = comm.Get_rank()
    (seat,) = [s for s in crew.seats if s.rank == rank]
    serve_master(comm, crew.supervise(seat))


class Pool:
    """Rank 0's hold on all workers; leaving the context ends them in every stage of a run."""

    def __init__(self, comm: Any, crew: Crew) -> None:
        """Start rank 0's own evaluator, if it has a seat, and listen to the other ranks."""
        self._comm = comm
        self._is_stopped = False
        links: list[Link] = []
        for seat in crew.seats:
            if seat.rank == 0:
                links.append(LocalLink(crew.supervise(seat)))
            else:
                links.append(RemoteLink(comm, seat.rank))
        self._master = Master(links, retries=crew.patience.retries)

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self._master.members)

    @property
    def has_lost_ranks(self) -> bool:
        """Whether a rank has died or hangs, so that MPI cannot end in good order."""
        return any(member.link.is_lost for member in self._master.members)

    def introductions(self, stopping: Callable[[], bool]) -> list[np.void]:
        """Return the device record of every worker, once all are up or the run shall stop."""
        return introductions(self._master.members, stopping)

    def begin(self, job: Bytes) -> None:
        """Give every worker a job; the runs that follow are about it."""
        self._master.begin(job)

    def decision(self, stopping: Callable[[], bool]) -> bytes | None:
        """Return what worker 0 decides, once all have been told; None if the run shall stop."""
        return decision(self._master.members, stopping)

    def run(self, stages: Iterable[Stage], ready: Ready, stopping: Callable[[], bool]) -> bool:
        """Have the stages answered, see `Master.run`."""
        return self._master.run(stages, ready, stopping)

    def stop(self) -> None:
        """End every worker; answers that are on their way are still taken."""
        if not self._is_stopped:
            self._is_stopped = True
            self._master.stop()

    def tell_losses_to(self, on_gone: Callable[[int, str], None]) -> None:
        """Have a function called with each worker that gets no more points, and why."""
        self._master.on_gone = on_gone

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        is_bug = error is not None and not isinstance(error, UserError)
        if is_bug and self._comm is not None:
            return  # the whole job is aborted, and evaluators die with their ranks
        self.stop()


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
