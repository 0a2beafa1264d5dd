"""Which rank computes on which device: a pure function of what all ranks report."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from losscape_mpi.farm.host.cores import affinity, usable_cores

MASK_BYTES = 512  # 4,096 CPUs
HOST_RECORD = np.dtype(
    [
        ("host", "S64"),
        ("node", "S64"),
        ("cpus", "u1", (MASK_BYTES,)),
        ("gpus", "S4096"),
        ("cores", "<u4"),
    ]
)

# Variables that would make a child believe it is an MPI rank of its own.
MPI_PREFIXES = ("PMI", "OMPI_", "PRTE", "HYDRA", "HYDI", "MPI_LOCAL", "MPIR_")


@dataclass(frozen=True)
class RankHost:
    """Where a rank runs and what it may use there.

    Attributes:
        host: Host name.
        node: SLURM's node name, which differs where two nodes share a host name.
        cpus: Numbers of the cores in its affinity mask.
        gpus: Names of the GPUs it sees, in the form that CUDA_VISIBLE_DEVICES takes.
        cores: Cores that all ranks of the node can keep busy together: the node's, or what the
            quota of their control group allows.
    """

    host: str
    node: str
    cpus: frozenset[int]
    gpus: tuple[str, ...]
    cores: int

    @property
    def place(self) -> tuple[str, str]:
        """What identifies its node (SLURM_LOCALID and Split_type do not, docs/design.md)."""
        return self.node, self.host

    def to_record(self) -> np.ndarray:
        """Return the fixed-size record, shape (1,), that the ranks exchange."""
        record = np.zeros(1, dtype=HOST_RECORD)
        record["host"], record["node"] = self.host.encode(), self.node.encode()
        record["gpus"] = ",".join(self.gpus).encode()
        record["cores"] = self.cores
        bits = np.zeros(MASK_BYTES * 8, dtype=np.uint8)
        bits[sorted(self.cpus)] = 1
        record["cpus"][0] = np.packbits(bits)
        return record

    @classmethod
    def from_record(cls, record: np.void) -> RankHost:
        """Return what `to_record` packed."""
        gpus = bytes(record["gpus"]).decode()
        return cls(
            bytes(record["host"]).decode(),
            bytes(record["node"]).decode(),
            frozenset(np.flatnonzero(np.unpackbits(record["cpus"])).tolist()),
            tuple(gpus.split(",")) if gpus else (),
            int(record["cores"]),
        )


@dataclass(frozen=True)
class Seat:
    """What one rank computes on; the master may have none.

    Attributes:
        rank: Rank in the world communicator.
        device: "cpu" or "cuda".
        gpu: Name of its GPU for CUDA_VISIBLE_DEVICES, or None.
        threads: CPU threads that share the batches of a point.
    """

    rank: int
    device: str
    gpu: str | None
    threads: int


def this_host(environment: Mapping[str, str]) -> RankHost:
    """Return where this process runs, without opening any GPU."""
    return RankHost(
        socket.gethostname(),
        environment.get("SLURMD_NODENAME", ""),
        frozenset(affinity()),
        visible_gpus(environment),
        usable_cores(),
    )


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs that this process may use; asks the driver's tool, opens no context."""
    if "CUDA_VISIBLE_DEVICES" in environment:
        names = [name.strip() for name in environment["CUDA_VISIBLE_DEVICES"].split(",")]
        # CUDA itself stops at the first name that is none.
        return tuple(takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), names))
    if shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    lines = answer.stdout.split() if answer.returncode == 0 else []
    return tuple(line for line in lines if line.startswith("GPU-"))


def assign_seats(
    hosts: Sequence[RankHost], device: str, threads: int | str, master_computes: bool | str
) -> list[Seat]:
    """Return a seat for every rank that computes, in rank order.

    Args:
        hosts: What each rank reported, by rank.
        device: "auto" (CUDA where the node shows a GPU), "cpu" or "cuda".
        threads: Threads of each worker, or "auto": its cores divided by those who share them;
            fewer where a quota does not let the node keep all of them busy.
        master_computes: Whether rank 0 computes too, or "auto": when it is alone, or when its
            node has a GPU for every one of its ranks.
    """
    master = _master_computes(hosts, device, master_computes)
    ranks = [rank for rank in range(len(hosts)) if rank > 0 or master]
    seats = []
    for rank in ranks:
        host = hosts[rank]
        local = [r for r in ranks if hosts[r].place == host.place]
        kind = "cuda" if device == "cuda" or (device == "auto" and host.gpus) else "cpu"
        gpu = (
            host.gpus[local.index(rank) % len(host.gpus)] if kind == "cuda" and host.gpus else None
        )
        sharing = sum(bool(hosts[r].cpus & host.cpus) for r in local)
        union = frozenset().union(*(hosts[r].cpus for r in local))
        # All of its cores, or a part of them as large as the quota's part of the node's.
        fitting = len(host.cpus) // sharing * min(host.cores, len(union)) // len(union)
        number = max(1, fitting) if threads == "auto" else int(threads)
        seats.append(Seat(rank, kind, gpu, number))
    return [replace(s, threads=1) if s.device == "cuda" else s for s in seats]


def child_environment(environment: Mapping[str, str], seat: Seat) -> dict[str, str]:
    """Return the environment of an evaluator process: no MPI, one GPU, exact arithmetic."""
    child = {k: v for k, v in environment.items() if not k.startswith(MPI_PREFIXES)}
    child.pop("ONEDNN_DEFAULT_FPMATH_MODE", None)  # would let float32 run in bfloat16
    child |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    child["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS is repeatable with this only
    child["CUDA_VISIBLE_DEVICES"] = seat.gpu or ""
    return child


def _master_computes(hosts: Sequence[RankHost], device: str, wish: bool | str) -> bool:
    if len(hosts) == 1:
        return True
    if wish != "auto":
        return bool(wish)
    local = [h for h in hosts if h.place == hosts[0].place]
    distinct = {gpu for host in local for gpu in host.gpus}  # each may see all, or its own only
    return device != "cpu" and bool(hosts[0].gpus) and len(distinct) >= len(local)
