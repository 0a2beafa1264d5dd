"""The batch templates in a real SLURM: stops, requeues, cancels, GPUs, arrays, chains."""

import json
import re

import pytest

from losscape_mpi.farm.host.devices import RankHost, assign_seats
from losscape_mpi.store.reader import read_activity, read_surface, surface_sha256

pytestmark = [pytest.mark.slow, pytest.mark.mpi]

LAUNCHERS = ["srun", "mpirun"]
ONE_WORKER = ("--ntasks-per-node=1",)  # and rank 0, on the other node


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_stopped_run_is_requeued_and_ends_with_the_bytes_of_a_serial_one(cluster, launcher):
    study = cluster.study("slow", points=7)
    job = cluster.sbatch(f"surface.{launcher}.sbatch", study)
    cluster.wait_for_points(job, "slow", 3)

    cluster.run("scancel", "--signal=USR2", "--batch", job)
    cluster.wait_for_requeue(job)
    cluster.hurry()

    assert cluster.wait(job) == "COMPLETED", cluster.log(job)
    log = cluster.log(job)
    stopped = int(re.search(r"requeued with (\d+) points finished", log)[1])
    assert 3 <= stopped < 49
    assert log.count("requeued with") == 1
    assert read_activity(cluster.surface("slow")).progress["runs"] == 2
    assert surface_sha256(cluster.surface("slow")) == cluster.serial_hash("slow")
    assert sorted(p.name for p in cluster.folder.glob("runs/*")) == ["slow.h5"]
    assert list(cluster.folder.glob(".losscape-stop*")) == []


def test_the_time_limit_itself_stops_a_run_that_then_goes_on(cluster):
    study = cluster.study("long", points=25)  # two minutes with one worker
    job = cluster.sbatch("surface.srun.sbatch", study, options=("--time=10", *ONE_WORKER))
    cluster.wait_for_points(job, "long", 1)

    # Less is left now than --signal=B:USR2@300 asks for; SLURM looks every 30 s.
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=5")
    cluster.wait_for_requeue(job)
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=10")
    cluster.hurry()

    assert cluster.wait(job) == "COMPLETED", cluster.log(job)
    assert "stopped by the stop file" in cluster.log(job)
    assert read_activity(cluster.surface("long")).progress["runs"] == 2


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_cancelled_run_stays_cancelled_and_its_file_is_sound(cluster, launcher):
    study = cluster.study("slow", points=12)
    job = cluster.sbatch(f"surface.{launcher}.sbatch", study, options=ONE_WORKER)
    cluster.wait_for_points(job, "slow", 3)

    cluster.run("scancel", job)

    assert cluster.wait(job) == "CANCELLED"
    assert "losscape: requeued" not in cluster.log(job)
    assert 3 <= read_surface(cluster.surface("slow")).counts()["done"] < 144


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_workers_of_a_node_get_distinct_gpus(cluster, launcher):
    (cluster.folder / "ask.py").write_text(
        "import json, os, time\n"
        "from losscape_mpi.farm.host.devices import this_host\n"
        "host = this_host(os.environ)\n"
        "print(json.dumps([host.host, host.node, sorted(host.cpus), host.gpus, host.cores]))\n"
    )
    launch = {"srun": "srun --mpi=none", "mpirun": "mpirun --bind-to none -n 4"}[launcher]
    (cluster.folder / "ask.sbatch").write_text(
        f'#!/bin/bash\neval "$LOSSCAPE_SETUP"\n{launch} python ask.py\n'
    )
    options = ("--output=ask-%j.log",)
    job = cluster.sbatch_file("ask.sbatch", launcher, options)

    assert cluster.wait(job) == "COMPLETED", cluster.log(job)
    rows = [json.loads(line) for line in cluster.log(job).splitlines() if line.startswith("[")]
    hosts = [RankHost(h, n, frozenset(c), tuple(g), k) for h, n, c, g, k in sorted(rows)]
    assert [host.node for host in hosts] == ["n1", "n1", "n2", "n2"]
    seats = assign_seats(hosts, "auto", "auto", "auto")
    assert [(hosts[s.rank].node, s.device, s.gpu) for s in seats] == [
        *(("n1", "cuda", "0"), ("n1", "cuda", "1")),
        *(("n2", "cuda", "0"), ("n2", "cuda", "1")),
    ]


def test_a_gpu_bound_to_each_task_is_refused_with_mpirun(cluster):
    study = cluster.study("slow", points=2)
    job = cluster.sbatch("surface.mpirun.sbatch", study, options=("--gpus-per-task=1",))
    assert cluster.wait(job) == "FAILED"
    assert "--gpus-per-task puts all ranks of mpirun on one GPU" in cluster.log(job)
    assert not cluster.surface("slow").exists()


def test_an_array_of_four_studies_one_of_them_stopped_and_then_their_panel(cluster):
    names = [f"part{k}" for k in range(4)]
    studies = [cluster.study(name, points=2, samples=20 + k) for k, name in enumerate(names)]
    cluster.study("part3", points=9, samples=23)
    (cluster.folder / "four.yaml").write_text(
        f"study: {json.dumps(studies)}\nnodes: 1\ntasks_per_node: 2\ncpus_per_task: 1\n"
        "time: 10\narray_limit: 2\nthen: {panel: true, kind: [filled]}\n"
    )

    printed = cluster.python("submit", "four.yaml")
    surface, render = re.findall(r"^job (\d+): ", printed, re.MULTILINE)
    cluster.wait_for_points(f"{surface}_3", "part3", 2)
    # The last element to start bears the number of the whole array.
    cluster.run("scancel", "--signal=USR2", "--batch", f"{surface}_3")
    cluster.wait_for_requeue(f"{surface}_3")
    cluster.hurry()

    assert f"squeue -j {surface},{render}" in printed
    assert cluster.wait(render, 120) == "COMPLETED", cluster.log(surface) + cluster.log(render)
    runs = [read_activity(cluster.surface(name)).progress["runs"] for name in names]
    assert runs == [1, 1, 1, 2], cluster.log(surface)
    assert [read_surface(cluster.surface(n)).counts()["done"] for n in names] == [4, 4, 4, 81]
    assert (cluster.folder / "runs" / "part0_panel_filled.png").exists()
    assert surface_sha256(cluster.surface("part3")) == cluster.serial_hash("part3")


@pytest.mark.parametrize(
    "job", ["resnet56", "resnet56_noshort", "resnet56_compared", "depth_width"]
)
def test_sbatch_accepts_what_a_dry_run_shows(cluster, repository, job):
    path = str(repository / "jobs" / f"{job}.yaml")
    small = [f"--set={key}=2" for key in ("gpus_per_node", "tasks_per_node", "cpus_per_task")]
    shown = cluster.python("submit", path, "--dry-run", *small)
    assert shown.count("job=$(sbatch --parsable") == 2

    # The chain as it is shown, with a sbatch that checks only; a job to follow must exist.
    waiting = cluster.run("sbatch", "--parsable", "--hold", "--wrap=true").strip()
    check = f'sbatch() {{ command sbatch --test-only "$@" >&2 && echo {waiting}; }}\n'
    answer = cluster.run("bash", "-e", input=check + shown[shown.index("# 1.") :])

    assert len(re.findall(r"sbatch: Job \d+ to start at", answer)) == 2, answer


def test_what_sbatch_refuses_is_one_line(cluster):
    study = cluster.study("slow", points=2)
    (cluster.folder / "big.yaml").write_text(f"study: {study}\ntime: 10\npartition: other\n")
    answer = cluster.python("submit", "big.yaml", check=False)
    assert len(answer.splitlines()) == 1
    assert "sbatch refused the job surface" in answer
    assert cluster.run("squeue", "--noheader") == ""
