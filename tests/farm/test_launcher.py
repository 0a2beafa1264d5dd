import sys

import pytest

from losscape_mpi.farm.host import launcher
from losscape_mpi.farm.host.launcher import (
    OTHER_MARKS,
    RANK_VARIABLES,
    SIZE_VARIABLES,
    Launch,
    connect,
    library_name,
    read_launch,
    short_name,
)

IN_SBATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_NNODES": "2"}
STEP = IN_SBATCH | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}

# What each way to launch sets, and what it means: size, rank, Open MPI, PMIx.
MODES = {
    "laptop": ({}, (None, 0, False, False), False),
    "batch script": (IN_SBATCH, (None, 0, False, False), False),
    "Open MPI mpirun": (
        {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2", "PMIX_RANK": "2"},
        (3, 2, True, True),
        True,
    ),
    "Open MPI mpirun in sbatch": (
        STEP | {"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "5", "PMIX_RANK": "5"},
        (8, 5, True, True),
        True,
    ),
    "Open MPI mpirun -n 1 in a job of two nodes": (
        STEP
        | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
        | {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0"},
        (1, 0, True, True),
        True,
    ),
    "MPICH mpirun": (
        {"PMI_SIZE": "3", "PMI_RANK": "1", "MPI_LOCALNRANKS": "3"},
        (3, 1, False, False),
        True,
    ),
    "MPICH mpirun in sbatch": (
        STEP | {"PMI_SIZE": "6", "PMI_RANK": "0"},
        (6, 0, False, False),
        True,
    ),
    "srun --mpi=pmi2": (STEP | {"PMI_SIZE": "4", "PMI_RANK": "3"}, (4, 3, False, False), True),
    "srun --mpi=pmix": (STEP | {"PMIX_RANK": "3"}, (4, 3, False, True), True),
    "srun --mpi=none": (STEP, (4, 3, False, False), True),
    "Cray PALS": ({"PALS_RANKID": "2"}, (None, 0, False, False), True),
}


@pytest.mark.parametrize("mode", MODES)
def test_each_way_to_launch_is_understood(mode):
    environment, (size, rank, is_open_mpi, speaks_pmix), is_launched = MODES[mode]
    wanted = Launch(size, rank, is_open_mpi, speaks_pmix, is_launched)
    assert read_launch(environment) == wanted


def test_without_a_launcher_mpi_is_not_touched(monkeypatch):
    for name in (*SIZE_VARIABLES, *RANK_VARIABLES, *OTHER_MARKS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)  # an import would raise
    assert connect() is None
    assert library_name(None) == "none"


@pytest.mark.parametrize("rank", [0, 2])
def test_a_launcher_without_mpi4py_is_reported_by_one_rank(monkeypatch, rank):
    environment = {"PMI_SIZE": "3", "PMI_RANK": str(rank)}
    monkeypatch.setattr(launcher.os, "environ", environment)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(launcher.UserError, match="started 3 tasks, but mpi4py cannot be") as caught:
        connect()
    assert isinstance(caught.value, launcher.QuietError) == (rank > 0)


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("Open MPI v5.0.11, package: Open MPI root@x, ident: 5.0.11\0", "Open MPI v5.0.11"),
        ("MPICH Version:      5.0.2\nMPICH Release date: x\nMPICH ABI: 1", "MPICH Version: 5.0.2"),
        (
            "Intel(R) MPI Library 2021.9 for Linux* OS\n\0",
            "Intel(R) MPI Library 2021.9 for Linux* OS",
        ),
    ],
)
def test_the_librarys_name_is_one_short_line(version, name):
    assert short_name(version) == name
