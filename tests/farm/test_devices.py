import os
import socket
import subprocess

import numpy as np
import pytest

from losscape_mpi.farm.host import cores, devices
from losscape_mpi.farm.host.devices import (
    HOST_RECORD,
    MPI_PREFIXES,
    RankHost,
    Seat,
    assign_seats,
    child_environment,
    this_host,
    visible_gpus,
)

ALL_8 = range(8)
GPU_A, GPU_B = "GPU-1f0c3a52-aaaa", "GPU-77d0b1e4-bbbb"


def host(cpus=ALL_8, gpus=(), node="", name="host", cores=4096):
    return RankHost(name, node, frozenset(cpus), tuple(gpus), cores)


def seats(hosts, device="auto", threads="auto", master_computes="auto"):
    return assign_seats(hosts, device, threads, master_computes)


# ---- who computes ------------------------------------------------------------------------------


def test_a_single_rank_computes_on_all_its_cores():
    assert seats([host()]) == [Seat(0, "cpu", None, 8)]


def test_a_single_rank_computes_whatever_the_wish():
    assert seats([host()], master_computes=False) == [Seat(0, "cpu", None, 8)]


def test_three_ranks_on_a_cpu_are_a_master_and_two_workers():
    assert seats([host()] * 3) == [Seat(1, "cpu", None, 4), Seat(2, "cpu", None, 4)]


def test_the_master_computes_where_the_study_says_so():
    assert [s.rank for s in seats([host()] * 3, master_computes=True)] == [0, 1, 2]
    gpus = [host(gpus="01")] * 2
    assert [s.rank for s in seats(gpus, master_computes=False)] == [1]


def test_as_many_gpus_as_ranks_are_all_used():
    got = seats([host(gpus=("0", "1", "2"))] * 3)
    assert [(s.rank, s.device, s.gpu) for s in got] == [
        (0, "cuda", "0"),
        (1, "cuda", "1"),
        (2, "cuda", "2"),
    ]


def test_one_rank_more_than_gpus_makes_a_master_that_does_not_compute():
    got = seats([host(gpus=(GPU_A, GPU_B))] * 3)
    assert [(s.rank, s.gpu) for s in got] == [(1, GPU_A), (2, GPU_B)]


def test_a_scheduler_that_gives_each_rank_one_gpu_is_obeyed():
    hosts = [host(gpus=(gpu,)) for gpu in ("3", "0", "7")]
    assert [(s.rank, s.gpu) for s in seats(hosts)] == [(0, "3"), (1, "0"), (2, "7")]


def test_ranks_that_all_see_the_same_single_gpu_do_not_make_the_master_compute():
    got = seats([host(gpus=("0",))] * 2)
    assert [(s.rank, s.gpu) for s in got] == [(1, "0")]


def test_a_master_without_a_gpu_does_not_compute_among_gpus():
    got = seats([host(), host(gpus=("0", "1"))])
    assert [(s.rank, s.device) for s in got] == [(1, "cuda")]


def test_more_workers_than_gpus_share_them():
    got = seats([host(gpus=("0", "1"))] * 5, master_computes=False)
    assert [s.gpu for s in got] == ["0", "1", "0", "1"]


def test_a_worker_on_a_gpu_needs_one_thread():
    assert {s.threads for s in seats([host(gpus=("0", "1"))] * 2, threads=6)} == {1}


def test_cpu_can_be_asked_for_where_gpus_are():
    got = seats([host(gpus=("0", "1"))] * 2, device="cpu")
    assert got == [Seat(1, "cpu", None, 8)]


def test_cuda_can_be_asked_for_where_no_gpu_is_seen():
    assert seats([host()], device="cuda") == [Seat(0, "cuda", None, 1)]


# ---- nodes -------------------------------------------------------------------------------------


def test_two_nodes_of_one_host_name_are_told_apart_by_their_node_name():
    hosts = [host(gpus=("0", "1"), node=node) for node in ("n1", "n1", "n2", "n2")]
    assert [(s.rank, s.gpu) for s in seats(hosts)] == [(0, "0"), (1, "1"), (2, "0"), (3, "1")]
    assert {s.threads for s in seats([host(node=n) for n in ("n1", "n1", "n2")])} == {8}


def test_ranks_of_a_node_need_not_be_neighbours():
    hosts = [host(gpus=("0", "1"), node=node) for node in ("n1", "n2", "n1", "n2")]
    assert [(s.rank, s.gpu) for s in seats(hosts)] == [(0, "0"), (1, "0"), (2, "1"), (3, "1")]


def test_nodes_without_a_gpu_compute_on_their_cores():
    hosts = [host(gpus=("0",), name="a"), host(name="b"), host(name="b")]
    got = [(s.rank, s.device, s.threads) for s in seats(hosts)]
    assert got == [(0, "cuda", 1), (1, "cpu", 4), (2, "cpu", 4)]


# ---- threads -----------------------------------------------------------------------------------


def test_masks_that_the_launcher_divided_are_used_whole():
    hosts = [host(cpus=[0, 1]), host(cpus=[2, 3, 4]), host(cpus=[5, 6, 7])]
    assert [s.threads for s in seats(hosts)] == [3, 3]


def test_a_mask_that_workers_share_is_divided():
    hosts = [host(cpus=range(7))] * 4
    assert [s.threads for s in seats(hosts)] == [2, 2, 2]


def test_every_worker_has_a_thread_at_least():
    assert [s.threads for s in seats([host(cpus=[0])] * 4)] == [1, 1, 1]


def test_threads_may_be_given():
    assert [s.threads for s in seats([host()] * 3, threads=5)] == [5, 5]


@pytest.mark.parametrize(
    ("masks", "cores", "threads"),
    [
        ([range(64)], 4, [4]),  # a container that sees its node's 64 cores
        ([range(64)] * 3, 4, [2, 2]),
        ([range(64)] * 9, 4, [1] * 8),
        ([range(2), range(6), range(6, 8)], 8, [6, 2]),  # no quota: all of its own cores
        ([range(2), range(6), range(6, 8)], 4, [3, 1]),
    ],
)
def test_a_quota_leaves_fewer_threads(masks, cores, threads):
    hosts = [host(cpus=mask, cores=cores) for mask in masks]
    assert [s.threads for s in seats(hosts)] == threads


def test_a_quota_says_nothing_about_threads_that_were_given():
    assert [s.threads for s in seats([host(cores=1)], threads=5)] == [5]


@pytest.fixture
def control_group(tmp_path, monkeypatch):
    """A function that gives this process control groups with these quotas, the root's first."""
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 64)

    def usable(groups, quotas):
        (tmp_path / "cgroup").write_text(groups)
        folder = tmp_path / "mounted"
        for name, quota in zip(("", "job", "task"), quotas, strict=False):
            folder = folder / name
            folder.mkdir()
            (folder / "cpu.max").write_text(quota)
        return cores.usable_cores(tmp_path / "cgroup", tmp_path / "mounted")

    return usable


@pytest.mark.parametrize(
    ("groups", "quotas", "cores"),
    [
        ("0::/\n", ["200000 100000\n"], 2),
        ("0::/\n", ["max 100000\n"], 64),
        ("0::/\n", [], 64),
        ("0::/\n", ["250000 100000\n"], 3),
        ("0::/\n", ["9900000 100000\n"], 64),
        ("1:cpu:/\n0::/job/task\n", ["max 100000\n", "300000 50000\n", "max 100000\n"], 6),
        ("0::/job/task\n", ["max 100000\n", "300000 50000\n", "100000 100000\n"], 1),
        ("0::/job\n", ["max 100000\n", "max 100000\n", "100000 100000\n"], 64),
    ],
)
def test_the_smallest_quota_of_a_control_group_and_those_above_it_counts(
    control_group, groups, quotas, cores
):
    assert control_group(groups, quotas) == cores


def test_without_control_groups_all_cores_are_usable(tmp_path):
    missing = tmp_path / "missing"
    assert cores.usable_cores(missing, missing) == os.cpu_count()


# ---- what ranks exchange -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "rank_host",
    [
        host(),
        host(cpus=[0, 7, 8, 63, 64, 4095], gpus=[f"GPU-{k}" for k in range(16)], node="n1"),
        RankHost("h" * 64, "n" * 64, frozenset(), (), 0),
    ],
)
def test_a_rank_arrives_as_it_was_sent(rank_host):
    record = rank_host.to_record()
    assert record.dtype == HOST_RECORD
    received = np.frombuffer(record.tobytes(), dtype=HOST_RECORD)[0]
    assert RankHost.from_record(received) == rank_host


def test_a_rank_reports_its_host_node_and_affinity():
    here = this_host({"SLURMD_NODENAME": "n7", "CUDA_VISIBLE_DEVICES": "2"})
    assert here.place == ("n7", socket.gethostname())
    assert here.cpus == frozenset(os.sched_getaffinity(0))
    assert here.gpus == ("2",)
    assert here.cores == cores.usable_cores()


@pytest.mark.parametrize(
    ("value", "gpus"),
    [
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0", ("0",)),
        ("0, 2", ("0", "2")),
        (f"{GPU_A},{GPU_B}", (GPU_A, GPU_B)),
        ("MIG-5c89852c", ("MIG-5c89852c",)),
    ],
)
def test_visible_devices_are_taken_as_they_are_named(value, gpus):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": value}) == gpus


def test_a_machine_without_the_drivers_tool_has_no_gpu(monkeypatch):
    monkeypatch.setattr(devices.shutil, "which", lambda _name: None)
    assert visible_gpus({}) == ()


@pytest.mark.parametrize(
    ("code", "output", "gpus"),
    [
        (0, f"{GPU_A}\n{GPU_B}\n", (GPU_A, GPU_B)),
        (0, "No devices were found\n", ()),
        (9, "NVIDIA-SMI has failed because it could not communicate with GPU-\n", ()),
    ],
)
def test_the_drivers_tool_names_the_gpus(monkeypatch, code, output, gpus):
    finished = subprocess.CompletedProcess([], code, stdout=output)
    monkeypatch.setattr(devices.shutil, "which", lambda _name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(devices.subprocess, "run", lambda *_args, **_kwargs: finished)
    assert visible_gpus({}) == gpus


# ---- what an evaluator process sees ------------------------------------------------------------


def test_no_variable_of_mpi_reaches_the_evaluator():
    foreign = [
        "PMI_RANK", "PMI_SIZE", "PMIX_RANK", "PMIX_SERVER_URI41", "OMPI_COMM_WORLD_SIZE",
        "PRTE_MCA_x", "HYDRA_LAUNCHER", "HYDI_CONTROL_FD", "MPI_LOCALRANKID", "MPIR_CVAR_X",
    ]  # fmt: skip
    kept = {"PATH": "/bin", "HOME": "/root", "PYTHONPATH": "x", "SLURM_JOB_ID": "1", "TMPDIR": "/t"}
    child = child_environment(dict.fromkeys(foreign, "1") | kept, Seat(1, "cpu", None, 2))
    assert not [name for name in child if name.startswith(MPI_PREFIXES)]
    assert not set(foreign) & set(child)
    assert kept.items() <= child.items()


def test_an_evaluator_sees_its_gpu_alone_or_none():
    everything = {"CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    for gpu, seen in ((GPU_B, GPU_B), ("2", "2"), (None, "")):
        child = child_environment(everything, Seat(1, "cuda", gpu, 1))
        assert child["CUDA_VISIBLE_DEVICES"] == seen


def test_an_evaluator_computes_exactly_whatever_the_users_settings():
    settings = {
        "OMP_NUM_THREADS": "16",
        "MKL_NUM_THREADS": "8",
        "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    }
    child = child_environment(settings, Seat(1, "cpu", None, 4))
    assert child["OMP_NUM_THREADS"] == child["MKL_NUM_THREADS"] == "1"
    assert child["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "ONEDNN_DEFAULT_FPMATH_MODE" not in child


def test_the_environment_of_the_rank_stays_as_it_is():
    mine = {"PMI_RANK": "3", "OMP_NUM_THREADS": "16"}
    child_environment(mine, Seat(1, "cpu", None, 4))
    assert mine == {"PMI_RANK": "3", "OMP_NUM_THREADS": "16"}
