"""SIGKILL at every system call that changes the disk, from creation to the third batch."""

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import killed_writer
import numpy as np
import pytest
from killed_writer import BATCHES, COLUMNS, SHAPE, values_of

from losscape_mpi.store.reader import read_surface
from losscape_mpi.store.writer import SurfaceWriter

pytestmark = pytest.mark.slow

CALLS = (
    "write,writev,pwrite64,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync,"
    "link,linkat,rename,renameat,renameat2,unlink,unlinkat"
)


def write_under_strace(path, *options):
    """Run the writer under strace; returns its exit code."""
    Path(f"{path}.stage").write_bytes(b"\0")
    command = ["strace", "-qq", "-o", f"{path}.calls", "-e", f"trace={CALLS}", *options]
    command += [sys.executable, "-B", killed_writer.__file__, str(path)]
    return subprocess.run(command, timeout=60, check=False).returncode


def kill_at(folder, call, number):
    """Kill a writer as it enters its N-th call of a kind; returns its file and how far it came."""
    path = folder / f"{call}{number}.h5"
    code = write_under_strace(path, "-e", f"inject={call}:signal=KILL:when={number}")
    assert code in (-9, 137), f"{call} {number}: exit code {code}"
    return path, Path(f"{path}.stage").read_bytes()[0]


def check(path, stage):
    """Check what a kill left, and that the next run repairs it."""
    surface = read_surface(path)
    done = np.flatnonzero(surface.status == 1)
    found = np.stack([surface.values[name].ravel()[done] for name in COLUMNS], axis=1)
    assert found.tobytes() == values_of(done).tobytes()
    written = {index for batch in BATCHES[: max(stage - 1, 0)] for index in batch}
    begun = {index for batch in BATCHES[:stage] for index in batch}
    assert written <= set(done.tolist()) <= begun
    with SurfaceWriter(path) as writer:
        assert writer.pending.tolist() == np.flatnonzero(surface.status == 0).tolist()
        killed_writer.write(writer, writer.pending)
    repaired = read_surface(path)
    assert (repaired.status == 1).all()
    everywhere = values_of(np.arange(SHAPE[0] * SHAPE[1]))
    for column, name in enumerate(COLUMNS):
        assert repaired.values[name].tobytes() == everywhere[:, column].tobytes()


def test_no_kill_at_any_write_spoils_a_file(tmp_path, capsys):
    if shutil.which("strace") is None:
        pytest.skip("needs strace, which kills a process at its N-th system call")
    whole = tmp_path / "whole.h5"
    assert write_under_strace(whole) == 0
    calls = re.findall(r"^(\w+)\(", Path(f"{whole}.calls").read_text(), flags=re.MULTILINE)
    moments = [(call, k + 1) for call in set(calls) for k in range(calls.count(call))]

    with ThreadPoolExecutor(2) as pool:
        left = list(pool.map(lambda moment: kill_at(tmp_path, *moment), moments))

    with_file = [(path, stage) for path, stage in left if path.exists()]
    assert all(stage == 0 for path, stage in left if not path.exists())
    assert {stage for _, stage in left} == {0, 1, 2, 3, 4}
    for path, stage in with_file:
        check(path, stage)
    with capsys.disabled():
        print(
            f"\n{len(calls)} kill points, {calls.count('pwrite64')} of them pwrite64: no file yet "
            f"after {len(calls) - len(with_file)}, a good file after {len(with_file)}; "
            "0 unusable, 0 wrong values"
        )
