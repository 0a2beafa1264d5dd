"""The same study gives the same bytes on any number of ranks of any MPI."""

import subprocess

import pytest

from losscape_mpi.store.reader import read_activity, read_surface

pytestmark = [pytest.mark.mpi, pytest.mark.slow]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_any_number_of_ranks_gives_the_serial_bytes(
    launcher, small_digits, hash_of, tmp_path, ranks
):
    arguments, wanted = small_digits

    done = launcher.run(ranks, *arguments, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "complete, 15 points" in done.stdout
    assert hash_of(tmp_path / "out.h5") == wanted
    # A worker that is slow to start may find nothing left to do.
    assert 1 <= len(read_activity(tmp_path / "out.h5").workers) <= max(1, ranks - 1)


def test_eight_oversubscribed_ranks_give_the_serial_bytes(mpich, small_digits, hash_of, tmp_path):
    arguments, wanted = small_digits

    done = mpich.run(8, *arguments, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert hash_of(tmp_path / "out.h5") == wanted


def test_rank_0_computes_too_when_asked(mpich, small_digits, hash_of, tmp_path):
    arguments, wanted = small_digits

    done = mpich.run(2, *arguments, "--set", "farm.master_computes=true", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert hash_of(tmp_path / "out.h5") == wanted


def test_the_bare_command_runs_the_built_in_study(mpich, tmp_path):
    done = mpich.run(3, "-m", "losscape_mpi.surface", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert read_surface(tmp_path / "runs" / "digits.h5").counts()["done"] == 25 * 25


def test_a_complete_file_is_not_computed_again(mpich, small_digits, tmp_path):
    arguments, _ = small_digits
    mpich.run(2, *arguments, cwd=tmp_path)
    before = read_surface(tmp_path / "out.h5").seconds

    again = mpich.run(3, *arguments, cwd=tmp_path)

    assert again.returncode == 0
    assert "complete" in again.stdout
    assert (read_surface(tmp_path / "out.h5").seconds == before).all()


def test_a_run_without_mpi4py_is_serial(repository, small_digits, hash_of, tmp_path):
    arguments, wanted = small_digits
    # A module of that name that cannot be imported stands for an environment without MPI.
    (tmp_path / "mpi4py.py").write_text("raise ImportError('not here')\n")
    done = subprocess.run(
        [str(repository / ".venv/bin/python"), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert hash_of(tmp_path / "out.h5") == wanted
