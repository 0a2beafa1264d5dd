"""One run at a time writes a file: by HDF5's lock, or by a lock file where there are no locks."""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from losscape_mpi import lock_file as lock_module
from losscape_mpi.errors import UserError
from losscape_mpi.lock_file import LockFile, clear_stale, lock_path
from losscape_mpi.store.create import back_up
from losscape_mpi.store.reader import read_activity, read_surface
from losscape_mpi.store.writer import SurfaceWriter

# Opens the file as a run does, says so, and keeps it until told to end.
RUN = """
import logging, os, sys, time
from pathlib import Path
logging.basicConfig(format="%(message)s", stream=sys.stdout)
{before}
from losscape_mpi.errors import UserError
from losscape_mpi.store.writer import SurfaceWriter
try:
    with SurfaceWriter(Path(sys.argv[1])) as writer:
        writer.start_run(time.time(), "node7", os.getpid(), os.environ.get("SLURM_JOB_ID", ""))
        print("open", flush=True)
        if len(sys.argv) > 2:
            sys.stdin.readline()
except UserError as error:
    print(error)
"""
NO_LOCKS = """
import fcntl
def without_locks(file, operation):
    raise OSError({errno}, "Unable to lock file")
fcntl.flock = without_locks
"""
ROUNDS = 10
CREATING = f"""
import os, sys, time
from pathlib import Path
import numpy as np
from losscape_mpi.errors import UserError
from losscape_mpi.point.column import loss_column
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import to_json
axes = {{"alpha": np.arange(3.0), "beta": np.arange(2.0)}}
manifest = to_json({{"format": 2, "study": {{"grid": {{"beta": [0, 1, 2]}}}}}})
columns = [loss_column("train")]
for number in range({ROUNDS}):
    while time.time() < float(sys.argv[2]) + 0.05 * number:
        pass
    path = Path(sys.argv[1]) / f"{{number}}.h5"
    try:
        create_surface(path, manifest, to_json({{"pid": os.getpid()}}), axes, columns, {{}})
        print("created")
    except UserError as error:
        assert "created by another run meanwhile" in str(error)
        print("refused")
"""
EVERY_ERRNO = [37, 38, 95, 524]
GUARDED = "file locks do not work here"


def script(errno=None):
    return RUN.format(before=NO_LOCKS.format(errno=errno) if errno else "")


def run(path, errno=None, prefix=(), **environment):
    """The lines that a run of its own prints, which ends at once."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", script(errno), str(path)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


class Holding:
    """A run in another process that holds the file until the block ends."""

    def __init__(self, path, errno=None, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-c", script(errno), str(path), "stay"],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        for line in self.process.stdout:
            if line == "open\n":
                return self.process
        raise AssertionError("the run could not open the file")

    def __exit__(self, *error):
        self.process.communicate("end\n", timeout=30)


@pytest.fixture
def held_by(create):
    """A function that writes a lock file of a made-up run; returns the surface file."""

    def make(age_s=0.0, **changes):
        path = create()
        holder = {"host": "node7", "pid": 41, "job": "", "restarts": 0, "started": 1.0}
        lock_path(path).write_text(json.dumps(holder | changes))
        then = time.time() - age_s
        os.utime(lock_path(path), (then, then))
        return path

    return make


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A function that installs a squeue which answers as told."""

    def install(answer="", error="", code=0):
        folder = tmp_path / "bin"
        folder.mkdir()
        lines = f"#!/bin/sh\necho '{answer}'\necho '{error}' >&2\nexit {code}\n"
        (folder / "squeue").write_text(lines)
        (folder / "squeue").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    return install


def dead_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


# HDF5's lock


def test_a_second_run_is_refused_and_told_who_holds_the_file(create):
    path = create()
    with Holding(path, SLURM_JOB_ID="17") as first:
        (line,) = run(path)
    assert line == (
        f"{path} is locked: another run writes it (host node7, process {first.pid}, job 17); "
        "wait for it to end or choose another output"
    )


def test_a_file_that_only_a_reader_locks_names_no_run(create):
    path = create()
    with SurfaceWriter(path) as writer:
        writer.start_run(1.0, "node7", 41, "")
    reader = f"import h5py, sys; f = h5py.File({str(path)!r}); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", reader], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        (line,) = run(path)
        process.communicate("\n", timeout=30)
    assert "or a program reads it with a lock" in line
    assert "node7" not in line


def test_a_killed_run_leaves_no_lock(create):
    path = create()
    with Holding(path) as first:
        first.kill()
    assert read_activity(path).progress["running"] == 1
    assert run(path) == ["open"]
    assert not lock_path(path).exists()


def test_a_file_that_a_run_writes_is_not_moved_aside(create, tmp_path):
    path = create()
    with Holding(path), pytest.raises(UserError, match="is locked: another run writes it"):
        back_up(path)
    assert list(tmp_path.iterdir()) == [path]
    assert back_up(path).exists()


# No locks on the file system


@pytest.mark.parametrize("errno", [37, 524])
def test_without_locks_a_lock_file_keeps_a_second_run_away(create, errno, tmp_path):
    path = create()
    with Holding(path, errno, SLURM_JOB_ID="17") as first:
        (line,) = run(path, errno)
        holder = json.loads(lock_path(path).read_text())
    assert (holder["host"], holder["pid"]) == (socket.gethostname(), first.pid)
    assert f"(host {socket.gethostname()}, process {first.pid}, job 17)" in line
    assert list(tmp_path.iterdir()) == [path]  # the lock went with its run


@pytest.mark.parametrize("errno", EVERY_ERRNO)
def test_hdf5_reports_a_file_system_without_locks_as_expected(create, errno, tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("needs strace, which makes flock fail as such a file system does")
    path = create()
    prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=flock"]
    lines = run(path, prefix=[*prefix, "-e", f"inject=flock:error={errno}"])
    assert len(lines) == 2
    assert GUARDED in lines[0]
    assert lines[1] == "open"
    assert list(tmp_path.iterdir()) == [path]


def test_the_warning_is_given_once(create):
    lines = run(create(), 37)
    assert [line for line in lines if GUARDED in line] == lines[:1]


@pytest.mark.parametrize("value", ["FALSE", "0", "BEST_EFFORT"])
def test_locks_that_the_environment_turns_off_are_replaced(create, value):
    path = create()
    with Holding(path, HDF5_USE_FILE_LOCKING=value):
        (refused,) = run(path, HDF5_USE_FILE_LOCKING=value)
        (refused_with_locks,) = run(path)
    assert "is locked: another run writes it (host" in refused
    assert "is locked: another run writes it (host" in refused_with_locks
    with Holding(path):
        (refused,) = run(path, HDF5_USE_FILE_LOCKING=value)
    assert "is locked: another run writes it" in refused


def test_a_run_that_was_killed_is_healed_at_once(create):
    path = create()
    with Holding(path, 37) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert lock_path(path).exists()
        lines = run(path, 37)
    assert f"process {first.pid} removed: its process has ended" in lines[0]
    assert lines[-1] == "open"
    assert not lock_path(path).exists()


def test_other_errors_are_no_reason_to_write_without_a_lock(create, tmp_path):
    path = create()
    (line,) = run(path, 5)
    assert "cannot be opened for writing" in line
    assert list(tmp_path.iterdir()) == [path]


# Lock files of runs that are gone


@pytest.mark.parametrize(("age_s", "is_stale"), [(0, False), (280, False), (320, True)])
def test_a_lock_of_another_host_is_stale_after_5_minutes(held_by, caplog, age_s, is_stale):
    path = held_by(age_s)
    if is_stale:
        with SurfaceWriter(path):
            assert not lock_path(path).exists()  # here HDF5's lock works
        assert "of host node7, process 41 removed: it was not renewed for 32" in caplog.text
        return
    with pytest.raises(UserError, match="host node7, process 41"):
        SurfaceWriter(path)
    assert lock_path(path).exists()


def test_a_lock_that_nobody_can_read_is_stale_after_5_minutes_too(held_by):
    path = held_by()
    lock_path(path).write_text("{")
    with pytest.raises(UserError, match="is locked"):
        clear_stale(path)
    os.utime(lock_path(path), (1.0, 1.0))
    clear_stale(path)
    assert not lock_path(path).exists()


def test_a_dead_process_of_this_host_is_noticed_at_once(held_by):
    here = lock_module.process_namespace()
    path = held_by(host=socket.gethostname(), pid=dead_pid(), namespace=here)
    clear_stale(path)
    assert not lock_path(path).exists()


@pytest.mark.parametrize("namespace", ["4026532999 another-start", ""], ids=["other", "old lock"])
def test_a_process_number_of_another_namespace_proves_nothing(held_by, namespace):
    # A container's run: the host name is often the same, the number is nobody's here.
    given = {"namespace": namespace} if namespace else {}
    path = held_by(host=socket.gethostname(), pid=dead_pid(), **given)
    with pytest.raises(UserError, match=r"is locked: .* delete \S+\.lock if you know"):
        clear_stale(path)
    assert lock_path(path).exists()
    os.utime(lock_path(path), (1.0, 1.0))  # not renewed for long
    clear_stale(path)
    assert not lock_path(path).exists()


def test_a_living_process_of_this_host_keeps_its_lock(held_by):
    path = held_by(host=socket.gethostname(), pid=os.getppid())
    with pytest.raises(UserError, match="is locked"):
        clear_stale(path)


@pytest.mark.parametrize(
    ("told", "is_stale"),
    [
        ({"answer": "RUNNING"}, False),
        ({"answer": "COMPLETING"}, False),
        ({"answer": "PENDING"}, True),
        ({"answer": ""}, True),
        ({"error": "slurm_load_jobs error: Invalid job id specified", "code": 1}, True),
        ({"error": "slurm_load_jobs error: Unable to contact slurm controller", "code": 1}, False),
    ],
)
def test_slurm_is_asked_whether_the_holders_job_lives(held_by, squeue, told, is_stale):
    path = held_by(job="17")
    squeue(**told)
    if is_stale:
        clear_stale(path)
        assert not lock_path(path).exists()
        return
    with pytest.raises(UserError, match="job 17"):
        clear_stale(path)


def test_a_requeued_job_knows_its_own_former_run(held_by, monkeypatch):
    path = held_by(job="17", restarts=1)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with pytest.raises(UserError, match="is locked"):  # another step of the same job
        clear_stale(path)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    clear_stale(path)
    assert not lock_path(path).exists()


def test_a_lock_that_another_run_has_just_healed_is_given_back(held_by, monkeypatch, caplog):
    here = lock_module.process_namespace()
    path = held_by(host=socket.gethostname(), pid=dead_pid(), namespace=here)
    rename, fresh = os.rename, "the lock of a run that was faster"

    def healed_meanwhile(source, target):
        if source == lock_path(path):
            source.write_text(fresh)
            monkeypatch.setattr(os, "rename", rename)
        rename(source, target)

    monkeypatch.setattr(os, "rename", healed_meanwhile)
    with pytest.raises(UserError, match="is locked"):
        clear_stale(path)
    assert lock_path(path).read_text() == fresh
    assert "removed" not in caplog.text


# Holding a lock file


def test_a_long_point_does_not_make_the_lock_old(create, monkeypatch):
    monkeypatch.setattr(lock_module, "HEARTBEAT_S", 0.01)
    path = create()
    lock = LockFile(path)
    os.utime(lock.path, (1.0, 1.0))
    deadline = time.monotonic() + 10
    while lock.path.stat().st_mtime < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lock.path.stat().st_mtime > time.time() - 60
    lock.release()
    assert not lock.path.exists()


def test_a_run_that_lost_its_lock_writes_no_more(create, store, monkeypatch, caplog):
    path = create()
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    with caplog.at_level(logging.WARNING):
        writer = SurfaceWriter(path)
    assert GUARDED in caplog.text
    store(writer, [0], [[1.0, 0.0, 0.0]])
    lock_path(path).write_text("another run's")
    before = path.read_bytes()
    with pytest.raises(UserError, match="taken over by another run"):
        store(writer, [1], [[2.0, 0.0, 0.0]])
    with pytest.raises(UserError, match="taken over by another run"):
        writer.close()  # never taken for complete
    assert path.read_bytes() == before
    assert lock_path(path).read_text() == "another run's"


def test_a_folder_that_takes_no_lock_file_is_one_line(create, monkeypatch):
    path = create()
    monkeypatch.setattr(lock_module, "lock_path", lambda p: p.parent / "missing" / "s.h5.lock")
    with pytest.raises(UserError, match=r"s\.h5\.lock cannot be written \(No such file"):
        LockFile(path)


# Creation


def test_of_runs_that_create_a_file_together_one_succeeds(tmp_path):
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", CREATING, str(tmp_path), str(time.time() + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    told = [process.communicate(timeout=60)[0].split() for process in rivals]
    for number in range(ROUNDS):
        (winner,) = [p for p, lines in zip(rivals, told, strict=True) if lines[number] == "created"]
        assert read_surface(tmp_path / f"{number}.h5").provenance == {"pid": winner.pid}
    assert len(list(tmp_path.iterdir())) == ROUNDS


def test_a_file_system_without_hard_links_gets_its_file_too(create, monkeypatch, tmp_path):
    def refuse(_source, _target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = create()
    before = path.read_bytes()
    with pytest.raises(UserError, match="created by another run"):
        create()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
