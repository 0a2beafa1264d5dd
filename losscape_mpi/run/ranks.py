"""All ranks of a run: rank 0 leads, the others compute; or this process alone does both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from losscape_mpi.errors import UserError
from losscape_mpi.farm.host.binding import binding_warning, oversubscription_warning
from losscape_mpi.farm.host.devices import RankHost, assign_seats
from losscape_mpi.farm.host.launcher import abort_on_error, leave_lost_ranks
from losscape_mpi.farm.patience import Patience
from losscape_mpi.farm.pool import Crew, Pool, follow, gather_hosts
from losscape_mpi.farm.waiting import broadcast
from losscape_mpi.run.interrupt import leave_signals_to_the_master
from losscape_mpi.study.farm_config import FarmConfig

logger = logging.getLogger(__name__)

EVALUATOR = "losscape_mpi.task.process"


def with_ranks(comm: Any, load: Callable[[], FarmConfig], work: Callable[[Pool], int]) -> int:
    """Have rank 0 do some work with a pool of all ranks; the others serve it.

    Args:
        comm: World communicator, or None for this process alone.
        load: Called on rank 0 while the others wait: gives the settings of the farm.
        work: Called on rank 0; returns its exit code.

    Returns:
        The exit code of this rank.

    Raises:
        UserError: On rank 0, after all others have been sent home.
    """
    try:
        hosts = gather_hosts(comm)
        if comm is not None and comm.Get_rank() > 0:
            return _serve(comm, hosts)
        return _lead(comm, hosts, load, work)
    except UserError:
        raise  # the pool has been sent home in good order
    except BaseException as error:
        if comm is not None:
            abort_on_error(error)
        raise


@contextmanager
def local_pool(farm: FarmConfig) -> Iterator[Pool]:
    """Give a pool of one worker beside this process, without MPI."""
    with Pool(None, _crew(gather_hosts(None), farm)) as pool:
        yield pool


def _serve(comm: Any, hosts: list[RankHost]) -> int:
    leave_signals_to_the_master()
    logging.getLogger().setLevel(logging.WARNING)
    plan = broadcast(comm, None)
    if plan is not None:
        follow(comm, _crew(hosts, FarmConfig.model_validate_json(plan)))
    return 0


def _lead(
    comm: Any, hosts: list[RankHost], load: Callable[[], FarmConfig], work: Callable[[Pool], int]
) -> int:
    try:
        farm = load()
    except UserError:
        if comm is not None:
            broadcast(comm, None)
        raise
    if comm is not None:
        broadcast(comm, farm.model_dump_json().encode())
    crew = _crew(hosts, farm)
    for warning in (
        binding_warning(hosts, crew.seats),
        oversubscription_warning(hosts, crew.seats),
    ):
        if warning is not None:
            logger.warning("warning: %s", warning)
    with Pool(comm, crew) as pool:
        code = work(pool)
    if pool.has_lost_ranks:
        leave_lost_ranks(comm, code)
    return code


def _crew(hosts: list[RankHost], farm: FarmConfig) -> Crew:
    seats = assign_seats(hosts, farm.device, farm.threads, farm.master_computes)
    timeout = farm.point_timeout
    patience = Patience(farm.retries, None if timeout == "auto" else float(timeout))
    return Crew(seats, EVALUATOR, patience)
