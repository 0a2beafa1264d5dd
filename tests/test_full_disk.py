"""No room for a file: one line that says so, exit code 1, and nothing new left behind."""

import os
import resource
import subprocess
import sys

import pytest

from losscape_mpi.problem.checkpoint import read_state

pytestmark = pytest.mark.slow

STUDY = [
    *(sys.executable, "-m", "losscape_mpi.surface", "--output", "out.h5"),
    *(
        "--set",
        "problem.data.samples=20",
        "--set",
        "grid.alpha=[-1,1,3]",
        "--set",
        "grid.beta=null",
    ),
]
TOO_SMALL = 64 << 10  # bytes; the directions alone take more


def compute(folder, **options):
    return subprocess.run(
        STUDY,
        cwd=folder,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **options,
    )


def assert_one_line(done, folder, reason):
    mistakes = [line for line in done.stderr.splitlines() if line.startswith("losscape_mpi: ")]
    assert mistakes == [
        f"losscape_mpi: out.h5 cannot be created ({reason}); choose another output or free space"
    ]
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert list(folder.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TOO_SMALL}", "losscape", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        pytest.skip("needs mount, for a disk of 64 kB")
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount a disk of 64 kB ({done.stderr.strip()})")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


def test_a_limit_on_file_sizes_is_one_line_and_no_file(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (TOO_SMALL, TOO_SMALL))

    assert_one_line(compute(tmp_path, preexec_fn=limit), tmp_path, "File too large")


def test_a_full_disk_is_one_line_and_no_file(small_disk):
    assert_one_line(compute(small_disk), small_disk, "No space left on device")


CHECKPOINTS = """
import sys
from pathlib import Path
import torch
from losscape_mpi.command import run_command
from losscape_mpi.problem.checkpoint import write_state
def main(argv):
    for size in (1000, 100_000):
        write_state(Path("net.safetensors"), {"weight": torch.full((size,), float(size))}, {})
run_command(main)
"""


def test_a_checkpoint_for_which_there_is_no_room_leaves_the_old_one(small_disk):
    done = subprocess.run(
        [sys.executable, "-c", CHECKPOINTS],
        cwd=small_disk,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stderr == (
        "losscape_mpi: net.safetensors cannot be written (No space left on device); "
        "choose another folder or free space\n"
    )
    assert done.returncode == 1
    assert [path.name for path in small_disk.iterdir()] == ["net.safetensors"]
    old = read_state(small_disk / "net.safetensors")["weight"]
    assert old.tolist() == [1000.0] * 1000
