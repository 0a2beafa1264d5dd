"""The batch templates run by bash, with stand-ins for SLURM, MPI and the commands."""

import contextlib
import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TEMPLATES = Path(__file__).resolve().parents[2] / "slurm"
FILES = sorted(TEMPLATES.glob("*.sbatch"))
LAUNCHERS = ["srun", "mpirun"]

# What `run.N` (a line of shell) does is the N-th run; `state` and `count` describe the file.
PYTHON = """\
#!/bin/bash
case "$*" in
    *--print-study*) cat study.txt ;;
    *losscape_mpi.status*) exit "$(cat state)" ;;
    *read_surface*) cat count ;;
    *losscape_mpi.surface*) printf '%s\\n' "$@" >> seen; . ./behave ;;
    *) exec {python} "$@" ;;
esac
"""
LAUNCH = '#!/bin/bash\nuntil [ "$1" = python ]; do printf "%s " "$1" >> flags; shift; done\n"$@"\n'
SCONTROL = '#!/bin/bash\necho "$@" >> requeued\ncp -r runs seen_runs\nkill -KILL $PPID\n'


@pytest.fixture
def job(tmp_path):
    """A folder with a study whose file is half full, and a function that runs a template in it."""
    folder = tmp_path / "a folder"
    (folder / "bin").mkdir(parents=True)
    stand_ins = {"python": PYTHON.format(python=sys.executable), "scontrol": SCONTROL}
    for name, text in (stand_ins | dict.fromkeys(LAUNCHERS, LAUNCH)).items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    (folder / "runs").mkdir()
    (folder / "runs" / "the file.h5").write_text("half")
    (folder / "study.txt").write_text("name: x\noutput: runs/the file.h5\n")
    (folder / "count").write_text("10\n")
    (folder / "state").write_text("75\n")
    (folder / "behave").write_text("exit 75\n")
    job = Job(folder)
    yield job
    for process in job.started:  # what a failed test has left
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Job:
    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, launcher, *arguments, **variables):
        environment = {
            "PATH": "/usr/bin:/bin",
            "LOSSCAPE_SETUP": f"export PATH='{self.folder}/bin':$PATH",
            "SLURM_JOB_ID": "7",
            "SLURM_NTASKS": "3",
        }
        # bash cannot trap a signal that pytest happens to ignore.
        process = subprocess.Popen(
            [
                "env",
                "--default-signal",
                "bash",
                str(TEMPLATES / f"surface.{launcher}.sbatch"),
                "my study.yaml",
                *arguments,
            ],
            cwd=self.folder,
            env=environment | variables,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, launcher, *arguments, **variables):
        """Run the template; returns its code (-9: it was requeued) and what it said."""
        process = self.start(launcher, *arguments, **variables)
        _, said = process.communicate(timeout=30)
        return process.returncode, said

    def text(self, name):
        path = self.folder / name
        return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_bash_reads_the_template_and_its_options_stand_above_its_commands(path):
    subprocess.run(["bash", "-n", str(path)], check=True)
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    first_command = next(n for n, line in enumerate(lines) if line and line[0] != "#")
    assert [n for n, line in enumerate(lines) if "#SBATCH" in line and n > first_command] == []


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(path):
    done = subprocess.run(["shellcheck", str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_both_surface_templates_differ_in_their_launcher_only():
    texts = [(TEMPLATES / f"surface.{name}.sbatch").read_text().splitlines() for name in LAUNCHERS]
    differing = [line for line in difflib.ndiff(*texts) if line[:2] in ("+ ", "- ")]
    about_it = re.compile(r"srun|mpirun|mpi\b|mpich|gpus.per.task", re.IGNORECASE)
    assert 0 < len(differing) < 20
    assert [line for line in differing if not about_it.search(line)] == []


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_complete_file_ends_the_job_well_whatever_the_launcher_returned(job, launcher):
    (job.folder / "behave").write_text("echo 0 > state; echo 20 > count; exit 137\n")
    assert job.run(launcher)[0] == 0
    assert job.text("seen").splitlines() == ["-m", "losscape_mpi.surface", "my study.yaml"]
    assert job.text("requeued") == ""
    assert sorted(p.name for p in (job.folder / "runs").iterdir()) == ["the file.h5"]
    wanted = {
        "srun": "--mpi=pmi2 --kill-on-bad-exit=0 --cpu-bind=cores ",
        "mpirun": "--with-ft ulfm --bind-to none -n 3 ",
    }
    assert job.text("flags") == wanted[launcher]


def test_a_file_with_failed_points_ends_with_3(job):
    (job.folder / "behave").write_text("echo 3 > state; echo 20 > count; exit 3\n")
    assert job.run("srun")[0] == 3
    assert job.text("requeued") == ""


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_signal_of_the_time_limit_makes_the_stop_file_and_then_a_requeue(job, launcher):
    (job.folder / "behave").write_text(
        'touch started; until [ -e "$LOSSCAPE_STOP_FILE" ]; do sleep 0.05; done\n'
        "echo 15 > count; exit 75\n"
    )
    process = job.start(launcher)
    wait_for(job.folder / "started")
    process.send_signal(signal.SIGUSR2)
    _, said = process.communicate(timeout=30)
    assert job.text("requeued") == "requeue 7\n"
    assert "requeued with 15 points finished" in said
    assert (job.folder / "seen_runs" / "the file.h5.requeue").read_text() == "15 0\n"
    assert list(job.folder.glob(".losscape-stop*")) == []


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_cancelled_job_is_stopped_softly_and_not_requeued(job, launcher):
    (job.folder / "behave").write_text(
        'touch started; until [ -e "$LOSSCAPE_STOP_FILE" ]; do sleep 0.05; done\n'
        "echo 15 > count; exit 75\n"
    )
    process = job.start(launcher)
    wait_for(job.folder / "started")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 75
    assert "it was cancelled" in said
    assert job.text("requeued") == ""


def wait_for(path):
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_element_of_an_array_requeues_itself_alone(job):
    (job.folder / "behave").write_text("echo 15 > count; exit 75\n")
    job.run("srun", SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="3")
    assert job.text("requeued") == "requeue 7_3\n"


def test_two_runs_without_a_new_point_end_the_chain(job):
    first, _ = job.run("srun")
    memory = job.folder / "runs" / "the file.h5.requeue"
    assert (first, memory.read_text()) == (-9, "10 1\n")
    second, said = job.run("srun", SLURM_RESTART_COUNT="1")
    assert second == 75
    assert "two runs finished no point" in said
    assert job.text("requeued") == "requeue 7\n"
    assert not memory.exists()


def test_a_run_with_new_points_clears_the_count_of_those_without(job):
    job.run("srun")
    (job.folder / "behave").write_text("echo 12 > count; exit 75\n")
    job.run("srun", SLURM_RESTART_COUNT="1")
    assert (job.folder / "runs" / "the file.h5.requeue").read_text() == "12 0\n"
    assert job.text("requeued").count("requeue") == 2


def test_a_job_submitted_anew_forgets_the_last_chain(job):
    (job.folder / "runs" / "the file.h5.requeue").write_text("10 1\n")
    job.run("srun")
    assert (job.folder / "runs" / "the file.h5.requeue").read_text() == "10 1\n"
    assert job.text("requeued") == "requeue 7\n"


def test_the_number_of_restarts_is_limited(job):
    (job.folder / "behave").write_text("echo 15 > count; exit 75\n")
    limits = {"SLURM_RESTART_COUNT": "3", "LOSSCAPE_MAX_RESTARTS": "3"}
    code, said = job.run("srun", **limits)
    assert (code, job.text("requeued")) == (75, "")
    assert "LOSSCAPE_MAX_RESTARTS=3 is reached" in said


@pytest.mark.parametrize("state", ["75", "0"])
def test_a_mistake_is_not_repeated_even_beside_a_complete_file_of_another_study(job, state):
    (job.folder / "state").write_text(state)
    (job.folder / "behave").write_text("exit 1\n")
    assert job.run("srun")[0] == 1
    assert job.text("requeued") == ""


def test_a_run_that_was_stopped_before_its_file_was_made_is_requeued(job):
    (job.folder / "runs" / "the file.h5").unlink()
    job.run("srun")
    assert job.text("requeued") == "requeue 7\n"


def test_fresh_is_refused_because_a_requeue_would_start_anew(job):
    code, said = job.run("srun", "--fresh")
    assert (code, job.text("seen")) == (1, "")
    assert "--fresh" in said


def test_one_gpu_bound_to_each_task_is_refused_with_mpirun_only(job):
    (job.folder / "state").write_text("0")
    assert job.run("mpirun", SLURM_GPUS_PER_TASK="1")[0] == 1
    assert job.text("seen") == ""
    assert job.run("srun", SLURM_GPUS_PER_TASK="1")[0] == 0


def test_a_setup_line_that_fails_ends_the_job(job):
    code, _ = job.run("srun", LOSSCAPE_SETUP="false")
    assert (code, job.text("seen")) == (1, "")


@pytest.mark.parametrize(
    ("element", "wanted"), [("0", "a b.yaml"), ("1", "c.yaml"), ("2", None), (None, None)]
)
def test_an_array_gives_each_element_its_study(tmp_path, element, wanted):
    (tmp_path / "surface.mpirun.sbatch").write_text('echo "$#:$1"\n')
    environment = {"LOSSCAPE_LAUNCHER": "mpirun", "LOSSCAPE_TEMPLATES": str(tmp_path)}
    if element:
        environment["SLURM_ARRAY_TASK_ID"] = element
    done = subprocess.run(
        ["bash", str(TEMPLATES / "array.sbatch"), "a b.yaml", "c.yaml"],
        env=environment | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == (f"1:{wanted}\n" if wanted else "")
    assert done.returncode == (0 if wanted else 1)
    assert ("expected sbatch --array=0-1" in done.stderr) == (wanted is None)


def test_render_passes_its_arguments_on(tmp_path):
    (tmp_path / "python").write_text('#!/bin/bash\nprintf "%s|" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    setup = {"LOSSCAPE_SETUP": f"export PATH='{tmp_path}':$PATH", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", str(TEMPLATES / "render.sbatch"), "a b.h5", "--panel"],
        env=setup,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "-m|losscape_mpi.render|a b.h5|--panel|"
