"""Several runs that start anew on one surface file at the same moment."""

import subprocess
import sys

import pytest

from losscape_mpi.store.reader import read_surface

STARTS_ANEW = """
import os, sys, time
from pathlib import Path
import numpy as np
from losscape_mpi.errors import UserError
from losscape_mpi.point.column import loss_column
from losscape_mpi.store.create import back_up, create_surface
from losscape_mpi.store.layout import to_json
from losscape_mpi.store.writer import SurfaceWriter

rename = os.rename
def late(*given):
    time.sleep(0.005)  # as a busy machine may wait between choosing a name and using it
    rename(*given)
os.rename = late
path, me, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
axes = {"alpha": np.arange(3.0), "beta": np.arange(2.0)}
manifest = to_json({"format": 1, "study": {"grid": {"beta": [0, 1, 2]}}})
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    try:
        if path.exists():
            back_up(path)
        made_by, columns = to_json({"by": f"{me} {number}"}), [loss_column("train")]
        create_surface(path, manifest, made_by, axes, columns, {})
        print(me, number)
        SurfaceWriter(path).close()
    except UserError as error:
        print(error, file=sys.stderr)
"""


@pytest.mark.slow
def test_runs_that_start_anew_at_once_keep_every_file_whole(tmp_path):
    path, rounds = tmp_path / "s.h5", 25
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", STARTS_ANEW, str(path), f"run{k}", str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(3)
    ]
    assert [run.stdout.readline() for run in runs] == ["ready\n"] * 3

    for run in runs:
        run.stdin.write("go\n")
        run.stdin.flush()
    told = [run.communicate(timeout=100) for run in runs]

    assert [run.returncode for run in runs] == [0, 0, 0], [said for _, said in told]
    made = [line for out, _ in told for line in out.splitlines()]
    kept = [read_surface(file).provenance["by"] for file in tmp_path.iterdir()]
    assert sorted(kept) == sorted(made)
    assert len({line.split()[0] for line in made}) > 1  # more than one run did succeed
