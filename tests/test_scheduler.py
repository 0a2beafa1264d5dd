"""The table of batch systems: SLURM's row, and a made-up second one that everything asks."""

import json
import signal
from datetime import datetime

import numpy as np
import pytest

from losscape_mpi import scheduler as scheduler_module
from losscape_mpi.errors import UserError
from losscape_mpi.evaluation.choice.choices import Choices
from losscape_mpi.lock_file import LockFile, clear_stale, lock_path
from losscape_mpi.run.interrupt import SIGNALS, StopRequest
from losscape_mpi.run.manifest import open_output
from losscape_mpi.run.prepare import prepare
from losscape_mpi.scheduler import SLURM, Scheduler, current_job, is_over, job_identifier
from losscape_mpi.store.reader import read_activity
from losscape_mpi.study.load import load_study
from losscape_mpi.submit import main as submit

ENDS = {"41.head": 3600.0}
RUNNING = {"41.head": True, "42.head": False}


@pytest.fixture(autouse=True)
def _restore_signals():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def made_up(monkeypatch):
    """A second row: jobs are 41.head and 42.head, and a program `enqueue` submits them."""
    row = Scheduler(
        name="Made up",
        job="MADE_UP_JOB",
        restarts="MADE_UP_RUNS",
        end=ENDS.get,
        is_over=lambda job: not RUNNING[job] if job in RUNNING else None,
        command=lambda after: ["enqueue", *(["--after", after] if after else [])],
        identifier=lambda told: told.split()[-1],
        watch=lambda jobs: f"queue {' '.join(jobs)}",
        cancel=lambda jobs: f"dequeue {' '.join(jobs)}",
        options=lambda request: [f"--title={request.name}", f"--hosts={request.nodes}"],
        decided=("--title", "--hosts"),
        keys={"--hosts": "nodes"},
        directive="#MADE",
        ending=".made",
    )
    monkeypatch.setattr(scheduler_module, "SCHEDULERS", [SLURM, row])
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    return row


def test_outside_of_jobs_there_is_none():
    assert current_job({"HOME": "/root"}) is None
    assert job_identifier({"SLURM_JOB_ID": ""}) == ""


def test_a_process_knows_its_batch_system_its_job_and_past_requeues(made_up):
    job = current_job({"MADE_UP_JOB": "41.head", "MADE_UP_RUNS": "2"})
    assert (job.scheduler.name, job.identifier, job.restarts) == ("Made up", "41.head", 2)
    job = current_job({"SLURM_JOB_ID": "7"})
    assert (job.scheduler.name, job.identifier, job.restarts) == ("SLURM", "7", 0)


def test_a_run_ends_a_minute_before_its_job(made_up):
    now = [0.0]
    stopping = StopRequest({"MADE_UP_JOB": "41.head"}, lambda: now[0])
    now[0] = 3539.0
    assert not stopping()
    now[0] = 3541.0
    assert stopping()
    assert stopping.reason == "the end of the job's time"


def test_a_job_without_a_known_end_is_not_stopped(made_up):
    stopping = StopRequest({"MADE_UP_JOB": "42.head"}, lambda: 1e12)
    assert not stopping()


def test_the_surface_file_records_the_job(made_up, tmp_path, monkeypatch):
    settings = ["problem.data.samples=20", "grid.alpha=[-1, 1, 3]", "grid.beta=null"]
    study = load_study(None, [*settings, f"output={tmp_path / 'out.h5'}"])
    monkeypatch.setenv("MADE_UP_JOB", "41.head")
    task = prepare(study, fresh=False)
    choices = vars(Choices(16, "channels_last"))
    open_output(task, choices, "none", False, np.zeros(len(task.columns))).close()
    assert bytes(read_activity(study.output).progress["job"]) == b"41.head"


def test_a_lock_file_names_its_job_and_falls_with_it(made_up, tmp_path, monkeypatch):
    path = tmp_path / "s.h5"
    monkeypatch.setenv("MADE_UP_JOB", "41.head")
    lock = LockFile(path)
    holder = json.loads(lock_path(path).read_bytes())
    lock.release()
    assert holder["job"] == "41.head"

    monkeypatch.delenv("MADE_UP_JOB")
    lock_path(path).write_text(json.dumps(holder | {"host": "another"}))
    with pytest.raises(UserError, match=r"is locked: .*job 41\.head"):
        clear_stale(path)
    lock_path(path).write_text(json.dumps(holder | {"host": "another", "job": "42.head"}))
    clear_stale(path)
    assert not lock_path(path).exists()


def test_a_job_that_nobody_knows_is_not_over(made_up):
    assert not is_over("43.head")


def test_a_chain_is_submitted_by_the_system_that_is_installed(
    made_up, tmp_path, monkeypatch, capsys
):
    program = tmp_path / "bin" / "enqueue"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/bash\nPATH=/usr/bin:/bin\necho "enqueue $@" >> calls; cat >> scripts\n'
        'echo "queued as 4$(wc -l < calls).head"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("surface.srun", "array", "render"):
        (tmp_path / f"{name}.made").write_text("#!/bin/bash\n#MADE --hosts=9\necho\n")
    study = "name: a\nproblem: {model: mlp, data: {name: digits}}\noutput: a.h5\n"
    (tmp_path / "study.yaml").write_text(study)
    (tmp_path / "job.yaml").write_text("study: study.yaml\ntime: 60\nnodes: 2\ntemplates: .\n")

    assert submit(["job.yaml"]) == 0

    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["enqueue ", "enqueue --after 41.head"]
    scripts = (tmp_path / "scripts").read_text()
    assert "#!/bin/bash\n#MADE --title=job\n#MADE --hosts=2\nexport" in scripts
    assert "--hosts=9" not in scripts
    told = capsys.readouterr().out.splitlines()
    assert told[2] == "watch them:  queue 41.head 42.head"
    assert told[-1] == "cancel them: dequeue 41.head 42.head"


@pytest.mark.parametrize(
    ("answer", "end"),
    [("1970-01-02T00:00:00", datetime(1970, 1, 2).timestamp()), ("N/A", None), ("", None)],
)
def test_squeue_tells_the_end_of_a_job(tmp_path, monkeypatch, answer, end):
    squeue = tmp_path / "squeue"
    squeue.write_text(f'#!/bin/sh\n[ "$3" = 42 ] && echo "{answer}"\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert SLURM.end("42") == end


def test_without_squeue_nothing_is_known(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert SLURM.end("42") is None
    assert SLURM.is_over("42") is None
